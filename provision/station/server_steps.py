"""What programming does at the server: the device is registered once, and accepts a code of the token once.

A server accepts each step once, so a code whose fate is unknown must not be sent again: the step is on record before
it is used, and after an unknown result only a later one will do.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from provision.errors import AlreadyRegistered, CodeReplayed, Rejected, UsageError
from provision.model import Secret
from provision.servers.backend import Acceptance, Device, Registration, ServerBackend, ServerCapability, folded
from provision.station.job import Job, SeedOrigin
from provision.station.shown import TokenCode

_TRIES = 3  # replays in a row: one is a code that somebody used meanwhile, three are something else


class ServerSteps:
    """The steps of one job at one server."""

    def __init__(self, server: ServerBackend, job: Job, serial: str) -> None:
        self._server = server
        self._job = job
        self._serial = serial

    def require_able(self) -> None:
        """Raises UsageError for a server that cannot prove a code."""
        if ServerCapability.CHECK not in self._server.capabilities:
            raise UsageError(
                f"the server {self._job.server} cannot check a code without its user, so no token is proven to it",
                hint="use another server",
            )

    def require_room(self) -> None:
        """Ask, before anything is written, what would make `register` fail at the end of a new job."""
        if self._job.origin is SeedOrigin.SERVER:
            self._given()
            return
        wanted = folded(self._job.name)
        if any(folded(device.name) == wanted for device in self._server.list(self._job.user)):
            raise AlreadyRegistered(
                f"{self._job.user} has a device named {self._job.name!r} at {self._job.server} already",
                hint="choose another --name, or retire that device",
            )

    def register(self, uuid: UUID, secret: Secret) -> Device:
        """The device at the server, the same one however often this is done."""
        job = self._job
        if job.origin is SeedOrigin.SERVER:
            return self._given()
        return self._server.register(Registration(uuid, job.user, job.name, self._serial, secret, job.parameters))

    def prove(
        self, device_id: str, logged_step: int | None, code_from: Callable[[int], TokenCode], log: Callable[[int], None]
    ) -> Acceptance:
        """Have the server accept a code of a step later than `logged_step`.

        `code_from(least_step)` gives a right code; `log(step)` puts on record, durably, that it is about to be used.
        """
        replayed: CodeReplayed | None = None
        for _ in range(_TRIES):
            code = code_from(0 if logged_step is None else logged_step + 1)
            log(code.step)
            try:
                return self._accept(device_id, code.value)
            except CodeReplayed as error:
                logged_step, replayed = code.step, error
        assert replayed is not None, "the loop ends by a replay or not at all"
        raise replayed

    def _accept(self, device_id: str, code: str) -> Acceptance:
        """A device that somebody enrolled for a token waits for its first code: that is what proves it."""
        try:
            return self._server.check(self._job.user, code, device_id=device_id)
        except Rejected as refusal:
            if refusal.code != "pending":
                raise
        return self._server.prove(device_id, code)

    def _given(self) -> Device:
        """The device that the server made when it gave the seed."""
        job = self._job
        wanted = folded(job.name)
        found = [device for device in self._server.list(job.user) if folded(device.name) == wanted]
        if not found:
            raise Rejected(
                f"{job.user} has no device named {job.name!r} at {job.server}, which should have given this seed",
                code="unknown-device",
                hint="use the --user and --name that it was registered with; see `provision server list`",
            )
        if found[0].parameters != job.parameters:
            raise UsageError(
                f"the server's device {job.name!r} has other parameters than the URI",
                hint="give the URI as the server gave it, without --digits, --algorithm and --time-step",
            )
        return found[0]
