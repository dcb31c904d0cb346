"""`python -m provision.cli.seed_search`: a search beside a seed, started by a server for a support desk's question.

Not for people: a question (provision/servers/plain.py), seeds included, comes on standard input.
"""

from __future__ import annotations

import json
import sys

from provision.servers.plain import plain_fits, question_of
from provision.station.seed_search import find

COMMAND = (sys.executable, "-m", "provision.cli.seed_search")


def main() -> None:
    json.dump(plain_fits(find(*question_of(json.load(sys.stdin)))), sys.stdout)


if __name__ == "__main__":
    main()
