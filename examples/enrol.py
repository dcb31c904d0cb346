"""A pipeline such as yours may be: it makes a token somebody's second factor.

python enrol.py TOKEN SERVER USER FOLDER, where FOLDER has the ledger, and the files `passphrase`, `admin-key` and `pin`
"""

import sys

from provision.cli.main import main as provision


def run(*arguments):
    if code := provision(list(arguments)):
        sys.exit(code)


def ledger(folder):
    return ("--ledger", f"{folder}/ledger.db", "--passphrase-file", f"{folder}/passphrase")


def new_ledger(folder):
    run("ledger", "init", *ledger(folder), "--new-admin-key-file", f"{folder}/admin-key")


def enrol(token, server, user, folder, clock="system"):
    where = ("--token", token, "--clock", clock)
    run("token", "set-pin", *where, "--new-pin-file", f"{folder}/pin")
    run(
        *("token", "program", *where, "--user", user, "--name", "desk token", "--server", server, *ledger(folder)),
        *("--admin-key-file", f"{folder}/admin-key", "--pin-file", f"{folder}/pin"),
    )


if __name__ == "__main__":
    enrol(*sys.argv[1:])
