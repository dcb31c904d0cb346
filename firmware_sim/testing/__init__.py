"""For tests, ours and other people's: a bench with a token on it, an administrator, and a Hypothesis state machine.

    class MyTokenMachine(TokenMachine):
        def make_bench(self) -> Bench: ...

    TestMyToken = MyTokenMachine.TestCase

The machine needs the `hypothesis` package; nothing else of ours does.
"""

from firmware_sim.testing.bench import START_S, Bench, SteadyOscillator, make_bench
from firmware_sim.testing.host import Host
from firmware_sim.testing.machine import TokenMachine

__all__ = ["START_S", "Bench", "Host", "SteadyOscillator", "TokenMachine", "make_bench"]
