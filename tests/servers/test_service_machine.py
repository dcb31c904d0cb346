"""The server over HTTP and the model of it live through random lives together: what the file does, this does too."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from provision.servers.backend import ServerBackend
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.remote import RemoteServer
from provision.servers.roles import Role
from tests.servers.over_http import Service
from tests.servers.server_machine import ServerMachine

pytestmark = pytest.mark.service


class RemoteMachine(ServerMachine):
    """An administrator, before the same file."""

    def opened(self) -> ServerBackend:
        self.service = Service(lambda: EmbeddedServer(self.path, self.clock, self.numbers.randbytes))
        with EmbeddedServer(self.path, self.clock, self.numbers.randbytes) as file:
            _, api_token = file.create_api_token(f"administrator {len(file.api_tokens())}", Role.ADMINISTRATOR)
        return RemoteServer(self.service.exchange(api_token.reveal().decode()))

    def shut(self) -> None:
        self.service.close()


TestRemoteMachine = RemoteMachine.TestCase
TestRemoteMachine.settings = settings(
    max_examples=8, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
