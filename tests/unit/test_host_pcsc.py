"""The pcsc: link against a PC/SC service that the test plays: which reader is meant, and every way to be refused."""

from __future__ import annotations

import random
import sys
import threading
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.clock import ManualClock
from provision.errors import Busy, LinkError, NotFound, OutcomeUnknown, PermissionDenied, UsageError
from provision.links import pcsc
from provision.links.link import LinkOptions, open_link
from provision.links.pcsc import PcscLink, Result

PRESENT, EMPTY, CHANGED, MUTE = 0x20, 0x10, 0x02, 0x200
OK = b"\x90\x00"


class FakeScard:
    """smartcard.scard with readers that the test fills. `codes`: what a function answers in place of success.

    Waiting for a card ends at once: with whatever `arrives` puts in, or with nothing.
    """

    SCARD_PCI_T0, SCARD_PCI_T1 = "T=0", "T=1"

    def __init__(self, readers=("Reader 00 00",), full=("Reader 00 00",), *, clock=None):
        self.readers = list(readers)
        self.full = set(full)
        self.arrives = None
        self.mute = set()
        self.codes = {}
        self.protocol = 2
        self.contexts = 0
        self.held = []
        self.calls = []
        self.clock = clock
        self.answer = lambda command: command + OK

    def _code(self, name):
        self.calls.append(name)
        return self.codes.get(name, 0)

    def SCardEstablishContext(self, scope):
        code = self._code("establish")
        self.contexts += code == 0
        return code, 7

    def SCardReleaseContext(self, context):
        self.contexts -= 1
        return 0

    def SCardListReaders(self, context, groups):
        return self._code("list"), list(self.readers)

    def SCardGetStatusChange(self, context, timeout_ms, states):
        code = self._code("status")
        seen = self._states(states)
        if code or any(known == 0 for _, known in states):
            return code, seen
        if self.arrives is None:
            self.clock.wait_until(self.clock.now() + timeout_ms / 1000)
            return Result.TIMEOUT, seen
        self.full.add(self.arrives)
        self.mute.discard(self.arrives)
        return 0, self._states(states)

    def _states(self, states):
        in_it = {name: PRESENT | (MUTE if name in self.mute else 0) for name in self.full}
        return [(name, CHANGED | in_it.get(name, EMPTY), []) for name, _ in states]

    def SCardConnect(self, context, reader, share, protocols):
        code = self._code("connect")
        assert (share, protocols) == (1, 3)
        if not code:
            self.held.append(reader)
        return code, 9, self.protocol

    def SCardDisconnect(self, card, disposition):
        assert disposition == 1, "the card is reset, so that it forgets the PIN"
        self.held.pop()
        return 0

    def SCardTransmit(self, card, pci, command):
        assert self.held
        self.pci = pci
        code = self._code("transmit")
        return code, [] if code else list(self.answer(bytes(command)))

    def SCardGetErrorMessage(self, code):
        return "What the library says."


@pytest.fixture
def clock():
    return ManualClock(1_000_000_000.0)


@pytest.fixture
def scard(clock):
    return FakeScard(clock=clock)


def connect(scard, clock, wanted="Reader", **options):
    return PcscLink(scard, wanted, LinkOptions(clock, random.Random(5).randbytes, **options))


# A session


@given(command=st.binary(min_size=4, max_size=300), reply=st.binary(max_size=300))
def test_bytes_go_through_unchanged(command, reply):
    scard = FakeScard()
    with connect(scard, ManualClock(0.0)) as link:
        assert link.exchange(command) == command + OK
        scard.answer = lambda _: reply + OK
        assert link.exchange(command) == reply + OK


@pytest.mark.parametrize(("protocol", "pci"), [(1, "T=0"), (2, "T=1")])
def test_the_protocol_is_the_one_that_the_atr_led_to(scard, clock, protocol, pci):
    scard.protocol = protocol
    connect(scard, clock).exchange(b"\0\xa4\x04\0")
    assert scard.pci == pci


def test_closing_gives_everything_back_and_may_be_repeated(scard, clock):
    link = connect(scard, clock)
    assert (scard.contexts, scard.held) == (1, ["Reader 00 00"])
    link.close()
    link.close()
    assert (scard.contexts, scard.held) == (0, [])


def test_its_address_is_what_was_asked_for(scard, clock):
    assert connect(scard, clock, "reader").address == "pcsc:reader"


# Which reader


def test_a_whole_name_wins_over_a_part_of_another(clock):
    scard = FakeScard(["AB", "A"], ["AB", "A"], clock=clock)
    connect(scard, clock, "A")
    assert scard.held == ["A"]


def test_a_part_in_another_case_is_enough(clock):
    scard = FakeScard(["Yubico YubiKey OTP+CCID 00 00", "Other 00 00"], ["Yubico YubiKey OTP+CCID 00 00"], clock=clock)
    connect(scard, clock, "yubikey")
    assert scard.held == ["Yubico YubiKey OTP+CCID 00 00"]


def test_an_empty_slot_beside_is_skipped(clock):
    scard = FakeScard(["Virtual PCD 00 00", "Virtual PCD 00 01"], ["Virtual PCD 00 00"], clock=clock)
    connect(scard, clock, "Virtual PCD")
    assert scard.held == ["Virtual PCD 00 00"]


def test_several_cards_are_named(clock):
    scard = FakeScard(["V 00 00", "V 00 01"], ["V 00 00", "V 00 01"], clock=clock)
    with pytest.raises(UsageError, match="V 00 00, V 00 01"):
        connect(scard, clock, "V")
    assert scard.contexts == 0


def test_readers_of_other_names_are_named(scard, clock):
    with pytest.raises(NotFound, match="Reader 00 00"):
        connect(scard, clock, "Token")


def test_no_reader_at_all(scard, clock):
    scard.codes["list"] = Result.NO_READERS_AVAILABLE
    with pytest.raises(NotFound, match="none at all"):
        connect(scard, clock)


def test_no_card_within_the_time(clock):
    scard = FakeScard(full=(), clock=clock)
    with pytest.raises(NotFound, match="no card in the reader Reader 00 00"):
        connect(scard, clock)
    assert clock.now() == pytest.approx(1_000_000_000 + pcsc.CARD_S)
    assert scard.contexts == 0


def test_a_card_that_comes_within_the_time(clock):
    scard = FakeScard(full=(), clock=clock)
    scard.arrives = "Reader 00 00"
    connect(scard, clock)
    assert scard.held == ["Reader 00 00"]


def test_a_mute_card_that_comes_to_itself(scard, clock):
    scard.mute.add("Reader 00 00")
    scard.arrives = "Reader 00 00"
    connect(scard, clock)
    assert clock.now() == 1_000_000_000


def test_a_card_that_stays_mute(scard, clock):
    scard.mute.add("Reader 00 00")
    scard.codes["connect"] = Result.UNPOWERED_CARD
    with pytest.raises(LinkError, match="does not start"):
        connect(scard, clock)
    assert clock.now() == pytest.approx(1_000_000_000 + pcsc.CARD_S)


# Refusals


@pytest.mark.parametrize(
    ("function", "code", "kind", "words"),
    [
        ("establish", Result.NO_SERVICE, LinkError, "pcscd.socket"),
        ("establish", Result.SERVICE_STOPPED, LinkError, "pcscd.socket"),
        ("establish", Result.SECURITY_VIOLATION, PermissionDenied, "polkit"),
        ("establish", Result.NO_ACCESS, PermissionDenied, "polkit"),
        ("list", Result.NO_SERVICE, LinkError, "pcscd.socket"),
        ("status", Result.UNKNOWN_READER, NotFound, "is gone"),
        ("connect", Result.READER_UNAVAILABLE, NotFound, "Reader 00 00 is gone"),
        ("connect", Result.NO_SMARTCARD, NotFound, "no card in the reader Reader 00 00"),
        ("connect", Result.REMOVED_CARD, NotFound, "no card"),
        ("connect", Result.SHARING_VIOLATION, Busy, "another program"),
        ("connect", Result.UNRESPONSIVE_CARD, LinkError, "does not start"),
        ("connect", Result.UNPOWERED_CARD, LinkError, "does not start"),
        ("connect", Result.PROTO_MISMATCH, LinkError, "does not start"),
        ("connect", 0x80100001, LinkError, "What the library says, PC/SC code 80100001"),
        ("connect", 0x80100001 - (1 << 32), LinkError, "PC/SC code 80100001"),
        ("connect", Result.SHARING_VIOLATION - (1 << 32), Busy, "another program"),
    ],
)
def test_what_the_service_refuses_is_told_as_ours(scard, clock, function, code, kind, words):
    scard.codes[function] = int(code)
    with pytest.raises(LinkError, match=words) as caught:
        connect(scard, clock)
    assert type(caught.value) is kind
    assert (scard.contexts, scard.held) == (0, [])


@pytest.mark.parametrize("code", [Result.REMOVED_CARD, Result.NO_SERVICE, 0x80100068, 0x80100016, 0x8010002F])
def test_a_card_that_goes_in_the_middle_leaves_the_outcome_unknown(scard, clock, code):
    link = connect(scard, clock)
    scard.codes["transmit"] = code
    with pytest.raises(OutcomeUnknown, match=r"restarted.*unknown") as caught:
        link.exchange(b"\0\x01\0\0")
    assert "same command again" in caught.value.hint
    assert scard.calls.count("transmit") == 1, "nothing is sent twice"
    assert (scard.contexts, scard.held) == (0, [])
    scard.codes.clear()
    assert link.exchange(b"\0\xa4\x04\0") == b"\0\xa4\x04\0" + OK
    assert scard.held == ["Reader 00 00"]


def test_a_card_that_stays_away_is_not_found(scard, clock):
    link = connect(scard, clock)
    scard.codes["transmit"] = Result.REMOVED_CARD
    with pytest.raises(OutcomeUnknown):
        link.exchange(b"\0\x01\0\0")
    scard.full.clear()
    with pytest.raises(NotFound):
        link.exchange(b"\0\x01\0\0")
    link.close()


# Patience


def test_a_slow_card_may_wait_for_a_touch(scard, clock):
    pressed = threading.Event()
    told = []

    def pending(seconds_left):
        told.append(seconds_left)
        pressed.set()

    scard.answer = lambda _: OK if pressed.wait(30) else b""
    with connect(scard, clock, timeout_s=2.0, on_pending=pending) as link:
        assert link.exchange(b"\0\xa2\0\0") == OK
    assert told == [31]


def test_a_card_that_never_answers_is_given_up(scard, clock, monkeypatch):
    monkeypatch.setattr(pcsc, "TOUCH_S", 0.5)
    released = threading.Event()
    scard.answer = lambda _: OK if released.wait(30) else b""
    link = connect(scard, clock, timeout_s=0.5)
    with pytest.raises(OutcomeUnknown, match="did not answer for 1 s"):
        link.exchange(b"\0\xa2\0\0")
    with pytest.raises(LinkError, match="given up"):
        link.exchange(b"\0\xa2\0\0")
    link.close()
    assert scard.held == ["Reader 00 00"], "letting go would wait for the card too"
    released.set()


def test_control_c_while_a_card_is_slow_ends_the_wait(scard, clock):
    released = threading.Event()

    def pending(seconds_left):
        raise KeyboardInterrupt

    scard.answer = lambda _: OK if released.wait(30) else b""
    with pytest.raises(KeyboardInterrupt), connect(scard, clock, on_pending=pending) as link:
        link.exchange(b"\0\xa2\0\0")
    released.set()


# pyscard


def test_without_pyscard_it_says_how_to_get_it(clock, monkeypatch):
    monkeypatch.setitem(sys.modules, "smartcard", None)
    with pytest.raises(LinkError, match=r" -m pip install 'hwtoken\[pcsc\]'.*libpcsclite-dev"):
        open_link("pcsc:Reader", LinkOptions(clock, random.Random(5).randbytes))


def test_pyscard_is_used_where_it_is(scard, clock, monkeypatch):
    monkeypatch.setitem(sys.modules, "smartcard", SimpleNamespace(scard=scard))
    monkeypatch.setitem(sys.modules, "smartcard.scard", scard)
    with open_link("pcsc:Reader", LinkOptions(clock, random.Random(5).randbytes)) as link:
        assert link.exchange(b"\0\xa4\x04\0").endswith(OK)


class TestListing:
    def readers(self, monkeypatch, scard):
        monkeypatch.setattr(pcsc, "load", lambda: scard)
        return pcsc.readers()

    def test_readers_and_the_serials_in_their_names(self, monkeypatch):
        names = ["hwtoken reference token (SN-0042) 00 00", "Virtual PCD 00 01", "Gem (a) PC (b) 00"]
        scard = FakeScard(readers=names)
        found = self.readers(monkeypatch, scard)
        assert [(place.address, place.reader, place.serial) for place in found] == [
            (f"pcsc:{names[0]}", names[0], "SN-0042"),
            (f"pcsc:{names[1]}", names[1], None),
            (f"pcsc:{names[2]}", names[2], None),
        ]
        assert scard.contexts == 0
        assert "connect" not in scard.calls

    @pytest.mark.parametrize(
        ("call", "code"), [("establish", Result.NO_SERVICE), ("list", Result.NO_READERS_AVAILABLE)]
    )
    def test_nothing_to_list(self, monkeypatch, call, code):
        scard = FakeScard()
        scard.codes[call] = code
        assert self.readers(monkeypatch, scard) == []
        assert scard.contexts == 0

    def test_no_pyscard(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "smartcard.scard", None)
        assert pcsc.readers() == []
