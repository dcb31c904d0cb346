"""Going to the background: the caller goes on when the token serves, not a moment earlier."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass

from firmware_sim.control.errors import ControlError

Line = dict[str, str]
Announce = Callable[[list[Line]], None]


@dataclass(frozen=True, slots=True)
class Detached:
    """In the process that stays: what the other one announced, or how it ended if it never did (it said why)."""

    lines: list[Line]
    exit_code: int


def detach(serve: Callable[[Announce], None]) -> Detached | None:
    """Run `serve` in a process and session of its own, and return here once it has announced its tokens.

    In that other process: None, when the simulation has ended; raises what `serve` raises. Raises ControlError where
    there is no fork.
    """
    if not hasattr(os, "fork"):
        raise ControlError("this system cannot detach a process; leave --detach out and use your shell's background")
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        with open(reader, encoding="utf-8") as pipe:
            lines = [json.loads(line) for line in pipe]
        return Detached(lines, 0 if lines else os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os.close(reader)
    os.setsid()
    serve(lambda lines: _leave(lines, writer))
    return None


def _leave(lines: list[Line], writer: int) -> None:
    """Tell the waiting process, and let go of its terminal, so that a pipe from it ends when it ends."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.close(nothing)
    with open(writer, "w", encoding="utf-8") as pipe:
        pipe.writelines(json.dumps(line) + "\n" for line in lines)
