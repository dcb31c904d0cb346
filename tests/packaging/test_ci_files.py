"""The files of ci/: their Linux commands, taken out and run in a bare root, as a user who may do nothing."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, Built, run

pytestmark = pytest.mark.packaging

CI = ROOT / "ci"
RAN = "hwtoken: links run: pty 1, tcp 1, usbip 1; skipped 0"
# What GitHub's setup-python leaves behind: a Python that its user may install into.
SETUP_PYTHON = ["useradd --create-home runner", "su runner -c 'python3 -m venv ~/python'"]


def github() -> list[str]:
    linux = (CI / "github.yml").read_text("utf-8").partition("\n  windows:")[0]
    steps = re.findall(r"^ +- run: (.+)$", linux, flags=re.MULTILINE)
    return [*SETUP_PYTHON, *(f"su runner -c {shlex.quote(f'PATH=~/python/bin:$PATH; {step}')}" for step in steps)]


def gitlab() -> list[str]:
    script = (CI / "gitlab.yml").read_text("utf-8").partition("  script:\n")[2]
    return re.findall(r"^ +- (.+)$", script, flags=re.MULTILINE)


def container() -> list[str]:
    """RUN and CMD, by whoever USER named last; COPY goes where it says."""
    user, commands = "root", []
    for line in (CI / "Containerfile").read_text("utf-8").splitlines():
        word, _, rest = line.partition(" ")
        if word == "USER":
            user = rest
        elif word == "COPY":
            commands.append("cp -r {} {}".format(*rest.split()))
        elif word in ("RUN", "CMD"):
            commands.append(rest if user == "root" else f"su {user} -c {shlex.quote(rest)}")
    return commands


@pytest.mark.parametrize("commands", [github, gitlab, container])
def test_its_commands_pass_in_a_bare_root_as_an_unprivileged_user(
    built: Built, tmp_path: Path, commands: object
) -> None:
    assert callable(commands)
    script = commands()
    assert any("pytest" in line for line in script)
    assert all("pytest" not in line or line.startswith("su ") for line in script)
    root, source = tmp_path / "root", tmp_path / "source"
    root.mkdir()
    (source / "examples").mkdir(parents=True)
    for path in (ROOT / "examples").glob("*.py"):
        (source / "examples" / path.name).write_bytes(path.read_bytes())
    tmp_path.chmod(0o755)
    said = run(
        *("unshare", "--mount", "--pid", "--fork", "sh", Path(__file__).with_name("bare_root.sh")),
        *(root, built.wheels, source),
        input="\n".join(script) + "\n",
    )
    assert RAN in said


def test_the_windows_job_asks_for_links_that_windows_has() -> None:
    """It was not run: there is no Windows here. The links are those that work without Unix."""
    windows = (CI / "github.yml").read_text("utf-8").partition("\n  windows:")[2]
    (links,) = re.findall(r"--require-link=(\S+)", windows)
    assert set(links.split(",")) <= {"tcp", "usbip"}


def test_every_job_has_the_commands_of_the_others() -> None:
    for name in ("github.yml", "gitlab.yml", "Containerfile"):
        text = (CI / name).read_text("utf-8")
        assert "pip install hwtoken pytest pytest-xdist" in text
        assert re.search(r"pytest -n 2 --require-link=pty,tcp,usbip .*examples", text)
