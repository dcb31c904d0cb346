"""What keeps a token from being used, and the command that mends it: pure functions of what was seen.

A check gets a View and yields Findings; doctor_view.py makes the View of this machine.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from provision.cli.udev_rules import GROUP
from provision.families.identities import USB_IDENTITIES


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a token's serial line open."""

    pid: int
    name: str


@dataclass(frozen=True, slots=True)
class Node:
    """A device file of a token that is plugged in. `usable`: we may read and write it."""

    path: str
    owner: str
    group: str
    mode: int
    usable: bool
    holders: tuple[Holder, ...] = ()


@dataclass(frozen=True, slots=True)
class Module:
    """A top-level module, and where it comes from. `required`: nothing works without. `file`: the one that an import
    takes, None if there is none; `genuine`: that of `distribution`, None if that is not installed. `providers`: every
    distribution that has one."""

    name: str
    distribution: str
    required: bool
    file: str | None
    genuine: str | None
    providers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class View:
    """What was seen of a machine.

    `command`, `python`: how this program and its interpreter are called. `rules_current`: udev reads our file as it
    is in this version; None, it reads none. `in_group`, `in_group_now`: the group has this user; this process has the
    group. `ccid_table`: what pcscd's driver knows, None without the driver. `plugged_in`: identities on USB.
    """

    platform: str
    command: str
    python: str
    user: str
    udev_runs: bool
    systemd_runs: bool
    rules_current: bool | None
    group_exists: bool
    in_group: bool
    in_group_now: bool
    modem_manager_runs: bool
    pcscd_installed: bool
    pcscd_listens: bool
    libusb: bool
    modules: dict[str, Module]
    ccid_table: frozenset[tuple[int, int]] | None = None
    plugged_in: frozenset[tuple[int, int]] = frozenset()
    nodes: tuple[Node, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Finding:
    """`problem`: a sentence. `mend`: the command. `note`: it keeps nobody from anything that works otherwise."""

    check: str
    problem: str
    mend: str
    note: bool = False


def udev_rules(view: View) -> Iterator[Finding]:
    if not view.udev_runs or view.rules_current:
        return
    mend = f"sudo {view.command} udev install"
    what = "not installed" if view.rules_current is None else "those of another version"
    yield Finding("udev-rules", f"the udev rules are {what}: only root may use tokens on USB", mend)
    if view.modem_manager_runs:
        problem = "ModemManager sends AT commands to every new serial line, and no rule keeps it off tokens"
        yield Finding("modem-manager", problem, mend)


def group(view: View) -> Iterator[Finding]:
    if view.udev_runs and view.rules_current is not None and not view.group_exists:
        problem = f"there is no group {GROUP}, to which the udev rules give tokens"
        yield Finding("group", problem, f"sudo {view.command} udev install")


def permission(view: View) -> Iterator[Finding]:
    if view.udev_runs and not view.rules_current:
        return  # what the rules will have done comes to light when they are there
    for node in view.nodes:
        if node.usable:
            continue
        problem = f"{view.user} may not use {node.path} ({node.owner}:{node.group} {node.mode:04o})"
        if node.group != GROUP:
            yield Finding("permission", problem, f"sudo {view.command} udev install")
        elif view.in_group and not view.in_group_now:
            yield Finding("permission", f"{problem}: the group counts from the next login on", f"newgrp {GROUP}")
        else:
            yield Finding("permission", problem, f"sudo usermod -aG {GROUP} {view.user}  # then log in again")


def busy_port(view: View) -> Iterator[Finding]:
    for node in view.nodes:
        for holder in node.holders:
            if holder.name == "pcscd":
                continue  # it has every card reader open, and shares them: that is what pcsc: addresses are for
            mend = "sudo systemctl restart ModemManager" if holder.name == "ModemManager" else f"kill {holder.pid}"
            yield Finding("busy-port", f"{node.path} is in use by {holder.name} (process {holder.pid})", mend)


def libusb(view: View) -> Iterator[Finding]:
    if view.libusb or view.modules["usb"].file is None:
        return
    mend = {
        "linux": "sudo apt-get install libusb-1.0-0",
        "darwin": "brew install libusb",
    }.get(view.platform, f"{view.python} -m pip install libusb-package")
    yield Finding("libusb", "pyusb finds no libusb: usb: addresses do not work", mend)


def pcsc(view: View) -> Iterator[Finding]:
    if view.platform != "linux":  # elsewhere PC/SC is part of the system
        return
    wanted = view.modules["smartcard"].file is not None
    if not view.pcscd_installed:
        problem = "there is no pcscd: pcsc: addresses do not work"
        yield Finding("pcscd", problem, "sudo apt-get install pcscd libccid", note=not wanted)
    elif not view.pcscd_listens:
        mend = "sudo systemctl enable --now pcscd.socket" if view.systemd_runs else "sudo pcscd"
        yield Finding("pcscd", "pcscd does not run: pcsc: addresses do not work", mend, note=not wanted)
    if not wanted:
        problem = "pyscard is not installed: pcsc: addresses do not work"
        yield Finding("pyscard", problem, f"{view.python} -m pip install 'hwtoken[pcsc]'", note=True)


def ccid_table(view: View) -> Iterator[Finding]:
    """Test identities matter only where one is plugged in: no station needs a simulator in its table."""
    if view.ccid_table is None:
        return
    for family, identities in USB_IDENTITIES.items():
        for identity in identities:
            numbers = (identity.idVendor, identity.idProduct)
            if numbers not in view.ccid_table and (identity.product is None or numbers in view.plugged_in):
                problem = f"pcscd ignores {family} tokens: {numbers[0]:04x}:{numbers[1]:04x} is not in libccid's table"
                yield Finding("ccid-plist", problem, f"sudo {view.command} doctor --mend ccid-plist")


def packages(view: View) -> Iterator[Finding]:
    pip = f"{view.python} -m pip"
    for module in view.modules.values():
        others = [name for name in module.providers if name != module.distribution]
        if module.genuine is None and not module.required:
            continue
        if others:
            mend = f"{pip} uninstall -y {' '.join(others)} && {pip} install --force-reinstall {module.distribution}"
            problem = f"{' and '.join(others)} put files where {module.distribution} has its module {module.name}"
        elif module.file is None:
            mend = f"{pip} install {module.distribution}"
            problem = f"{module.distribution} is not installed (module {module.name})"
        elif module.file != module.genuine:
            path = shlex.quote(module.file)
            mend = f"mv {path} {path}.hidden"
            problem = f"{module.file} hides the module {module.name} of {module.distribution}"
        else:
            continue
        yield Finding("packages", problem, mend, note=not module.required)


CHECKS: tuple[Callable[[View], Iterator[Finding]], ...] = (
    udev_rules,
    group,
    permission,
    busy_port,
    libusb,
    pcsc,
    ccid_table,
    packages,
)


def diagnose(view: View) -> list[Finding]:
    """All findings, the problems before the notes."""
    found = [finding for check in CHECKS for finding in check(view)]
    return sorted(found, key=lambda finding: finding.note)
