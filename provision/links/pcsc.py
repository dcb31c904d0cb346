"""Cards in readers, by PC/SC: what pcscd, Windows and macOS offer to every program. Needs pyscard (extra `pcsc`).

The reader is taken exclusively, and the card is reset when the link closes: what a session established on the card
(applet, PIN, secure channel) is nobody else's, neither during the session nor after it.

PC/SC has no timeout: a transmission ends when the card answers or is gone. It runs in a thread of its own, so that
this side may stop waiting; the reader then stays taken until the card does answer, or this process ends. PC/SC does
not tell why a card is slow either: after a second of silence a touch may be what it waits for.
"""

from __future__ import annotations

import contextlib
import enum
import importlib
import math
import queue
import re
import threading
from collections.abc import Sequence
from typing import NamedTuple, Protocol, cast

from provision.closing import Closing
from provision.errors import Busy, LinkError, NotFound, OutcomeUnknown, PermissionDenied, UsageError
from provision.extras import installing
from provision.links.link import Link, LinkOptions
from provision.links.ports import Place

CARD_S = 3.0  # how long a reader may take to notice a card; vsmartcard's takes almost two seconds after a restart
TOUCH_S = 30.0  # how much longer than `timeout_s` a card may take, because it may wait for a person


class Scard(Protocol):
    """The functions of smartcard.scard (pyscard) that are used. Each gives its result code first."""

    SCARD_PCI_T0: object
    SCARD_PCI_T1: object

    def SCardEstablishContext(self, scope: int) -> tuple[int, int]: ...

    def SCardReleaseContext(self, context: int) -> int: ...

    def SCardListReaders(self, context: int, groups: Sequence[str]) -> tuple[int, list[str]]: ...

    def SCardGetStatusChange(
        self, context: int, timeout_ms: int, states: Sequence[tuple[str, int]]
    ) -> tuple[int, list[tuple[str, int, list[int]]]]: ...

    def SCardConnect(self, context: int, reader: str, share: int, protocols: int) -> tuple[int, int, int]: ...

    def SCardDisconnect(self, card: int, disposition: int) -> int: ...

    def SCardTransmit(self, card: int, pci: object, command: list[int]) -> tuple[int, list[int]]: ...

    def SCardGetErrorMessage(self, code: int) -> str: ...


@enum.unique
class Result(enum.IntEnum):
    """The result codes of PC/SC (winscard.h) that mean something here."""

    OK = 0
    UNKNOWN_READER = 0x80100009
    TIMEOUT = 0x8010000A
    SHARING_VIOLATION = 0x8010000B
    NO_SMARTCARD = 0x8010000C
    PROTO_MISMATCH = 0x8010000F
    READER_UNAVAILABLE = 0x80100017
    NO_SERVICE = 0x8010001D
    SERVICE_STOPPED = 0x8010001E
    NO_ACCESS = 0x80100027
    NO_READERS_AVAILABLE = 0x8010002E
    UNRESPONSIVE_CARD = 0x80100066
    UNPOWERED_CARD = 0x80100067
    REMOVED_CARD = 0x80100069
    SECURITY_VIOLATION = 0x8010006A


_SCOPE_SYSTEM = 2
_SHARE_EXCLUSIVE = 1
_PROTOCOL_T0, _PROTOCOL_T1 = 1, 2
_RESET_CARD = 1
_STATE_UNAWARE, _STATE_PRESENT, _STATE_MUTE = 0x00, 0x20, 0x200

_NO_SERVICE = {Result.NO_SERVICE, Result.SERVICE_STOPPED}
_NO_CARD = {Result.NO_SMARTCARD, Result.REMOVED_CARD}
_NO_READER = {Result.UNKNOWN_READER, Result.READER_UNAVAILABLE, Result.NO_READERS_AVAILABLE}
_DEAD_CARD = {Result.UNRESPONSIVE_CARD, Result.UNPOWERED_CARD, Result.PROTO_MISMATCH}
_FORBIDDEN = {Result.SECURITY_VIOLATION, Result.NO_ACCESS}


class _Card(NamedTuple):
    """A card that this process holds. `pci`: the protocol that its ATR led to, T=0 or T=1."""

    context: int
    handle: int
    pci: object


class PcscLink(Closing):
    """A Link to the card in the reader `wanted`: its name, or a part of it. Raises LinkError, UsageError."""

    def __init__(self, scard: Scard, wanted: str, options: LinkOptions) -> None:
        self._scard = scard
        self._reader = wanted
        self._address = f"pcsc:{wanted}"
        self._options = options
        self._stuck = False
        self._card: _Card | None = self._connect()

    @property
    def address(self) -> str:
        return self._address

    def exchange(self, command: bytes) -> bytes:
        if self._stuck:
            raise LinkError(f"the token at {self._address} still works on a command that was given up")
        card = self._card or self._connect()
        self._card = card
        code, reply = self._transmitted(card, command)
        if code != Result.OK:
            self._let_go()  # the next exchange begins anew, with a card that was reset
            raise OutcomeUnknown(
                f"the token at {self._address} was pulled, or restarted, in the middle of a command "
                f"({self._named(code)}); whether it carried it out is unknown",
            )
        return bytes(reply)

    def close(self) -> None:
        # A card that still works on something cannot be let go: the call would wait for it as well.
        if not self._stuck:
            self._let_go()

    def _transmitted(self, card: _Card, command: bytes) -> tuple[int, list[int]]:
        """The result code and the response. Raises OutcomeUnknown once patience is over."""
        answers: queue.SimpleQueue[tuple[int, list[int]]] = queue.SimpleQueue()

        def transmit() -> None:
            answers.put(self._scard.SCardTransmit(card.handle, card.pci, list(command)))

        self._stuck = True
        threading.Thread(target=transmit, name=self._address, daemon=True).start()
        patience_s = math.ceil(self._options.timeout_s + TOUCH_S)
        for seconds_left in range(patience_s - 1, -1, -1):
            with contextlib.suppress(queue.Empty):
                code, reply = answers.get(timeout=1.0)
                self._stuck = False
                return _unsigned(code), reply
            if self._options.on_pending:
                self._options.on_pending(seconds_left)
        raise OutcomeUnknown(
            f"the token at {self._address} did not answer for {patience_s} s; whether it carried out the last command "
            "is unknown",
        )

    def _connect(self) -> _Card:
        code, context = self._scard.SCardEstablishContext(_SCOPE_SYSTEM)
        self._check(code)
        try:
            self._reader = self._find(context)
            code, handle, protocol = self._scard.SCardConnect(
                context, self._reader, _SHARE_EXCLUSIVE, _PROTOCOL_T0 | _PROTOCOL_T1
            )
            self._check(code)
        except BaseException:
            self._scard.SCardReleaseContext(context)
            raise
        return _Card(
            context, handle, self._scard.SCARD_PCI_T0 if protocol == _PROTOCOL_T0 else self._scard.SCARD_PCI_T1
        )

    def _let_go(self) -> None:
        """Whatever these calls answer, nothing is left to be done."""
        if self._card is not None:
            self._scard.SCardDisconnect(self._card.handle, _RESET_CARD)
            self._scard.SCardReleaseContext(self._card.context)
            self._card = None

    def _find(self, context: int) -> str:
        """The name of the one reader that is meant and has a card. Several of that name are told apart by their cards:
        vsmartcard's reader has a second slot that is always empty."""
        code, readers = self._scard.SCardListReaders(context, [])
        if _unsigned(code) == Result.NO_READERS_AVAILABLE:
            readers = []
        else:
            self._check(code)
        meant = [name for name in readers if name == self._reader] or [
            name for name in readers if self._reader.casefold() in name.casefold()
        ]
        if not meant:
            there = f"there are: {', '.join(readers)}" if readers else "there is none at all"
            raise NotFound(f"no card reader is called {self._reader!r}; {there}", hint="plug the token in")
        full = self._with_cards(context, meant)
        if not full:
            raise NotFound(f"no card in the reader {' or '.join(meant)}", hint="put the token in, or start it")
        if len(full) > 1:
            raise UsageError(f"{self._address} may be any of the readers {', '.join(full)}", hint="give the whole name")
        return full[0]

    def _with_cards(self, context: int, readers: Sequence[str]) -> list[str]:
        """Which of the readers have a card. One that has just been plugged in is given its time to be noticed, and one
        that is mute its time to come to itself."""
        clock = self._options.clock
        deadline = clock.monotonic() + CARD_S
        known = [(name, _STATE_UNAWARE) for name in readers]
        full: list[str] = []
        while True:
            left_ms = max(0, math.ceil((deadline - clock.monotonic()) * 1000))
            code, states = self._scard.SCardGetStatusChange(context, left_ms, known)
            if _unsigned(code) == Result.TIMEOUT:
                return full
            self._check(code)
            full = [name for name, state, _ in states if state & _STATE_PRESENT]
            awake = [name for name, state, _ in states if state & (_STATE_PRESENT | _STATE_MUTE) == _STATE_PRESENT]
            if awake or left_ms == 0:
                return awake or full
            known = [(name, state) for name, state, _ in states]

    def _check(self, code: int) -> None:
        """Raises what the result code of a call before the first transmission means."""
        code = _unsigned(code)
        if code != Result.OK:
            raise self._refusal(code)

    def _refusal(self, code: int) -> LinkError:
        if code in _NO_SERVICE:
            return LinkError(
                "the PC/SC service does not run",
                hint="start it: `systemctl start pcscd.socket` (Debian package pcscd), or `pcscd` without systemd",
            )
        if code in _FORBIDDEN:
            return PermissionDenied(
                f"you may not use {self._address}",
                hint="log in at the machine itself, or let polkit allow org.debian.pcsc-lite.access_pcsc",
            )
        if code in _NO_READER:
            return NotFound(
                f"the reader {self._reader} is gone", hint="plug it in; `provision list` shows what is there"
            )
        if code in _NO_CARD:
            return NotFound(f"no card in the reader {self._reader}", hint="put the token in, or start it")
        if code == Result.SHARING_VIOLATION:
            return Busy(
                f"{self._address} is in use by another program",
                hint="close that program (a browser, `gpgconf --kill scdaemon`) and try again",
            )
        if code in _DEAD_CARD:
            return LinkError(
                f"the card at {self._address} does not start ({self._named(code)})", hint="take it out and put it back"
            )
        return LinkError(f"{self._address}: {self._named(code)}")

    def _named(self, code: int) -> str:
        return f"{self._scard.SCardGetErrorMessage(code).rstrip('.')}, PC/SC code {code:08X}"


def _unsigned(code: int) -> int:
    """Some versions of pyscard give result codes as signed numbers."""
    return code & 0xFFFFFFFF


def load() -> Scard:
    """pyscard's functions. Raises LinkError that says how to get them."""
    try:
        return cast(Scard, importlib.import_module("smartcard.scard"))
    except ImportError:
        raise LinkError(
            "PC/SC needs pyscard, which is not installed here",
            hint=f"{installing('pcsc')}; where it has to be built, as on Debian, first: "
            "apt-get install libpcsclite-dev swig gcc python3-dev",
        ) from None


def readers() -> list[Place]:
    """The card readers of the PC/SC service, none where there is no service; no card is spoken to.

    pcscd writes the USB serial in brackets into the name, where there is one.
    """
    try:
        scard = load()
    except LinkError:
        return []
    code, context = scard.SCardEstablishContext(_SCOPE_SYSTEM)
    if _unsigned(code) != Result.OK:
        return []
    try:
        code, names = scard.SCardListReaders(context, [])
    finally:
        scard.SCardReleaseContext(context)
    if _unsigned(code) != Result.OK:
        return []
    return [Place(f"pcsc:{name}", serial=_serial(name), reader=name) for name in names]


def _serial(reader: str) -> str | None:
    match = re.search(r"\(([^()]+)\) [0-9A-F]{2} [0-9A-F]{2}$", reader)
    return match[1] if match else None


def open_address(rest: str, options: LinkOptions) -> Link:
    """`pcsc:READER`: the reader's name, or a part that only one reader with a card has. Case does not matter."""
    link = PcscLink(load(), rest, options)
    if options.recorder is None:
        return link
    from provision.links.capture import RecordedLink

    return RecordedLink(link, options.recorder.apdus())
