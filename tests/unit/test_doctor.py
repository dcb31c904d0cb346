"""The doctor: each fault planted in a healthy machine is named, with what mends it; and a machine is seen as it is."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from provision.cli import doctor_view, udev_rules
from provision.cli.doctor_checks import CHECKS, Finding, Holder, Module, Node, View, diagnose
from provision.cli.main import main
from provision.families.identities import USB_IDENTITIES

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = (0x1209, 0x0001)
PORT = Node("/dev/ttyACM0", "root", "hwtoken", 0o660, usable=True)


def module(name: str, distribution: str, *, required: bool = False, installed: bool = True) -> Module:
    file = f"/site/{name}/__init__.py" if installed else None
    return Module(name, distribution, required, file, file, (distribution,) if installed else ())


HEALTHY = View(
    platform="linux",
    command="/opt/bin/provision",
    python="/opt/bin/python",
    user="anna",
    udev_runs=True,
    systemd_runs=True,
    rules_current=True,
    group_exists=True,
    in_group=True,
    in_group_now=True,
    modem_manager_runs=True,
    pcscd_installed=True,
    pcscd_listens=True,
    libusb=True,
    modules={
        "serial": module("serial", "pyserial", required=True),
        "usb": module("usb", "pyusb", required=True),
        "smartcard": module("smartcard", "pyscard"),
        "yubikit": module("yubikit", "yubikey-manager", installed=False),
    },
    ccid_table=frozenset((one.idVendor, one.idProduct) for those in USB_IDENTITIES.values() for one in those),
    plugged_in=frozenset({REFERENCE}),
    nodes=(PORT,),
)


def found(**faults: object) -> list[Finding]:
    return diagnose(dataclasses.replace(HEALTHY, **faults))


def the_one(**faults: object) -> Finding:
    (finding,) = found(**faults)
    return finding


def with_module(name: str, **changes: object) -> dict[str, Module]:
    return HEALTHY.modules | {name: dataclasses.replace(HEALTHY.modules[name], **changes)}


def test_a_healthy_machine() -> None:
    assert found() == []


def test_no_rules() -> None:
    finding = the_one(rules_current=None, modem_manager_runs=False)
    assert finding == Finding(
        "udev-rules",
        "the udev rules are not installed: only root may use tokens on USB",
        "sudo /opt/bin/provision udev install",
    )
    assert "another version" in the_one(rules_current=False, modem_manager_runs=False).problem


def test_where_udev_does_not_run_nothing_is_missing() -> None:
    assert found(udev_runs=False, rules_current=None, group_exists=False) == []


def test_modem_manager_probes_what_no_rule_guards() -> None:
    assert [each.check for each in found(rules_current=None)] == ["udev-rules", "modem-manager"]


def test_no_group() -> None:
    finding = the_one(group_exists=False)
    assert (finding.check, finding.mend) == ("group", "sudo /opt/bin/provision udev install")


@pytest.mark.parametrize(
    ("group", "in_group", "in_group_now", "mend"),
    [
        ("hwtoken", False, False, "sudo usermod -aG hwtoken anna  # then log in again"),
        ("hwtoken", True, False, "newgrp hwtoken"),
        ("dialout", True, True, "sudo /opt/bin/provision udev install"),  # plugged in before the rules came
    ],
)
def test_no_permission(group: str, in_group: bool, in_group_now: bool, mend: str) -> None:
    node = dataclasses.replace(PORT, group=group, usable=False)
    finding = the_one(nodes=(node,), in_group=in_group, in_group_now=in_group_now)
    assert finding.check == "permission"
    assert f"anna may not use /dev/ttyACM0 (root:{group} 0660)" in finding.problem
    assert finding.mend == mend


def test_permission_is_no_second_fault_where_the_rules_are_missing() -> None:
    node = dataclasses.replace(PORT, usable=False)
    assert the_one(nodes=(node,), rules_current=None, modem_manager_runs=False).check == "udev-rules"
    assert the_one(nodes=(node,), rules_current=None, udev_runs=False).check == "permission", "in a container"


def test_access_by_the_seat_needs_no_group() -> None:
    assert found(in_group=False, in_group_now=False) == []


def test_a_port_in_use() -> None:
    node = dataclasses.replace(PORT, holders=(Holder(4711, "minicom"), Holder(12, "ModemManager"), Holder(3, "pcscd")))
    minicom, modem_manager = found(nodes=(node,))
    assert minicom.problem == "/dev/ttyACM0 is in use by minicom (process 4711)"
    assert minicom.mend == "kill 4711"
    assert modem_manager.mend == "sudo systemctl restart ModemManager"


@pytest.mark.parametrize(
    ("platform", "mend"),
    [
        ("linux", "sudo apt-get install libusb-1.0-0"),
        ("darwin", "brew install libusb"),
        ("win32", "/opt/bin/python -m pip install libusb-package"),
    ],
)
def test_no_libusb(platform: str, mend: str) -> None:
    assert the_one(libusb=False, platform=platform).mend == mend


def test_no_pcscd() -> None:
    assert the_one(pcscd_installed=False, pcscd_listens=False).mend == "sudo apt-get install pcscd libccid"
    assert the_one(pcscd_listens=False).mend == "sudo systemctl enable --now pcscd.socket"
    assert the_one(pcscd_listens=False, systemd_runs=False).mend == "sudo pcscd"


def test_who_has_no_pyscard_may_do_without_pcscd() -> None:
    without = with_module("smartcard", file=None, genuine=None, providers=())
    assert [(each.check, each.note) for each in found(modules=without)] == [("pyscard", True)]
    findings = found(modules=without, pcscd_listens=False)
    assert [(each.check, each.note) for each in findings] == [("pcscd", True), ("pyscard", True)]
    findings = found(modules=without, pcscd_installed=False, pcscd_listens=False)
    assert [(each.check, each.note) for each in findings] == [("pcscd", True), ("pyscard", True)]


def test_pcscd_does_not_know_the_token() -> None:
    table = HEALTHY.ccid_table - {REFERENCE}
    finding = the_one(ccid_table=table)
    assert finding.problem == "pcscd ignores reference tokens: 1209:0001 is not in libccid's table"
    assert finding.mend == "sudo /opt/bin/provision doctor --mend ccid-plist"
    assert found(ccid_table=table, plugged_in=frozenset()) == [], "no station needs a simulator in its table"
    assert found(ccid_table=None) == []


def test_a_distribution_over_another() -> None:
    finding = the_one(modules=with_module("serial", providers=("pyserial", "serial")))
    assert finding.problem == "serial put files where pyserial has its module serial"
    assert "uninstall -y serial && /opt/bin/python -m pip install --force-reinstall pyserial" in finding.mend
    clash = Module("yubikit", "yubikey-manager", False, "/y", "/y", ("canokey-manager", "yubikey-manager"))
    assert the_one(modules=HEALTHY.modules | {"yubikit": clash}).note
    alone = dataclasses.replace(clash, genuine=None, providers=("canokey-manager",))
    assert found(modules=HEALTHY.modules | {"yubikit": alone}) == []


def test_a_file_before_the_module() -> None:
    finding = the_one(modules=with_module("serial", file="/home/anna/my files/serial.py"))
    assert finding.mend == "mv '/home/anna/my files/serial.py' '/home/anna/my files/serial.py'.hidden"


def test_a_missing_distribution() -> None:
    assert the_one(modules=with_module("serial", file=None, genuine=None, providers=())).mend.endswith("pyserial")


def test_problems_come_before_notes() -> None:
    without = with_module("smartcard", file=None, genuine=None, providers=())
    notes = [each.note for each in found(modules=without, rules_current=None, libusb=False)]
    assert notes == sorted(notes)
    assert set(notes) == {True, False}


def test_each_check_has_been_seen_to_fail() -> None:
    broken = dataclasses.replace(
        HEALTHY,
        nodes=(dataclasses.replace(PORT, usable=False, holders=(Holder(1, "x"),)),),
        libusb=False,
        pcscd_listens=False,
        ccid_table=frozenset(),
        modules=with_module("usb", file="/usb.py"),
    )
    no_rules, no_group = (
        dataclasses.replace(broken, **fault) for fault in ({"rules_current": None}, {"group_exists": False})
    )
    for check in CHECKS:
        assert list(check(no_rules)) or list(check(no_group)), check


# The view


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A file system with one token on USB, as the kernel shows it."""
    for name, value in {
        "sys/bus/usb/devices/1-1/idVendor": "1209",
        "sys/bus/usb/devices/1-1/idProduct": "0001",
        "sys/bus/usb/devices/1-1/product": "hwtoken reference token",
        "sys/bus/usb/devices/1-1/busnum": "1",
        "sys/bus/usb/devices/1-1/devnum": "7",
        "sys/bus/usb/devices/1-1/1-1:1.0/tty/ttyACM3/dev": "166:3",
        "sys/bus/usb/devices/1-1:1.0/bInterfaceClass": "02",
        "sys/bus/usb/devices/usb1/idVendor": "1d6b",
        "sys/bus/usb/devices/usb1/idProduct": "0002",
        "sys/bus/usb/devices/usb1/busnum": "1",
        "sys/bus/usb/devices/usb1/devnum": "1",
        "dev/bus/usb/001/007": "",
        "dev/bus/usb/001/001": "",
        "dev/ttyACM3": "",
        "proc/4711/comm": "minicom",
        "proc/1/comm": "systemd",
        "proc/locks": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value + "\n" if value else "")
    return tmp_path


def test_tokens_and_their_files(machine: Path) -> None:
    view = doctor_view.look(machine)
    assert view.plugged_in == {REFERENCE}
    assert [node.path for node in view.nodes] == [str(machine / "dev/ttyACM3"), str(machine / "dev/bus/usb/001/007")]
    assert all(node.usable and not node.holders for node in view.nodes)
    assert (view.rules_current, view.ccid_table, view.udev_runs, view.pcscd_listens) == (None, None, False, False)


@pytest.mark.parametrize("attribute", ["idVendor", "idProduct", "busnum", "devnum"])
def test_a_token_that_leaves_while_we_look(machine: Path, attribute: str) -> None:
    (machine / "sys/bus/usb/devices/1-1" / attribute).unlink()
    assert doctor_view.look(machine).plugged_in == set()


def test_a_port_held_open_or_locked(machine: Path) -> None:
    port = machine / "dev/ttyACM3"
    descriptors = machine / "proc/4711/fd"
    descriptors.mkdir()
    (descriptors / "0").symlink_to("/dev/null")
    assert doctor_view.look(machine).nodes[0].holders == ()
    (descriptors / "5").symlink_to(port)
    assert doctor_view.look(machine).nodes[0].holders == (Holder(4711, "minicom"),)
    status = port.stat()
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    (machine / "proc/locks").write_text(
        f"1: FLOCK  ADVISORY  WRITE 1 {device}:{status.st_ino} 0 EOF\n"
        f"2: FLOCK  ADVISORY  WRITE 99 {device}:{status.st_ino + 1} 0 EOF\n"
    )
    assert doctor_view.look(machine).nodes[0].holders == (Holder(1, "systemd"), Holder(4711, "minicom"))


def test_what_runs(machine: Path) -> None:
    (machine / "proc/1/comm").write_text("ModemManager\n")
    (machine / "run/udev").mkdir(parents=True)
    (machine / "run/udev/control").touch()
    (machine / "run/systemd/system").mkdir(parents=True)
    assert not doctor_view.look(machine).pcscd_installed
    (machine / "usr/sbin").mkdir(parents=True)
    (machine / "usr/sbin/pcscd").touch()
    view = doctor_view.look(machine)
    assert view.pcscd_installed
    assert view.modem_manager_runs
    assert view.udev_runs
    assert view.systemd_runs


def test_a_socket_counts_only_with_somebody_behind_it(tmp_path: Path) -> None:
    (tmp_path / "run/pcscd").mkdir(parents=True)
    path = tmp_path / "run/pcscd/pcscd.comm"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        assert doctor_view.look(tmp_path).pcscd_listens
    assert path.exists()
    assert not doctor_view.look(tmp_path).pcscd_listens


def test_who_is_in_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(members: list[str], held: list[int]) -> tuple[bool, bool, bool]:
        group = SimpleNamespace(gr_gid=990, gr_mem=members)
        monkeypatch.setattr("grp.getgrnam", lambda name: group)
        monkeypatch.setattr("os.getgroups", lambda: held)
        monkeypatch.setattr("os.getegid", lambda: 1000)
        monkeypatch.setattr("pwd.getpwuid", lambda uid: SimpleNamespace(pw_name="anna"))
        view = doctor_view.look(Path("/nowhere"))
        assert view.user == "anna"
        return view.group_exists, view.in_group, view.in_group_now

    assert seen(["ben"], [4]) == (True, False, False)
    assert seen(["anna"], [4]) == (True, True, False)
    assert seen(["anna"], [4, 990]) == (True, True, True)


def test_a_user_and_a_group_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: object) -> None:
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setattr("grp.getgrnam", unknown)
    monkeypatch.setattr("os.getuid", lambda: 12345)
    view = doctor_view.look(Path("/nowhere"))
    assert (view.user, view.group_exists) == ("12345", False)


def test_rules_and_table(machine: Path) -> None:
    path, _ = udev_rules.write(machine)
    (machine / "etc/libccid_Info.plist").write_text(
        "<plist version='1.0'><dict><key>ifdVendorID</key><array><string>0x1209</string></array><key>ifdProductID</key>"
        "<array><string>0x0001</string></array><key>ifdFriendlyName</key><array><string>x</string></array></dict></plist>"
    )
    view = doctor_view.look(machine)
    assert view.rules_current is True
    assert view.ccid_table == {REFERENCE}
    path.write_text("# old\n")
    assert doctor_view.look(machine).rules_current is False


def test_this_interpreter_has_the_real_modules() -> None:
    for name in ("serial", "usb"):
        seen = doctor_view.look(Path("/nowhere")).modules[name]
        assert seen.required
        assert seen.file == seen.genuine is not None
        assert seen.providers == (seen.distribution,)


# The command


def provision(*arguments: str, before: Path) -> subprocess.CompletedProcess[str]:
    """The program with a folder before all others in which Python looks for modules."""
    command = (sys.executable, "-m", "provision", *arguments)
    environment = os.environ | {"PYTHONPATH": f"{before}{os.pathsep}{ROOT}"}
    return subprocess.run(command, env=environment, cwd=before, capture_output=True, text=True, timeout=60)


@pytest.fixture
def impostor(tmp_path: Path) -> Path:
    """PyPI has a distribution `serial` that has nothing to do with serial lines."""
    (tmp_path / "serial").mkdir()
    (tmp_path / "serial/__init__.py").touch()
    return tmp_path


def test_an_impostor_among_the_modules(impostor: Path) -> None:
    findings = json.loads(provision("doctor", "--json", before=impostor).stdout)["findings"]
    (hidden,) = [each for each in findings if each["check"] == "packages"]
    assert hidden["problem"] == f"{impostor / 'serial/__init__.py'} hides the module serial of pyserial"
    information = impostor / "serial-0.0.97.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: serial\nVersion: 0.0.97\n")
    (information / "top_level.txt").write_text("serial\n")
    findings = json.loads(provision("doctor", "--json", before=impostor).stdout)["findings"]
    (clash,) = [each for each in findings if each["check"] == "packages"]
    assert clash["problem"] == "serial put files where pyserial has its module serial"


def test_who_meets_the_impostor_is_sent_to_the_doctor(impostor: Path) -> None:
    done = provision("list", before=impostor)
    assert done.returncode == 1
    assert "`provision doctor` says which" in done.stderr


@pytest.mark.parametrize(
    ("fault", "exit_code", "text"),
    [
        ({}, 0, "nothing is wrong\n"),
        (
            {"libusb": False},
            3,
            "problem: pyusb finds no libusb: usb: addresses do not work. Mend: sudo apt-get install",
        ),
        (
            {"modules": with_module("smartcard", file=None, genuine=None, providers=())},
            0,
            "note: pyscard is not installed: pcsc: addresses do not work. Mend: /opt/bin/python -m pip install",
        ),
    ],
)
def test_doctor(
    fault: dict[str, object],
    exit_code: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(doctor_view, "look", lambda: dataclasses.replace(HEALTHY, **fault))
    assert main(["doctor"]) == exit_code
    assert capsys.readouterr().out.startswith(text)
    assert main(["doctor", "--json"]) == exit_code
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert any(not each["note"] for each in findings) == bool(exit_code)
