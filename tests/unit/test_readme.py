"""The README's quick starts run as they stand: every command block of a section, in order, in one empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def blocks() -> dict[str, list[str]]:
    """The `sh` blocks of each section that has some, by its heading."""
    found = {}
    for section in re.split(r"^## ", README, flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        if scripts := re.findall(r"^```sh\n(.*?)^```$", body, flags=re.MULTILINE | re.DOTALL):
            found[heading] = scripts
    return found


def commands(folder: Path) -> Path:
    """A folder with `provision` and `firmware-sim` in it, as an installation puts them on the PATH."""
    folder.mkdir()
    for name, module in {"provision": "provision", "firmware-sim": "firmware_sim"}.items():
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
        path.chmod(0o755)
    return folder


def test_each_kind_of_people_has_a_quick_start_and_machines_without_usb_too() -> None:
    assert [heading.split(",")[0] for heading in blocks()] == [
        "Quick start: the administrator",
        "Quick start: the CI engineer",
        "Quick start: the support desk",
        "Without kernel modules (GitHub Actions",
    ]


@pytest.mark.parametrize("heading", blocks())
def test_its_blocks_run_as_they_stand(heading: str, tmp_path: Path) -> None:
    work = tmp_path / "w"
    work.mkdir()
    environment = {
        **os.environ,
        "PATH": f"{commands(tmp_path / 'bin')}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
    }
    # A failed block must not leave its token running.
    script = 'set -eu\ntrap \'for c in *.ctl; do [ ! -S "$c" ] || firmware-sim stop --control unix:"$c"; done\' EXIT\n'
    done = subprocess.run(
        ["sh"],
        input=script + "\n".join(blocks()[heading]),
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(work.glob("*.ctl"))


def test_the_front_door_is_two_commands() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in ("demo", "test"):
        assert f"make {target}" in README
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_every_make_target_that_the_readme_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in set(re.findall(r"make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_the_run_of_everything_has_every_lane_and_reports_it() -> None:
    makefile, ci = ((ROOT / name).read_text("utf-8") for name in ("Makefile", ".ci/run"))
    lanes = re.findall(r"^lane (\S+) make (\S+)$", ci, flags=re.MULTILINE)
    targets = set(re.findall(r"^(test[a-z-]*|lint|demo):", makefile, flags=re.MULTILINE))
    assert {target for _, target in lanes} == targets
    (reported,) = re.findall(r"^python3 \.ci/table\.py \.lanes (.+)$", ci, flags=re.MULTILINE)
    assert reported.split() == [name for name, _ in lanes]
