"""This machine as the doctor's checks want to see it. Opens no token, changes nothing.

`root` is where the file system begins, so that a test can build a machine of files.
"""

from __future__ import annotations

import contextlib
import getpass
import importlib.metadata
import importlib.util
import os
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from provision.cli import ccid_table, udev_rules
from provision.cli.doctor_checks import Holder, Module, Node, View
from provision.cli.itself import own_command
from provision.families.identities import family_of
from provision.links.ports import kernel_line

# Module -> the distribution that it must come from, and whether provision needs it for anything at all. yubikit is
# not ours; but PyPI's canokey-manager puts a fork of it over Yubico's, and ykman then fails in strange ways.
_MODULES = {
    "serial": ("pyserial", True),
    "usb": ("pyusb", True),
    "smartcard": ("pyscard", False),
    "yubikit": ("yubikey-manager", False),
}

_DAEMONS = ("usr/sbin", "usr/bin", "usr/local/sbin")


def look(root: Path = Path("/")) -> View:
    linux = sys.platform == "linux"
    rules = udev_rules.installed(root)
    table = ccid_table.find(root)
    tokens = list(_tokens(root)) if linux else []
    user = _user() if linux else getpass.getuser()
    exists, member, now = _membership(user) if linux else (False, False, False)
    return View(
        platform=sys.platform,
        command=own_command(),
        python=sys.executable,
        user=user,
        udev_runs=(root / "run/udev/control").exists(),
        systemd_runs=(root / "run/systemd/system").is_dir(),
        rules_current=None if rules is None else rules.read_text("utf-8") == udev_rules.packaged(),
        group_exists=exists,
        in_group=member,
        in_group_now=now,
        modem_manager_runs=any(name == "ModemManager" for _, name in _processes(root)),
        pcscd_installed=any((root / folder / "pcscd").exists() for folder in _DAEMONS),
        pcscd_listens=_listens(root / "run/pcscd/pcscd.comm"),
        libusb=_libusb(),
        modules=_modules(),
        ccid_table=None if table is None else frozenset(ccid_table.numbers(table.read_bytes())),
        plugged_in=frozenset(numbers for numbers, _ in tokens),
        nodes=tuple(_node(root, path) for _, paths in tokens for path in paths if path.exists()),
    )


def _tokens(root: Path) -> Iterator[tuple[tuple[int, int], list[Path]]]:
    """((idVendor, idProduct), its device files) of each token on USB, by the kernel's sysfs."""
    for device in sorted((root / "sys/bus/usb/devices").glob("*")):
        text = {name: kernel_line(device / name) for name in ("idVendor", "idProduct", "product", "busnum", "devnum")}
        if not (text["idVendor"] and text["idProduct"] and text["busnum"] and text["devnum"]):
            continue  # an interface, or unplugged this very moment
        numbers = int(text["idVendor"], 16), int(text["idProduct"], 16)
        if family_of(*numbers, text["product"]) is not None:
            usb = root / f"dev/bus/usb/{int(text['busnum']):03}/{int(text['devnum']):03}"
            lines = [root / "dev" / tty.name for tty in sorted(device.glob("*:*/tty/*"))]
            yield numbers, [*lines, usb]


def _node(root: Path, path: Path) -> Node:
    status = path.stat()
    return Node(
        path=str(path),
        owner=_name(path.owner, status.st_uid),
        group=_name(path.group, status.st_gid),
        mode=stat.S_IMODE(status.st_mode),
        usable=os.access(path, os.R_OK | os.W_OK),
        holders=tuple(_holders(root, path)),
    )


def _name(look_up: Callable[[], str], number: int) -> str:
    try:
        return look_up()
    except KeyError:
        return str(number)


def _holders(root: Path, path: Path) -> Iterator[Holder]:
    """Who has the file open, as far as we may see it, or has locked it, which anybody may see."""
    status = path.stat()
    locked = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    locks = (kernel_line(root / "proc/locks") or "").splitlines()
    lockers = {int(words[4]) for words in map(str.split, locks) if locked in words}
    for pid, name in _processes(root):
        if pid in lockers or (pid != os.getpid() and _has_open(root / f"proc/{pid}/fd", path)):
            yield Holder(pid, name)


def _has_open(descriptors: Path, path: Path) -> bool:
    with contextlib.suppress(OSError):  # another user's process, or one that just ended
        return any(os.readlink(descriptor) == str(path) for descriptor in descriptors.iterdir())
    return False


def _processes(root: Path) -> Iterator[tuple[int, str]]:
    for comm in sorted((root / "proc").glob("[0-9]*/comm")):
        if name := kernel_line(comm):
            yield int(comm.parent.name), name


def _user() -> str:
    """By the number, since the environment may tell of another. A container's user often has no name."""
    import pwd

    return _name(lambda: pwd.getpwuid(os.getuid()).pw_name, os.getuid())


def _membership(user: str) -> tuple[bool, bool, bool]:
    """Whether there is the group, the user is in it, and this process has it."""
    import grp

    try:
        group = grp.getgrnam(udev_rules.GROUP)
    except KeyError:
        return False, False, False
    now = group.gr_gid in (os.getegid(), *os.getgroups())
    return True, now or user in group.gr_mem, now


def _listens(path: Path) -> bool:
    """Whether somebody is behind a Unix socket; systemd counts, which starts pcscd for whoever speaks first."""
    if not path.exists():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _libusb() -> bool:
    """Whether pyusb finds a library to work with."""
    try:
        from usb.backend import libusb0, openusb

        from provision.links import libusb
    except ImportError:
        return False
    return any(found() is not None for found in (libusb.backend, openusb.get_backend, libusb0.get_backend))


def _modules() -> dict[str, Module]:
    everybody = importlib.metadata.packages_distributions()
    found = {}
    for name, (distribution, required) in _MODULES.items():
        spec = importlib.util.find_spec(name)
        try:
            genuine = str(importlib.metadata.distribution(distribution).locate_file(f"{name}/__init__.py"))
        except importlib.metadata.PackageNotFoundError:
            genuine = None
        providers = tuple(sorted(set(everybody.get(name, ()))))
        found[name] = Module(name, distribution, required, spec.origin if spec else None, genuine, providers)
    return found
