"""A server of ours over HTTP: `https://HOST[:PORT]`, or `http://` on this machine. docs/SERVER.md is what it speaks.

One connection a request: the commands ask a server a few things and are done, and a request that left on a connection
which the server was just closing would have an unknown outcome.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from provision.clock import Clock
from provision.closing import Closing
from provision.errors import (
    AlreadyRegistered,
    CodeMismatch,
    CodeReplayed,
    Fallback,
    InputError,
    ProvisionError,
    Rejected,
    Throttled,
    Unreachable,
    UsageError,
)
from provision.model import OtpParameters, Secret
from provision.servers.backend import (
    USUAL,
    Acceptance,
    Attempt,
    AttemptOutcome,
    Credential,
    Device,
    Enrolment,
    Fits,
    HistoryEntry,
    Person,
    Registration,
    SeedSearch,
    ServerCapability,
)
from provision.servers.plain import fits_of, parameters_of, plain_parameters

TIMEOUT_S = 40.0  # longer than the server waits for its own database, or for a search
MAX_ANSWER = 256 * 2**20  # bytes: a list of every device of a large organisation
_PEOPLE_AT_ONCE = 20  # what a request has room for, with the longest names
_API_TOKEN = re.compile(rb"hwt_[0-9a-f]+_[0-9a-f]+")
_LOCAL = ("127.0.0.1", "::1", "localhost")

# What an error says of itself beyond its text; whatever else a server sends is not believed.
_ERRORS: dict[str, tuple[type[ProvisionError], tuple[str, ...]]] = {
    "InputError": (InputError, ()),
    "CodeMismatch": (CodeMismatch, ()),
    "CodeReplayed": (CodeReplayed, ()),
    "AlreadyRegistered": (AlreadyRegistered, ()),
    "Unreachable": (Unreachable, ()),
    "Rejected": (Rejected, ("code",)),
    "Throttled": (Throttled, ("retry_after_s",)),
    "Fallback": (Fallback, ("until_s",)),
}


T = TypeVar("T")


class Exchange(Protocol):
    """One request and its answer: the seam below which there is a network."""

    def __call__(self, method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
        """The status code and the body. Raises Unreachable."""


def open_https(rest: str, _clock: Clock, credential: Credential) -> RemoteServer:
    """The server that `https:REST` names; its clock is the one that counts. Raises UsageError, and what `credential`
    raises."""
    return _open("https", rest, credential)


def open_http(rest: str, _clock: Clock, credential: Credential) -> RemoteServer:
    """The server that `http:REST` names, on this machine only: nothing protects what would leave it. Raises as
    `open_https` does."""
    return _open("http", rest, credential)


class RemoteServer(Closing):
    """A ServerBackend over an Exchange. It keeps nothing open."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    @property
    def capabilities(self) -> frozenset[ServerCapability]:
        return frozenset(ServerCapability)

    @property
    def window_steps(self) -> tuple[int, int]:
        return self._ask("GET", "/v1/expected", read=lambda told: (told["back_steps"], told["forward_steps"]))

    def now(self) -> float:
        return self._ask("GET", "/v1/expected", read=lambda told: float(told["now_s"]))

    def close(self) -> None:
        """Nothing is open between two requests."""

    def check(self, user: str, code: str, *, device_id: str | None = None) -> Acceptance:
        """Accept a code, once. Unreachable after it left: it may be spent, so the next code is the one to use."""
        given = {"user": user, "code": code, "device_id": device_id}
        return self._ask("POST", "/v1/check", given, read=_acceptance)

    def resync(self, device_id: str, first: str, second: str) -> Acceptance:
        return self._ask("POST", _path(device_id, "/resync"), {"first": first, "second": second}, read=_acceptance)

    def register(self, registration: Registration) -> Device:
        given = {
            "uuid": str(registration.uuid),
            "user": registration.user,
            "name": registration.name,
            "serial": registration.serial,
            "secret": base64.b32encode(registration.secret.reveal()).decode("ascii").rstrip("="),
            **plain_parameters(registration.parameters),
        }
        return self._ask("POST", "/v1/devices", given, read=_device)

    def set_drift(self, device_id: str, drift_steps: int) -> None:
        self._do("PUT", _path(device_id, "/drift"), {"drift_steps": drift_steps})

    def list(self, user: str | None = None) -> Sequence[Device]:
        target = "/v1/devices" if user is None else f"/v1/devices?{_query(user=user)}"
        return self._ask("GET", target, read=lambda told: [_device(plain) for plain in told["devices"]])

    def rename(self, device_id: str, name: str) -> None:
        self._do("PATCH", _path(device_id), {"name": name})

    def assign(self, device_id: str, user: str) -> None:
        self._do("PUT", _path(device_id, "/user"), {"user": user})

    def unassign(self, device_id: str) -> None:
        self._do("DELETE", _path(device_id, "/user"))

    def disable(self, device_id: str) -> None:
        self._do("POST", _path(device_id, "/disable"))

    def enable(self, device_id: str) -> None:
        self._do("POST", _path(device_id, "/enable"))

    def delete(self, device_id: str, *, even_if_locked_out: bool = False) -> None:
        meant = f"?{_query(even_if_locked_out='true')}" if even_if_locked_out else ""
        self._do("DELETE", _path(device_id) + meant)

    def enrol(self, user: str, name: str, *, parameters: OtpParameters = USUAL) -> Enrolment:
        """Unreachable after it left: it may have been made, but nobody has its seed; delete it."""
        given = {"user": user, "name": name, **plain_parameters(parameters)}
        return self._ask("POST", "/v1/enrolments", given, read=_enrolment)

    def prove(self, device_id: str, code: str) -> Acceptance:
        """Unreachable after it left: it may be spent, and the device proved."""
        return self._ask("POST", _path(device_id, "/prove"), {"code": code}, read=_acceptance)

    def people(self) -> Sequence[Person]:
        return self._ask("GET", "/v1/people", read=lambda told: [Person(**plain) for plain in told["people"]])

    def add_people(self, users: Sequence[str]) -> Sequence[str]:
        """In requests of 20, each of them all or none: adding the same people again does no harm."""
        new: list[str] = []
        for start in range(0, len(users), _PEOPLE_AT_ONCE):
            given = {"users": list(users[start : start + _PEOPLE_AT_ONCE])}
            new += self._ask("POST", "/v1/people", given, read=lambda told: list(told["new"]))
        return new

    def remove_person(self, user: str) -> None:
        self._do("DELETE", f"/v1/people?{_query(user=user)}")

    def set_fallback(self, user: str, until_s: float | None) -> Person:
        given = {"user": user, "until_s": until_s}
        return self._ask("PUT", "/v1/fallback", given, read=lambda told: Person(**told))

    @property
    def cutover_s(self) -> float | None:
        return self._ask("GET", "/v1/cutover", read=_cutover_s)

    def set_cutover(self, at_s: float | None) -> None:
        self._do("PUT", "/v1/cutover", {"cutover_s": at_s})

    def history(self, device_id: str | None = None) -> Iterator[HistoryEntry]:
        """All of it is read before the first entry: the server has it in the order in which it happened."""
        named = {} if device_id is None else {"device_id": device_id}
        entries = self._pages("/v1/history", lambda plain: HistoryEntry(**plain), **named)
        yield from sorted(entries, key=lambda entry: entry.device_id)  # stable: of each device still oldest first

    def attempts(self, since_s: float) -> Sequence[Attempt]:
        return list(self._pages("/v1/attempts", _attempt, since_s=since_s))

    def matching_steps(self, device_id: str, codes: Sequence[str], steps: range) -> Sequence[int]:
        given = {"codes": list(codes), "start": steps.start, "stop": steps.stop}
        target = _path(device_id, "/matching-steps")
        return self._ask("POST", target, given, read=lambda told: list(map(int, told["steps"])))

    def beside_seed(self, device_id: str, codes: Sequence[str], first_s: int, search: SeedSearch) -> Fits:
        """The server there has a search of its own. Rejected (busy) if too many desks ask at once."""
        given = {"codes": list(codes), "first_s": first_s}
        return self._ask("POST", _path(device_id, "/search"), given, read=fits_of)

    def _pages(self, path: str, entry: Callable[[Any], T], **named: object) -> Iterator[T]:
        def read(page: Any) -> tuple[list[T], int | None]:
            return [entry(plain) for plain in page["entries"]], page["next_after"]

        after: int | None = 0
        while after is not None:
            entries, after = self._ask("GET", f"{path}?{_query(after=after, **named)}", read=read)
            yield from entries

    def _do(self, method: str, target: str, given: dict[str, Any] | None = None) -> None:
        self._ask(method, target, given, read=lambda _: None)

    def _ask(self, method: str, target: str, given: dict[str, Any] | None = None, *, read: Callable[[Any], T]) -> T:
        """What `read` makes of the answer's JSON, which is None where there is none. Raises what the server raised, and
        Unreachable for an answer that none of ours would give."""
        body = None if given is None else json.dumps(given).encode("ascii")
        status, answer = self._exchange(method, target, body)
        try:
            told = None if status == 204 else json.loads(answer)
            if status in (200, 201, 204):
                return read(told)
        except (ValueError, LookupError, TypeError, AttributeError):  # no JSON, or of another shape
            raise _stranger(status) from None
        raise _error(status, told)


class _Connection:
    """An Exchange over the network."""

    def __init__(self, host: str, port: int | None, tls: ssl.SSLContext | None, api_token: Secret) -> None:
        self._host, self._port, self._tls, self._api_token = host, port, tls, api_token

    def __call__(self, method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {self._api_token.reveal().decode('ascii')}", "Connection": "close"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection = (
            http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
            if self._tls is None
            else http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT_S, context=self._tls)
        )
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            answer = response.read(MAX_ANSWER + 1)
        except ssl.SSLCertVerificationError as error:
            raise Unreachable(
                f"{self._host} does not prove that it is {self._host}: {error.verify_message}",
                hint="for an authority of your own set SSL_CERT_FILE to its certificate",
            ) from None
        except (OSError, http.client.HTTPException) as error:
            reason = (isinstance(error, OSError) and error.strerror) or type(error).__name__
            raise Unreachable(
                f"the server at {self._host} cannot be reached: {reason}",
                hint="see that it runs; if a code had left already, use the next one",
            ) from None
        finally:
            connection.close()
        if len(answer) > MAX_ANSWER:
            raise Unreachable(f"the server at {self._host} answers with more than {MAX_ANSWER} bytes")
        return response.status, answer


def _open(scheme: str, rest: str, credential: Credential) -> RemoteServer:
    address = f"{scheme}:{rest}"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise UsageError(f"{address!r} is not a server's address", hint="use https://HOST or https://HOST:PORT")
    if scheme == "http" and host not in _LOCAL:
        raise UsageError(
            f"{address} would send the API token and codes over the network in the clear",
            hint="use https://; http:// is for servers on this machine",
        )
    api_token = credential()
    if not _API_TOKEN.fullmatch(api_token.reveal()):
        raise InputError("that is not an API token", hint="one begins with hwt_")
    tls = ssl.create_default_context() if scheme == "https" else None
    return RemoteServer(_Connection(host, port, tls, api_token))


def _path(device_id: str, more: str = "") -> str:
    """Raises Rejected (unknown-device) for what no server could tell from a path with another meaning: to most, an
    escaped slash is a slash."""
    if "/" in device_id:
        raise Rejected(f"there is no device {device_id!r}", code="unknown-device", hint="list shows those there are")
    return f"/v1/devices/{quote(device_id, safe='')}{more}"


def _query(**values: object) -> str:
    return urlencode(values)


def _attempt(plain: Any) -> Attempt:
    return Attempt(**{**plain, "outcome": AttemptOutcome(plain["outcome"])})


def _cutover_s(plain: Any) -> float | None:
    at_s = plain["cutover_s"]
    return None if at_s is None else float(at_s)


def _enrolment(plain: Any) -> Enrolment:
    return Enrolment(_device(plain["device"]), Secret(plain["otpauth"].encode("ascii")))


def _acceptance(plain: Any) -> Acceptance:
    return Acceptance(plain["device_id"], plain["step"], plain["drift_steps"])


def _device(plain: Any) -> Device:
    return Device(**{**plain, "parameters": parameters_of(plain["parameters"])})


def _error(status: int, told: Any) -> ProvisionError:
    plain = told.get("error") if isinstance(told, dict) else None
    if not isinstance(plain, dict) or str(plain.get("type")) not in _ERRORS:
        return _stranger(status)
    kind, attributes = _ERRORS[plain["type"]]
    hint = None if plain.get("hint") is None else str(plain["hint"])
    return kind(str(plain.get("message")), hint=hint, **{name: plain.get(name) for name in attributes})


def _stranger(status: int) -> Unreachable:
    return Unreachable(
        f"what answers there, with status {status}, is not a server of ours, or is out of order",
        hint="see that the address is the server's; its own messages tell what is wrong",
    )
