"""`provision`, but somebody dies at a given instant of `token program` or `token rotate`: this process itself, or the
simulator.

    python mortal_tool.py STEP PHASE VICTIM-PID ARGUMENTS-OF-PROVISION...

VICTIM-PID 0 is this process. The command line is the real one; only the observers of the steps also hold the knife. The
steps of a retirement are observed when they are over: their PHASE is "after".
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from provision.cli.main import main
from provision.station import program as programming
from provision.station import rotate as rotating
from provision.station.program import Observer, Phase
from provision.station.retire import RetireObserver, RetireStep
from provision.station.states import State


class Knife:
    def __init__(self, step: str, phase: str, victim: int) -> None:
        self._instant = step, phase
        self._victim = victim

    def beside(self, observer: Observer) -> Observer:
        def watch(at: State, when: Phase, note: str) -> None:
            observer(at, when, note)
            self._strike(at.value, when.value)

        return watch

    def beside_retirement(self, observer: RetireObserver) -> RetireObserver:
        def watch(at: RetireStep, note: str) -> None:
            observer(at, note)
            self._strike(at.value, Phase.AFTER.value)

        return watch

    def _strike(self, step: str, phase: str) -> None:
        if (step, phase) == self._instant:
            os.kill(self._victim or os.getpid(), signal.SIGKILL)


def arm(knife: Knife) -> None:
    true_program, true_rotate = programming.program, rotating.rotate

    def program(job: Any, *, observer: Observer, **others: Any) -> Any:
        return true_program(job, observer=knife.beside(observer), **others)

    def rotate(*, observer: Observer, retire_observer: RetireObserver, **others: Any) -> Any:
        return true_rotate(
            observer=knife.beside(observer), retire_observer=knife.beside_retirement(retire_observer), **others
        )

    programming.program = program
    rotating.rotate = rotate


if __name__ == "__main__":
    arm(Knife(sys.argv[1], sys.argv[2], int(sys.argv[3])))
    sys.exit(main(sys.argv[4:]))
