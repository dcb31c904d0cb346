"""How an error is told over HTTP: a status code, and `{"error": {"type", "message", "hint", ...its attributes}}`.

    401  no API token, or an unknown one    413  too large
    403  not with this role                 422  InputError, CodeMismatch
    404  no such device, user or route      429  Throttled (Retry-After)
    405  no such method                     500  a defect of ours
    408  too slow                           503  the file cannot be used now, or too many searches
    409  AlreadyRegistered, CodeReplayed, Fallback, Rejected for any other reason

`type` is the class in provision/errors.py, and what a program should look at: a status code says less.
"""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse

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
)

_BY_TYPE: dict[type[ProvisionError], int] = {
    InputError: 422,
    CodeMismatch: 422,
    CodeReplayed: 409,
    Fallback: 409,
    AlreadyRegistered: 409,
    Throttled: 429,
    Unreachable: 503,
}
_BY_CODE = {
    "unauthenticated": 401,
    "forbidden": 403,
    "unknown-device": 404,
    "unknown-user": 404,
    "no-such-route": 404,
    "no-such-method": 405,
    "too-slow": 408,
    "too-large": 413,
    "busy": 503,
}
_OTHERWISE = 409


class Told(BaseModel):
    """`type`: what a program should look at. Some have more: `code`, `retry_after_s`, `until_s`."""

    model_config = ConfigDict(extra="allow")

    type: str
    message: str
    hint: str | None


class Problem(BaseModel):
    """What every refusal is."""

    error: Told


# For OpenAPI: any route may be answered so.
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem} for status in (401, 403, 404, 405, 408, 409, 413, 422, 429, 500, 503)
}


def answer(error: ProvisionError) -> JSONResponse:
    """What the client is told of an error that was raised on purpose."""
    told: dict[str, Any] = {"type": type(error).__name__, **vars(error)}
    status = _BY_CODE.get(error.code, _OTHERWISE) if isinstance(error, Rejected) else _BY_TYPE[type(error)]
    headers = {}
    if isinstance(error, Throttled) and error.retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Unreachable):  # its text names files of this machine, and what is wrong with them
        told = {
            "type": "Unreachable",
            "message": "the server cannot use its database now",
            "hint": "nothing was changed; try again, and if it lasts look at the server's own messages",
        }
    return JSONResponse({"error": told}, status, headers)


def defect() -> JSONResponse:
    """For what was not raised on purpose, of which nothing is told."""
    told = {"type": "InternalError", "message": "a defect of the server", "hint": "its own messages tell where"}
    return JSONResponse({"error": told}, 500)
