"""The files of ci/: their Linux commands, taken out and run in a bare root, as a user who may do nothing."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, Built, run

pytestmark = pytest.mark.packaging

CI = ROOT / "ci"
FILES = ("github.yml", "gitlab.yml", "Containerfile")
RAN = "hwtoken: links run: pty 1, tcp 1, usbip 1; skipped 0"
# What GitHub has done before: a user to whom the checked-out files belong, and a Python that the user may install into.
GITHUB_HAS = ["useradd --create-home runner", "chown -R runner .", "su runner -c 'python3 -m venv ~/python'"]


def github() -> list[str]:
    linux = (CI / "github.yml").read_text("utf-8").partition("\n  windows:")[0]
    steps = re.findall(r"^ +- run: (.+)$", linux, flags=re.MULTILINE)
    return [
        _variable(linux),
        *GITHUB_HAS,
        *(f"su runner -c {shlex.quote(f'PATH=~/python/bin:$PATH; {step}')}" for step in steps),
    ]


def gitlab() -> list[str]:
    head, _, script = (CI / "gitlab.yml").read_text("utf-8").partition("  script:\n")
    return [_variable(head), *re.findall(r"^ +- (.+)$", script, flags=re.MULTILINE)]


def container() -> list[str]:
    """RUN and CMD, by whoever USER named last. COPY has been done: the script's folder is the image's."""
    user, commands = "root", []
    for line in (CI / "Containerfile").read_text("utf-8").splitlines():
        word, _, rest = line.partition(" ")
        if word == "USER":
            user = rest
        elif word == "ARG":
            commands.append(f"export {rest}")
        elif word in ("RUN", "CMD"):
            commands.append(rest if user == "root" else f"su {user} -c {shlex.quote(rest)}")
        else:
            assert word in ("#", "FROM") or line in ("WORKDIR /work", "COPY . ."), line
    return commands


def _variable(text: str) -> str:
    ((name, value),) = re.findall(r"^ +(HWTOKEN): (\S+)$", text, flags=re.MULTILINE)
    return f"export {name}={shlex.quote(value)}"


@pytest.mark.parametrize("commands", [github, gitlab, container])
def test_its_commands_pass_in_a_bare_root_as_an_unprivileged_user(
    built: Built, tmp_path: Path, commands: Callable[[], list[str]]
) -> None:
    script = commands()
    (tested,) = [line for line in script if "--require-link" in line]
    assert tested.startswith("su ")
    root, work = tmp_path / "root", tmp_path / "work"
    root.mkdir()
    shutil.copytree(ROOT / "examples", work / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(built.source, work / "hwtoken")
    tmp_path.chmod(0o755)
    said = run(
        *("unshare", "--mount", "--pid", "--fork", "sh", Path(__file__).with_name("bare_root.sh")),
        *(root, built.wheels, work),
        input="\n".join(script) + "\n",
    )
    assert RAN in said


def test_the_windows_job_asks_for_links_that_windows_has() -> None:
    """It was not run: there is no Windows here. The links are those that work without Unix."""
    windows = (CI / "github.yml").read_text("utf-8").partition("\n  windows:")[2]
    (links,) = re.findall(r"--require-link=(\S+)", windows)
    assert set(links.split(",")) <= {"tcp", "usbip"}


@pytest.mark.parametrize("name", FILES)
def test_every_file_installs_what_was_checked_out_and_asks_for_every_link(name: str) -> None:
    """Never a bare name: whoever has it in an index would run in other people's CI."""
    text = (CI / name).read_text("utf-8")
    installs = re.findall(r"pip install (.*)", text)
    assert installs
    assert set(installs) == {'"$HWTOKEN" pytest pytest-xdist'}
    assert re.search(r"HWTOKEN(: |=)\./hwtoken$", text, flags=re.MULTILINE)
    assert re.search(r"pytest -n 2 --require-link=pty,tcp,usbip .*examples", text)
