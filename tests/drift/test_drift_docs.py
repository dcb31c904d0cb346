"""docs/DRIFT.md: its commands run and print what stands there, and its table is that of the profiles.

python -m tests.drift.test_drift_docs   writes both anew
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from provision.cli.main import main
from provision.drift.profiles import PROFILES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "DRIFT.md"
FLEET = PAGE.parent / "pictures" / "fleet.csv"
HEAD = "| `--server-profile` | server | accepts | its window moves | stores | known from |"
FILES = {"csv": "logins.csv", "codes": "codes.txt", "seed": "seed.txt"}  # by the kind of block that they are
MOVES = {
    "none": "never",
    "follows": "at every login",
    "learns": "after refused logins that agree",
    "resync": "when somebody resynchronises",
}


def table() -> str:
    lines = [HEAD, "|---|---|---|---|---|---|"]
    for name, profile in sorted(PROFILES.items()):
        accepts = "not published"
        if profile.reach is not None:
            back, forward = profile.reach(30)
            accepts = f"{-back:+d} to {forward:+d} steps"
        stores = "nothing" if profile.unit is None else f"`{profile.where}`, {profile.unit.value}"
        notes = f"{profile.source}; {profile.caveat}" if profile.caveat else profile.source
        moves = MOVES[profile.memory.value]
        lines.append(f"| `{name}` | {profile.title} | {accepts} | {moves} | {stores} | {notes} |")
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def folder(page: str, directory: Path) -> Iterator[None]:
    """An empty directory as the present one, with the files in it that the page shows or names."""
    before = Path.cwd()
    os.chdir(directory)
    try:
        for kind, name in FILES.items():
            (content,) = re.findall(rf"^```{kind}\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
            Path(name).write_text(content, "utf-8")
        shutil.copy(FLEET, ".")
        yield
    finally:
        os.chdir(before)


def shown(commands: list[str]) -> str:
    """What a terminal shows of them; `> FILE` writes one instead."""
    lines = []
    for command in commands:
        words, _, file = command.partition(" > ")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            assert main(shlex.split(words)[1:]) == 0
        lines.append(f"$ {command}\n")
        if file:
            Path(file).write_text(printed.getvalue(), "utf-8")
        else:
            lines.append(printed.getvalue())
    return "".join(lines)


def rewritten(page: str) -> str:
    def run(match: re.Match[str]) -> str:
        return f"```console\n{shown(re.findall(r'^[$] (.*)$', match[1], flags=re.MULTILINE))}```\n"

    with tempfile.TemporaryDirectory() as directory, folder(page, Path(directory)):
        page = re.sub(r"^```console\n(.*?)^```\n", run, page, flags=re.MULTILINE | re.DOTALL)
    before, _, after = page.partition(HEAD)
    rest = re.sub(r"\A(\n\|.*)*\n?", "", after)
    return before + table() + rest


def test_the_page_says_what_the_program_does() -> None:
    page = PAGE.read_text("utf-8")
    assert rewritten(page) == page


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text("utf-8")), "utf-8")
