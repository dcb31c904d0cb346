"""The udev rules: the same identities as in the code, and their way onto a machine."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from provision.cli import udev_rules
from provision.cli.main import main
from provision.cli.udev import activate
from provision.errors import LinkError
from provision.families.identities import USB_IDENTITIES, UsbIdentity

ROOT = Path(__file__).resolve().parents[2]
IDENTITY = re.compile(
    r'ATTRS\{idVendor\}=="(?P<vendor>[0-9a-f]{4})", ATTRS\{idProduct\}=="(?P<product_id>[0-9a-f]{4})", '
    r'(?:ATTRS\{product\}=="(?P<product>[^"]+)", )?'
    r'ENV\{HWTOKEN\}="(?P<family>[a-z0-9_-]+)", ENV\{HWTOKEN_SERIAL\}="\$attr\{serial\}"'
)


def identities(rules: str) -> set[tuple[str, UsbIdentity]]:
    """(family, identity) of every line that speaks of a device's identity."""
    found = set()
    for line in rules.splitlines():
        if "ATTR" in line and not line.startswith("#"):
            match = IDENTITY.fullmatch(line)
            assert match, line
            identity = UsbIdentity(int(match["vendor"], 16), int(match["product_id"], 16), match["product"])
            assert (match["family"], identity) not in found, "named twice"
            found.add((match["family"], identity))
    return found


def test_the_rules_name_the_identities_of_the_code() -> None:
    known = {(family, identity) for family, those in USB_IDENTITIES.items() for identity in those}
    assert identities(udev_rules.packaged()) == known


def test_the_rules_stand_at_the_front_door_too() -> None:
    assert (ROOT / "udev" / udev_rules.NAME).read_text("utf-8") == udev_rules.packaged()


def test_they_come_after_the_systems_and_before_the_seats() -> None:
    assert "60-serial.rules" < udev_rules.NAME < "73-seat-late.rules"


def test_each_goto_has_its_label() -> None:
    rules = udev_rules.packaged()
    assert set(re.findall(r'GOTO="(\w+)"', rules)) == set(re.findall(r'LABEL="(\w+)"', rules))


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["udev", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "show") == (0, udev_rules.packaged(), "")
    assert json.loads(run(capsys, "show", "--json")[1])["text"] == udev_rules.packaged()


def test_install_check_and_install_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "check", "--root", tmp_path)
    assert code == 3
    assert "not installed" in err
    assert "udev install" in err
    path = tmp_path / "etc/udev/rules.d/70-hwtoken.rules"
    assert run(capsys, "install", "--root", tmp_path) == (0, f"wrote {path}\n", "")
    assert path.read_text("utf-8") == udev_rules.packaged()
    assert path.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert run(capsys, "install", "--root", tmp_path)[1] == f"left as it was: {path}\n"
    assert run(capsys, "check", "--root", tmp_path)[0] == 0


def test_check_finds_the_file_that_udev_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A distribution's file is as good, until an old one of the administrator's hides it."""
    shipped = tmp_path / "usr/lib/udev/rules.d/70-hwtoken.rules"
    shipped.parent.mkdir(parents=True)
    shipped.write_text(udev_rules.packaged(), "utf-8")
    assert run(capsys, "check", "--root", tmp_path)[1] == f"{shipped} is installed and current\n"
    old = tmp_path / "etc/udev/rules.d/70-hwtoken.rules"
    old.parent.mkdir(parents=True)
    old.write_text("# of last year\n")
    code, _, err = run(capsys, "check", "--root", tmp_path)
    assert code == 3
    assert f"{old} is not what this version" in err
    run(capsys, "install", "--root", tmp_path)
    assert run(capsys, "check", "--root", tmp_path)[0] == 0


def test_check_misses_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = udev_rules.write(tmp_path)
    monkeypatch.setattr(udev_rules, "installed", lambda root: path)
    groups = [SimpleNamespace(gr_name="dialout"), SimpleNamespace(gr_name="hwtoken")]
    monkeypatch.setattr("grp.getgrall", lambda: groups)
    assert run(capsys, "check")[0] == 0
    groups.pop()
    code, _, err = run(capsys, "check")
    assert code == 3
    assert "no group hwtoken" in err
    assert run(capsys, "check", "--root", tmp_path)[0] == 0, "an image's groups are not ours"


def test_install_without_the_right_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(root: Path) -> tuple[Path, bool]:
        raise PermissionError

    monkeypatch.setattr(udev_rules, "write", refuse)
    program = tmp_path / "provision"
    program.touch()
    monkeypatch.setattr("sys.argv", [str(program), "udev", "install"])
    code, _, err = run(capsys, "install", "--root", tmp_path)
    assert code == 3
    assert f"hint: run: sudo {program} udev install\n" in err
    monkeypatch.setattr("sys.argv", ["/site-packages/provision/__main__.py", "udev", "install"])
    assert f"hint: run: sudo {sys.executable} -m provision udev install\n" in run(capsys, "install")[2]


@pytest.mark.parametrize("command", ["install", "check"])
def test_elsewhere_there_is_no_udev(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    code, _, err = run(capsys, command)
    assert code == 2
    assert "part of Linux" in err
    assert run(capsys, "install", "--root", tmp_path)[0] == 0, "an image can be built anywhere"


class Commands:
    """Takes down what it is asked to run; everything of `failing` fails."""

    def __init__(self, failing: str = "-") -> None:
        self.run: list[str] = []
        self._failing = failing

    def __call__(self, command: Sequence[str]) -> int:
        self.run.append(" ".join(command))
        return int(command[0] == self._failing)


def test_activate_makes_the_group_before_udev_looks_for_it() -> None:
    commands = Commands()
    done = activate(commands, group_exists=False, udev_runs=True)
    assert [line.split()[0] for line in commands.run] == ["groupadd", "udevadm", "udevadm"]
    assert "usermod -aG hwtoken USER" in done[0]


def test_activate_where_udev_does_not_run() -> None:
    commands = Commands()
    assert activate(commands, group_exists=True, udev_runs=False) == [
        "udev does not run here: they will apply when it does"
    ]
    assert commands.run == []


@pytest.mark.parametrize("program", ["groupadd", "udevadm"])
def test_activate_tells_what_failed(program: str) -> None:
    with pytest.raises(LinkError, match=program):
        activate(Commands(program), group_exists=False, udev_runs=True)
