"""Every command that a message, a help text or a document tells somebody to run exists, and so do its options."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from firmware_sim.cli import cli as firmware_sim
from provision.cli.main import provision

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {"provision": provision, "firmware-sim": firmware_sim}
NO_COMMANDS = ("provision --help",)


def texts(path: Path) -> Iterator[str]:
    """The strings of a module, what is put into them as `X`; or all of a document."""
    if path.suffix == ".md":
        yield path.read_text("utf-8").replace("\\\n", " ")
        return
    tree = ast.parse(path.read_text("utf-8"))
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def told(text: str) -> Iterator[str]:
    """What stands in backquotes, and the lines of a document's command blocks."""
    yield from (
        " ".join(quoted.split()) for quoted in re.findall(r"`([^`]+)`", re.sub("```.*?```", "", text, flags=re.S))
    )
    for block in re.findall(r"^```(?:sh)?\n(.*?)^```$", text, flags=re.M | re.S):
        yield from block.splitlines()


def commands() -> Iterator[tuple[str, str]]:
    groups = set(provision.list_commands(click.Context(provision)))
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "udev/README.md"]
    for path in [*sorted((ROOT / "provision").rglob("*.py")), *filter(Path.exists, documents)]:
        for text in texts(path):
            for command in told(text):
                words = command.split()
                if (
                    words
                    and words[0] in PROGRAMS
                    and len(words) > 1
                    and "|" not in words
                    and command not in NO_COMMANDS
                ):
                    yield path.relative_to(ROOT).as_posix(), command
                elif len(words) == 2 and words[0] in groups and words[0] != "demo" and path.suffix == ".py":
                    yield path.relative_to(ROOT).as_posix(), f"provision {command}"


def missing(command: str) -> str | None:
    """What of a command line does not exist."""
    words = shlex.split(command.partition(" #")[0].partition(" > ")[0].partition(" <")[0])
    found: click.Command = PROGRAMS[words.pop(0)]
    while isinstance(found, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        inner = found.get_command(click.Context(found), name)
        if inner is None:
            return name
        found = inner
    options = {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)}
    given = [word.partition("=")[0] for word in words if word.startswith("--")]
    return next((option for option in given if option not in options | {"--help"}), None)


@pytest.mark.parametrize(("where", "command"), sorted(set(commands())))
def test_it_exists(where: str, command: str) -> None:
    assert missing(command) is None


@pytest.mark.parametrize("command", ["provision token lis", "provision token list", "provision info --tokem x"])
def test_what_does_not_exist_is_found(command: str) -> None:
    assert missing(command)


def without_json(command: click.Command, words: str) -> Iterator[str]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from without_json(child, f"{words} {name}")
    elif not any("--json" in option.opts for option in command.params):
        yield words


def test_which_commands_have_json_is_what_the_readme_says() -> None:
    assert "Every command but `demo` has `--json`." in (ROOT / "README.md").read_text("utf-8")
    found = [words for program, command in PROGRAMS.items() for words in without_json(command, program)]
    assert found == ["provision demo"]
