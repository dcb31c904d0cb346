"""Sockets, TLS, uvicorn: from an app to something that listens."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from provision.errors import InputError, UsageError

HEAD_S = 10.0  # seconds in which a TLS handshake must be done, and then the head of a request must have come
STOP_S = 10  # seconds that requests under way are given when the server stops
FAREWELL_S = 1.0  # seconds in which the other side must have closed a connection that is over
MAX_CONNECTIONS = 512
_BACKLOG = 512
_LISTEN_HINT = "HOST is an address of this machine"
_LISTEN_HINTS = {
    errno.EADDRINUSE: "another program listens there",
    errno.EACCES: "ports below 1024 are the system's: take another, or a service manager's socket (fd:3)",
}

if sys.platform == "win32":
    _SystemLoop = asyncio.ProactorEventLoop
else:
    _SystemLoop = asyncio.SelectorEventLoop


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM: the certificate with those that vouch for it, and its private key."""

    certificate: Path
    key: Path


class PatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, with an end to the patience: it alone would wait for a request's head for ever."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn's own
        super().connection_made(transport)
        # asyncio does so only for sockets that were made with an explicit protocol number, which a listener's are not;
        # without it each answer's body waits 40 ms for the acknowledgement of its head.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._time_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._time_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_timer()

    def _time_head(self) -> None:
        """Between requests the timer runs, from the first byte on and not anew with each; within one it does not."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_timer()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_S, self.transport.close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class PatientLoop(_SystemLoop):
    """asyncio's own, which alone gives a TLS handshake a minute, and the other side half of one to close, too."""

    async def create_server(self, *arguments: Any, **options: Any) -> asyncio.Server:
        if options.get("ssl") is not None:
            options |= {"ssl_handshake_timeout": HEAD_S, "ssl_shutdown_timeout": FAREWELL_S}
        return await super().create_server(*arguments, **options)


def listen(where: str) -> socket.socket:
    """A listening socket at `HOST:PORT` or `PORT` of this machine; port 0 takes a free one. `fd:N`: one that whoever
    started this process has made. Raises UsageError."""
    if where.startswith("fd:"):
        return _inherited(where)
    host, _, port = where.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError(
            f"{where!r} is no place to listen at", hint="use PORT or HOST:PORT, for example 127.0.0.1:8443, or fd:3"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=_BACKLOG)
    except socket.gaierror as error:
        raise UsageError(f"cannot listen at {where}: {error.strerror}", hint=_LISTEN_HINT) from None
    except OSError as error:
        hint = _LISTEN_HINTS.get(error.errno or 0, _LISTEN_HINT)
        raise UsageError(f"cannot listen at {where}: {os.strerror(error.errno or 0)}", hint=hint) from None


def _inherited(where: str) -> socket.socket:
    number = where.removeprefix("fd:")
    try:
        listener = socket.socket(fileno=int(number))
        listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except (ValueError, OSError):
        listens = 0
    if not listens or listener.family not in (socket.AF_INET, socket.AF_INET6):
        raise UsageError(f"{where!r} is no listening socket", hint="a service manager hands on its first one as fd:3")
    return listener


def url_of(listener: socket.socket, tls: TlsFiles | None) -> str:
    host, port = listener.getsockname()[:2]
    return f"{'http' if tls is None else 'https'}://{f'[{host}]' if ':' in host else host}:{port}"


def stays_on_this_machine(listener: socket.socket) -> bool:
    host: str = listener.getsockname()[0]
    return host.startswith("127.") or host == "::1"


def prepare(app: FastAPI, tls: TlsFiles | None) -> uvicorn.Server:
    """What serves `app`, its certificate read. Raises InputError for one that cannot be used."""
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,  # whom somebody asks about is nobody else's business
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS + 1,  # at that many, all are refused
        timeout_graceful_shutdown=STOP_S,
        ssl_certfile=None if tls is None else tls.certificate,
        ssl_keyfile=None if tls is None else tls.key,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # not a line for each client that cannot speak HTTP
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        if tls is None:
            raise
        raise _unusable(tls, error) from None
    return uvicorn.Server(config)


def serve(server: uvicorn.Server, listener: socket.socket) -> None:
    """Until SIGTERM, which lets the caller close what it has opened, or Ctrl-C, which is raised once all is done."""

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn sends itself again what has stopped it: by itself SIGTERM would then end the process on the spot.
    before = signal.signal(signal.SIGTERM, stop)
    try:
        with asyncio.Runner(loop_factory=PatientLoop) as runner:
            runner.run(server.serve([listener]))
    finally:
        signal.signal(signal.SIGTERM, before)


def _unusable(tls: TlsFiles, error: OSError) -> InputError:
    for path in (tls.certificate, tls.key):
        try:
            content = path.read_bytes()
        except OSError as unread:
            return InputError(f"{path} cannot be read: {unread.strerror}")
        if b"ENCRYPTED" in content:
            return InputError(
                f"the key in {path} is under a passphrase, and there is nobody to ask",
                hint=f"`openssl pkey -in {path}` writes it without one, for a file of mode 0600",
            )
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    said = {"KEY_VALUES_MISMATCH": "the key is that of another certificate"}.get(reason or "", reason or "not PEM")
    return InputError(f"{tls.certificate} and {tls.key} cannot be used: {said}", hint="two PEM files of one pair")
