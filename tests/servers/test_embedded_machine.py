"""The server and the model live through random lives together."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.servers.server_machine import ServerMachine

TestServerMachine = ServerMachine.TestCase
TestServerMachine.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
