"""docs/MIGRATION.md as it stands, run by a shell; whoever runs it says which oathtool is on its PATH."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "MIGRATION.md").read_text("utf-8")

# oathtool, as far as the page goes, by pyotp.
_STAND_IN = """
import sys, pyotp
options, now = sys.argv[1:4], sys.argv[4]
assert options == ["--totp", "--base32", "--now"] and now[0] == "@" and sys.argv[5:] == ["-"], sys.argv
print(pyotp.TOTP(sys.stdin.read().strip()).at(int(now[1:])))
"""


def tell(folder: Path, *, stand_in: bool) -> None:
    """Run every block of the page, in `folder`, which is empty. `stand_in`: without a real oathtool."""
    programs = folder / "bin"
    programs.mkdir()
    for name, module in {"provision": "provision", "firmware-sim": "firmware_sim"}.items():
        _script(programs / name, f'exec "{sys.executable}" -m {module} "$@"')
    if stand_in:
        (programs / "oathtool.py").write_text(_STAND_IN)
        _script(programs / "oathtool", f'exec "{sys.executable}" "{programs}/oathtool.py" "$@"')
    work = folder / "work"
    work.mkdir()
    blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL))
    # What fails must leave neither its token nor its server running.
    ending = "[ ! -S token.ctl ] || firmware-sim stop --control unix:./token.ctl; kill $! 2> /dev/null || true"
    done = subprocess.run(
        ["sh"],
        input=f"set -eu\ntrap '{ending}' EXIT\n{blocks}",
        cwd=work,
        env={
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "TZ": "Europe/Vienna",
        },
        capture_output=True,
        text=True,
        timeout=240,
        start_new_session=True,  # nobody to ask
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _as_promised(done.stdout, json.loads((work / "report.json").read_text()))


def _script(path: Path, command: str) -> None:
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)


def _as_promised(told: str, report: dict[str, object]) -> None:
    """What the page's comments say is what came of its commands."""
    promised = re.findall(r"^login .*# (.*)$", PAGE, flags=re.MULTILINE)
    outcomes = "in, by the old way|in|refused by the old way|refused"
    assert re.findall(rf"^\w+: (?:{outcomes})$", told, flags=re.MULTILINE) == promised
    assert "'tablet' is deleted; carla logs in by the old way again, until 20" in told
    assert "no old way: exit code 5" in told
    assert "kept: exit code 2" in told
    for row in re.findall(r"^    (\w+ +\w.* (?:device|LOCKED OUT))$", PAGE, flags=re.MULTILINE):
        assert re.search(rf"^{re.sub(' +', ' +', row)}$", told, flags=re.MULTILINE), row
    assert report["counts"] == {
        "people": 5,
        "with_device": 3,
        "pending": 0,
        "old_way": 2,
        "locked_out": 0,
        "locked_out_then": 2,
    }
    assert "5 people: 4 with a device, 0 with one to prove, 0 by the old way, 1 locked out now" in told
