"""What the two Token2 families have in common on the host: commands and what their status words mean, the clock in
whole seconds, and all that such a token has not.

Codes never leave these tokens by wire. Whoever wants one reads it on the screen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from provision.clock import Clock
from provision.errors import InputError, NotSupported
from provision.families.applets import decoded
from provision.families.refusal import Reasons, refusal
from provision.links.link import Link
from provision.model import Algorithm, Capability, ClockReading, Code, NewCredential, OathType, Secret
from provision.wire import sm4_secure
from provision.wire.apdu import Command, Response, Sw, decode_response, encode_command
from provision.wire.sm4_secure import HashKind

HASHES = {Algorithm.SHA1: HashKind.SHA1, Algorithm.SHA256: HashKind.SHA256}
ALGORITHMS = {kind: algorithm for algorithm, kind in HASHES.items()}
RESOLUTION_S = 1.0  # they tell whole seconds

_T = TypeVar("_T")


class Sm4Session:
    """The part of a Session (families/driver.py) that both share. `product`: `a Molto2`, in sentences."""

    product: str

    def __init__(self, link: Link, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._who = f"the token at {link.address}"

    # What they have not

    def calculate(self, name: str, *, step: int | None = None) -> Code:
        raise NotSupported(
            f"{self.product} shows its codes on its screen and tells them to no host",
            capability=Capability.CODE_READ.value,
            hint="press its button and read the code there; `provision token verify` asks for it",
        )

    def check_value(self, name: str, secret: Secret) -> bool | None:
        raise NotSupported(
            f"{self.product} proves its seed by nothing but the codes on its screen",
            capability=Capability.CHECK_VALUE.value,
            hint="compare them with `provision token verify --seed-file`",
        )

    def set_label(self, label: str) -> None:
        raise NotSupported(
            f"{self.product} has no name of its own",
            capability=Capability.RENAME_TOKEN.value,
            hint="write its serial on a label",
        )

    def set_pin(self, pin: Secret) -> None:
        raise self._no_pin()

    def change_pin(self, pin: Secret, new_pin: Secret) -> None:
        raise self._no_pin()

    def verify_pin(self, pin: Secret) -> None:
        raise self._no_pin()

    def unblock(self, new_pin: Secret | None) -> None:
        raise self._no_pin()

    def _no_pin(self) -> NotSupported:
        return NotSupported(
            f"{self.product} has no keys to type a PIN, and asks for none",
            capability=Capability.PIN.value,
            hint="program it with --no-pin",
        )

    # What they hold

    def _require_storable(self, credential: NewCredential, digits: Sequence[int]) -> None:
        """Raises InputError, NotSupported."""
        parameters = credential.parameters
        if credential.pin:
            raise self._no_pin()
        if credential.touch or not credential.own_clock or parameters.oath_type is not OathType.TOTP:
            raise NotSupported(
                f"{self.product} gives TOTP codes by its own clock, shown at the press of its button, and no others",
                capability="credential-kind",
                hint="leave --touch out, and use TOTP",
            )
        if parameters.algorithm not in HASHES:
            raise self._cannot(f"{parameters.algorithm.value} codes", "SHA1 or SHA256")
        if parameters.digits not in digits:
            raise self._cannot(f"codes of {parameters.digits} digits", " or ".join(map(str, digits)))
        if parameters.time_step_s not in sm4_secure.TIME_STEPS:
            raise self._cannot(f"a time step of {parameters.time_step_s} s", "30 or 60")
        if parameters.t0_s:
            raise self._cannot(f"steps that count from {parameters.t0_s}", "a t0 of 0")
        seed = credential.secret.reveal()
        if not 1 <= len(seed) <= sm4_secure.MAX_SEED or not any(seed):
            raise InputError(
                f"{self.product} holds seeds of 1 to {sm4_secure.MAX_SEED} bytes that are not all zero, "
                f"not this one of {len(seed)}"
            )

    def _cannot(self, what: str, instead: str) -> NotSupported:
        return NotSupported(f"{self.product} has no {what}", capability="otp-parameters", hint=f"it has {instead}")

    # The wire

    def _read_clock(self, info: Command) -> ClockReading:
        sent_s = self._clock.now()
        data = self._send(info, "tell its time")
        received_s = self._clock.now()
        seconds = self._decoded(sm4_secure.Info.decode, data).seconds
        return ClockReading(float(seconds), sent_s, received_s, RESOLUTION_S)

    def _send(self, command: Command, what: str, reasons: Reasons | None = None) -> bytes:
        """The data of the reply. `what`: a verb phrase for the error. Raises what the status word means."""
        response = self._exchange(command)
        if response.sw != Sw.OK:
            raise refusal(response.sw, self._who, what, reasons)
        return response.data

    def _exchange(self, command: Command) -> Response:
        return self._decoded(decode_response, self._link.exchange(encode_command(command)))

    def _decoded(self, decode: Callable[[bytes], _T], data: bytes) -> _T:
        return decoded(decode, data, self._who)


def asked(link: Link, command: Command) -> Response:
    """One exchange with a token of whatever family. Raises LinkError, RemoteProtocolError."""
    return decoded(decode_response, link.exchange(encode_command(command)), f"the device at {link.address}")


def unix_time(seconds: int) -> int:
    """A time that their 32 bits hold. Raises InputError."""
    if not 0 <= seconds <= sm4_secure.MAX_TIME:
        raise InputError(f"{seconds} is not a Unix time in seconds that 32 bits hold")
    return seconds


def next_edge(clock: Clock) -> int:
    """Wait for the beginning of a second, and tell which."""
    edge = int(clock.now()) + 1
    clock.wait_until(edge)
    return edge
