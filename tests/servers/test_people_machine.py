"""People, the server and the model live through random lives together: in the file, and over HTTP."""

from __future__ import annotations

import contextlib

from hypothesis import settings

from provision.servers.backend import ServerBackend
from provision.servers.remote import RemoteServer
from provision.servers.roles import Role
from tests.servers.over_http import Service
from tests.servers.people_machine import PeopleMachine


class RemotePeopleMachine(PeopleMachine):
    """An administrator, and people for themselves, before the same file."""

    def opened(self) -> ServerBackend:
        self.service = Service(self.file)
        return self.remote(Role.ADMINISTRATOR, None)

    def remote(self, role: Role, user: str | None) -> ServerBackend:
        with self.file() as file:
            _, api_token = file.create_api_token(f"{role.value} {len(file.api_tokens())}", role, user)
        return RemoteServer(self.service.exchange(api_token.reveal().decode()))

    def as_person(self, user: str) -> contextlib.AbstractContextManager[ServerBackend]:
        return contextlib.nullcontext(self.remote(Role.USER, user))

    def shut(self) -> None:
        self.service.close()


TestPeopleMachine = PeopleMachine.TestCase
TestPeopleMachine.settings = settings(max_examples=30, stateful_step_count=40)
TestRemotePeopleMachine = RemotePeopleMachine.TestCase
TestRemotePeopleMachine.settings = settings(max_examples=8, stateful_step_count=30)
