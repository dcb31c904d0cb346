"""The real udev on recorded devices, with the rules file as it is shipped or as a test wants it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from tests.udev.recording import Plugged, recording

ROOT = Path(__file__).resolve().parents[2]
SANDBOX = Path(__file__).parent / "sandbox.sh"
GROUP = 990
RULES = resources.files("provision").joinpath("udev", "70-hwtoken.rules").read_text("utf-8")


@dataclass
class Outcome:
    """What udev made of one event. `group`, `mode`: what our file assigned last, None for nothing. `complaints`: what
    udev says against our file."""

    group: str | None = None
    mode: str | None = None
    links: list[str] = field(default_factory=list)
    properties: dict[str, str] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    builtins: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def ours(self) -> tuple[object, ...]:
        """Whatever the rules file could have done."""
        own = {name: value for name, value in self.properties.items() if name.startswith(("HWTOKEN", "ID_MM_"))}
        return self.group, self.mode, self.links, own, self.tags & {"uaccess", "hwtoken"}


class Udev:
    """A bench for rules: devices in, outcomes out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def apply(
        self, *events: tuple[str, str], devices: Sequence[Plugged], rules: str = RULES, group: int | None = GROUP
    ) -> list[Outcome]:
        """The outcome of each event, an action and a path below /sys."""
        script = "\n".join(
            f'echo "@@@ {number}"; udevadm test --action={action} "/sys{path}" 2>&1'
            for number, (action, path) in enumerate(events)
        )
        text = self.run("sh", "-euc", script, devices=devices, rules=rules, group=group)
        outcomes = [_outcome(part) for part in text.split("@@@ ")[1:]]
        assert len(outcomes) == len(events), text
        return outcomes

    def run(
        self, *command: str, devices: Sequence[Plugged], rules: str | None = RULES, group: int | None = GROUP
    ) -> str:
        """What a command prints that sees these devices, and no others."""
        described, file = self._folder / "devices.umockdev", self._folder / "rules"
        described.write_text(recording(*devices), "utf-8")
        if rules is not None:
            file.write_text(rules, "utf-8")
        done = subprocess.run(
            [
                *(
                    "unshare",
                    "--mount",
                    "--propagation",
                    "private",
                    "sh",
                    SANDBOX,
                    file if rules else "-",
                    str(group or "-"),
                ),
                *("umockdev-run", "--device", described, "--", *command),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def python(self, program: str, *, devices: Sequence[Plugged], before: str = "true") -> Any:
        """What a program prints as JSON, after a shell command that sees the same devices."""
        script = f'{{ {before}; }} >/dev/null 2>&1; exec "$@"'
        command = ("sh", "-euc", script, "sh", sys.executable, "-W", "error", "-c", program)
        return json.loads(self.run(*command, devices=devices))


def _outcome(text: str) -> Outcome:
    """Reads what `udevadm test` of systemd 252 prints: a log of assignments, then the properties."""
    outcome = Outcome()
    for line in text.splitlines():
        if "70-hwtoken.rules" in line:
            assignment = re.search(r"70-hwtoken\.rules:\d+ (?:(GROUP|MODE) (\w+)|LINK '(.*)')$", line)
            if assignment is None:
                if not line.startswith("Reading rules file"):
                    outcome.complaints.append(line)
            elif assignment[3] is not None:
                outcome.links.append(assignment[3])
            else:
                setattr(outcome, assignment[1].lower(), assignment[2])
        elif match := re.fullmatch(r"([A-Z][A-Z0-9_]*)=(.*)", line):
            outcome.properties[match[1]] = match[2]
        elif match := re.fullmatch(r"run: '(.*)'", line):
            outcome.builtins.append(match[1])
    outcome.tags = frozenset(filter(None, outcome.properties.get("TAGS", "").split(":")))
    return outcome


@pytest.fixture
def udev(tmp_path: Path) -> Udev:
    return Udev(tmp_path)
