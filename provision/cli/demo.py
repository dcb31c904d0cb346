"""`provision demo`: a token's whole life in four acts, each step checked; exit 0 only if all did what they say."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from provision.cli.demo_acts import Step, acts_of
from provision.cli.demo_casts import FAMILIES, cast_of
from provision.cli.demo_stage import BrokenPromise, Stage

START_S = 1_767_250_800  # the morning of 2026-01-01 UTC
_PROMISED = 50  # columns for the promise; what was seen stands beside it


@dataclass(slots=True)
class Programme:
    """What the audience sees, and how many promises were kept. NO_COLOR (no-color.org) is respected."""

    color: bool
    kept: int = 0

    def open(self, text: str) -> None:
        self._line(text)

    def act(self, number: int, title: str) -> None:
        self._line("\n" + click.style(f"{number}. {title}", bold=True))

    def play(self, step: Step, stage: Stage) -> None:
        """Raises BrokenPromise, after showing it."""
        try:
            head, *rest = step.run(stage).splitlines()
        except BrokenPromise as error:
            self._line(f"   {click.style('broken', fg='red', bold=True)}  {step.promise}: {error}")
            raise
        self.kept += 1
        self._line(f"   {click.style('ok', fg='green')}  {step.promise:<{_PROMISED}}{click.style(head, fg='cyan')}")
        for line in rest:
            self._line(f"         {click.style(line, dim=True)}")

    def close(self, promised: int) -> None:
        color = "green" if self.kept == promised else "red"
        self._line("\n" + click.style(f"{self.kept} of {promised} steps as promised", fg=color, bold=True))

    def _line(self, text: str) -> None:
        click.echo(text, color=self.color)


@click.command("demo")
@click.option("--link", metavar="LINK", help="The wire that the token hangs on, as in `firmware-sim run --link`.")
@click.option("--family", type=click.Choice(FAMILIES), default=FAMILIES[0], show_default=True, help="Whose token.")
@click.option("--model", metavar="MODEL", help="Which model of the family, for example C302-i.")
def demo(link: str | None, family: str, model: str | None) -> int:
    """Show the whole life of a token, on the simulator and the embedded server."""
    cast = cast_of(family, model)
    acts = acts_of(cast)
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    programme = Programme(color=sys.stdout.isatty() and not plain)
    promised = sum(len(steps) for _, steps in acts)
    with (
        _ending_by_sigterm_too(),
        tempfile.TemporaryDirectory(prefix="hwtoken-demo-") as folder,
        Stage(Path(folder), START_S, cast, link) as stage,
    ):
        programme.open("A simulated token and every command in a process of its own, on a clock that jumps.")
        try:
            for number, (title, steps) in enumerate(acts, start=1):
                programme.act(number, title)
                for step in steps:
                    programme.play(step, stage)
        except BrokenPromise:
            programme.close(promised)
            return BrokenPromise.exit_code
    programme.close(promised)
    return 0


@contextlib.contextmanager
def _ending_by_sigterm_too() -> Iterator[None]:
    """As by Ctrl-C, which takes the token and its folder along: a CI runner that loses its patience sends this."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
