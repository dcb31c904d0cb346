"""Some people with devices, and a server for them: in this process for visitor.py, and served for a real browser."""

from __future__ import annotations

import base64
import contextlib
import random
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from provision.clock import Clock, FileClock, ManualClock
from provision.errors import CodeMismatch
from provision.model import OtpParameters, Secret
from provision.otp import code_at
from provision.servers.backend import Device, Registration
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.roles import Role
from tests.servers.live import serving
from tests.servers.over_http import Service
from tests.web.visitor import Page, Visitor

NOW_S = datetime(2026, 11, 24, 8, 5, tzinfo=UTC).timestamp()
CUTOVER_S = datetime(2027, 2, 1, tzinfo=UTC).timestamp()
TOTP = OtpParameters()
DAY_S = 86_400

PHONE, TOKEN, TABLET = (str(UUID(int=number)) for number in (1, 2, 3))
_DEVICES = {
    PHONE: ("anna", "My phone", None),
    TOKEN: ("anna", "Key ring token", "40123"),
    TABLET: ("carla", "Tablet", None),
}


def seed(device_id: str) -> Secret:
    return Secret(f"planted secret of {device_id[-2:]}".encode())


def populate(folder: Path) -> Made:
    """Anna has two devices, Ben none yet, Carla one and trouble with it. An API token of each role."""
    clock = ManualClock(NOW_S - 60 * DAY_S)
    with EmbeddedServer.init(folder / "server.db", clock, random.Random(1).randbytes) as server:
        server.set_cutover(CUTOVER_S)
        clock.advance(NOW_S - 30 * DAY_S - clock.now())
        server.add_people(["anna", "ben", "carla"])
        for number, (device_id, (user, name, serial)) in enumerate(_DEVICES.items(), start=1):
            server.register(Registration(UUID(int=number), user, name, serial, seed(device_id), TOTP))
        clock.advance(27 * DAY_S)
        server.check("anna", code_at(seed(TOKEN), TOTP, TOTP.step_at(clock.now()) - 1), device_id=TOKEN)
        clock.advance(2 * DAY_S)
        server.check("anna", code_at(seed(PHONE), TOTP, TOTP.step_at(clock.now())))
        clock.advance(NOW_S - 60 - clock.now())
        for _ in range(3):
            clock.advance(15)
            with contextlib.suppress(CodeMismatch):
                server.check("carla", "000000")
        clock.advance(NOW_S - clock.now())
        tokens = {
            role: server.create_api_token(role.value, role, "anna" if role is Role.USER else None)[1].reveal().decode()
            for role in Role
        }
    return Made(folder, tokens)


@dataclass(frozen=True)
class Made:
    """What `populate` made, to be copied for each test. `tokens`: API tokens by role."""

    folder: Path
    tokens: dict[Role, str]


class _Populated:
    """`clock` is the server's too."""

    clock: Clock

    def __init__(self, made: Made, folder: Path) -> None:
        shutil.copytree(made.folder, folder, dirs_exist_ok=True)
        self.path, self.tokens = folder / "server.db", made.tokens

    def open(self) -> EmbeddedServer:
        return EmbeddedServer(self.path, self.clock, random.Random(2).randbytes)

    def state(self) -> list[Device]:
        with self.open() as server:
            return list(server.list())

    def device(self, device_id: str) -> Device:
        with self.open() as server:
            return server.device(device_id)

    def code(self, device_id: str) -> str:
        return code_at(seed(device_id), TOTP, TOTP.step_at(self.clock.now()))

    def codes(self, device_id: str, *, behind_steps: int) -> tuple[str, str]:
        """The two that a device shows now and next, if its clock is slow."""
        step = TOTP.step_at(self.clock.now()) - behind_steps
        return code_at(seed(device_id), TOTP, step - 1), code_at(seed(device_id), TOTP, step)


class Desk(_Populated):
    """In this process."""

    def __init__(self, made: Made, folder: Path) -> None:
        super().__init__(made, folder)
        self.clock = ManualClock(NOW_S)
        self.service = Service(self.open, self.clock)

    def visitor(self, role: Role) -> Visitor:
        """Somebody who signed in, where that role may."""
        visitor = Visitor(self.service)
        visitor.sign_in(self.tokens[role])
        return visitor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.service.close()


class Office(_Populated):
    """As a process that a browser can reach, at `url`; its clock stands until `advance`."""

    def __init__(self, made: Made, folder: Path, *options: str) -> None:
        super().__init__(made, folder)
        file = folder / "clock"
        file.write_text(f"{NOW_S!r}\n")
        self.clock = FileClock(file)
        self._stack = ExitStack()
        self.url = self._stack.enter_context(serving(self.path, "--clock", f"file:{file}", *options)).url

    def advance(self, seconds: float) -> None:
        self.clock.wait_until(self.clock.now() + seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


class Enrolled:
    """What the page of a new device shows."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.uri = next(link for link in page.links if link.startswith("otpauth:"))
        fields = parse_qs(urlsplit(self.uri).query)
        self.base32 = fields["secret"][0]
        self.secret = Secret(base64.b32decode(self.base32 + "=" * (-len(self.base32) % 8)))
        self.parameters = OtpParameters(digits=int(fields["digits"][0]), time_step_s=int(fields["period"][0]))

    def code(self, now_s: float) -> str:
        return code_at(self.secret, self.parameters, self.parameters.step_at(now_s))
