"""`provision`, but somebody dies at a given instant of `token program`: this process itself, or the simulator.

    python mortal_tool.py STEP PHASE VICTIM-PID ARGUMENTS-OF-PROVISION...

VICTIM-PID 0 is this process. The command line is the real one; only the observer of programming also holds the knife.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from provision.cli.main import main
from provision.station import program as programming
from provision.station.program import Observer, Phase
from provision.station.states import State


def with_knife(observer: Observer, step: State, phase: Phase, victim: int) -> Observer:
    def watch(at: State, when: Phase, note: str) -> None:
        observer(at, when, note)
        if (at, when) == (step, phase):
            os.kill(victim or os.getpid(), signal.SIGKILL)

    return watch


def arm(step: State, phase: Phase, victim: int) -> None:
    true_program = programming.program

    def program(job: Any, *, observer: Observer, **others: Any) -> Any:
        return true_program(job, observer=with_knife(observer, step, phase, victim), **others)

    programming.program = program


if __name__ == "__main__":
    arm(State(sys.argv[1]), Phase(sys.argv[2]), int(sys.argv[3]))
    sys.exit(main(sys.argv[4:]))
