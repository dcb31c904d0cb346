"""One connection of the control channel, without its socket: JSON lines in, JSON lines out.

    request = {"op": OP, FIELD: VALUE, ...}
    reply   = {"ok": true, FIELD: VALUE, ...} | {"ok": false, "error": TEXT, "exit_code": N}

Where others on the machine could reach the socket, the first line has to be {"secret": SECRET}. Whatever else comes
is answered with an error that names it, and the connection lives on. {"op": "stop", "when": "hang-up"} makes the
connection the simulation's lifeline: only here is known whose it is, so it is no operation of ops.py.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from typing import Any

from firmware_sim.control.errors import ControlError

MAX_LINE = 65_536  # bytes
_STOP_AT_HANG_UP = {"op": "stop", "when": "hang-up"}

Dispatch = Callable[[dict[str, Any]], dict[str, Any]]
"""Carries one request out and returns the fields of its reply. Raises ControlError."""


class ControlSession:
    """A DeviceLink in shape, so that a Stream can carry it. `secret` None: whoever connects is trusted."""

    def __init__(self, dispatch: Dispatch, secret: str | None) -> None:
        self._dispatch = dispatch
        self._secret = secret
        self.is_lifeline = False  # whether the simulation is to end with this connection
        self._buffer = bytearray()
        self._overrun = False

    @property
    def trusted(self) -> bool:
        """Whether it is not, or no more, waiting for the secret."""
        return self._secret is None

    def receive(self, data: bytes) -> list[bytes]:
        replies = []
        self._buffer += data
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            if self._overrun or len(line) > MAX_LINE:
                self._overrun = False
                replies.append(_refusal(ControlError(f"a line over {MAX_LINE} bytes; send one JSON object a line")))
            elif line.strip():
                replies.append(self._answer(line))
        if len(self._buffer) > MAX_LINE:
            self._buffer.clear()
            self._overrun = True
        return replies

    def poll(self) -> tuple[list[bytes], float | None]:
        return [], None

    def disconnect(self) -> None:
        self._buffer.clear()

    def _answer(self, line: bytes) -> bytes:
        try:
            request = _parse(line)
            if self._secret is not None:
                self._admit(request)
                return _encode({"ok": True})
            if request == _STOP_AT_HANG_UP:
                self.is_lifeline = True
                return _encode({"ok": True})
            return _encode({"ok": True, **self._dispatch(request)})
        except ControlError as error:
            return _refusal(error)

    def _admit(self, request: dict[str, Any]) -> None:
        given = request.get("secret")
        assert self._secret is not None
        # JSON can spell half a surrogate pair, which plain UTF-8 refuses.
        if not isinstance(given, str) or not hmac.compare_digest(
            given.encode(errors="surrogatepass"), self._secret.encode()
        ):
            raise ControlError("the first line has to be the secret of this control channel, from its secret file")
        self._secret = None


def _parse(line: bytes) -> dict[str, Any]:
    # A document's text can be a PIN: the errors tell where it went wrong, never what stood there.
    try:
        request = json.loads(line.decode())
    except UnicodeDecodeError:
        raise ControlError("a line that is not UTF-8; send one JSON object a line") from None
    except json.JSONDecodeError as error:
        raise ControlError(f"not JSON: {error.msg} at column {error.colno}; send one JSON object a line") from None
    except (RecursionError, ValueError):
        raise ControlError("JSON nested too deeply or with too large a number; send one flat object a line") from None
    if not isinstance(request, dict):
        raise ControlError('a request is a JSON object, for example {"op": "ping"}')
    return request


def _refusal(error: ControlError) -> bytes:
    return _encode({"ok": False, "error": str(error), "exit_code": error.exit_code})


def _encode(reply: dict[str, Any]) -> bytes:
    return json.dumps(reply).encode() + b"\n"
