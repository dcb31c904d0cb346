"""The shipped state machine against the shipped token, within a budget that `make test` can afford."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from firmware_sim.testing import TokenMachine

TestToken = TokenMachine.TestCase
TestToken.settings = settings(
    max_examples=150,
    stateful_step_count=50,
    derandomize=True,
    database=None,
    deadline=None,  # the first example loads the secure channel's cryptography
    suppress_health_check=[HealthCheck.too_slow],
)
