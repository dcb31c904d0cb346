"""A token in vsmartcard's virtual reader: the messages, and a reader of the test's own that comes and goes."""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.clocks import ManualClock
from firmware_sim.links.loop import Loop
from firmware_sim.links.port import PortError, PortOptions
from firmware_sim.links.vpcd import DEFAULT_READER, MISSES, VpcdCard, VpcdPort, encode, open_port
from firmware_sim.seams import PowerLost

ATR = bytes.fromhex("3B8780016877746F6B656E62")
OFF, ON, RESET, ASK_ATR = (encode(bytes((code,))) for code in (0, 1, 2, 4))
FAMILY = type("Family", (), {"atr": ATR})


class Chip:
    """An ApduChannel. FF...: waits until `finish`. FE...: the power fails. Anything else comes back with 9000."""

    def __init__(self) -> None:
        self.log: list[bytes] = []
        self.resets = 0
        self.deadline: float | None = None
        self.finished: bytes | None = None

    def transmit(self, apdu: bytes) -> bytes | None:
        self.log.append(apdu)
        if apdu[0] == 0xFE:
            raise PowerLost
        if apdu[0] == 0xFF:
            self.deadline = 15.0
            return None
        return apdu + b"\x90\x00"

    def finish(self, response: bytes) -> None:
        self.finished = response

    def poll(self) -> bytes | None:
        response, self.finished = self.finished, None
        return response

    def reset(self) -> None:
        self.resets += 1
        self.deadline = self.finished = None


class Removals(list[bool]):
    def __call__(self) -> None:
        self.append(True)


@pytest.fixture
def chip() -> Chip:
    return Chip()


@pytest.fixture
def removed() -> Removals:
    return Removals()


@pytest.fixture
def card(chip: Chip, removed: Removals) -> VpcdCard:
    return VpcdCard(chip, ATR, removed)


# The messages


@given(
    apdus=st.lists(st.binary(min_size=2, max_size=300).filter(lambda apdu: apdu[0] < 0xFE), max_size=5),
    cuts=st.lists(st.integers(0, 1600), max_size=8),
)
def test_messages_survive_any_way_of_being_cut(apdus: list[bytes], cuts: list[int]) -> None:
    chip = Chip()
    card = VpcdCard(chip, ATR, Removals())
    line = b"".join(encode(apdu) for apdu in apdus) + ASK_ATR
    edges = sorted({0, len(line), *(cut for cut in cuts if cut < len(line))})
    replies = [reply for start, end in itertools.pairwise(edges) for reply in card.receive(line[start:end])]
    assert replies == [*(encode(apdu + b"\x90\x00") for apdu in apdus), encode(ATR)]
    assert chip.log == apdus


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_whatever_comes_is_answered_or_dropped(pieces: list[bytes]) -> None:
    card = VpcdCard(Chip(), ATR, Removals())
    for piece in pieces:
        with contextlib.suppress(PowerLost):
            card.receive(piece)
        card.poll()


def test_the_longest_message(card: VpcdCard) -> None:
    longest = bytes(0xFFFF - 2)
    assert card.receive(encode(longest)) == [encode(longest + b"\x90\x00")]


@pytest.mark.parametrize("control", [OFF, ON, RESET])
def test_power_and_reset_make_the_channel_forget(chip: Chip, card: VpcdCard, control: bytes) -> None:
    assert card.receive(control) == []
    assert chip.resets == 1


@pytest.mark.parametrize("message", [b"", b"\x03", b"\xff"])
def test_what_is_neither_control_nor_command_is_dropped(chip: Chip, card: VpcdCard, message: bytes) -> None:
    assert card.receive(encode(message)) == []
    assert (chip.log, chip.resets) == ([], 0)


def test_a_touch_makes_the_reply_late(chip: Chip, card: VpcdCard) -> None:
    assert card.receive(encode(b"\xff\x01")) == []
    assert card.poll() == ([], 15.0)
    chip.finish(b"\x12\x90\x00")
    assert card.poll() == ([encode(b"\x12\x90\x00")], None)
    assert card.poll() == ([], None)


def test_a_reset_abandons_what_waits(chip: Chip, card: VpcdCard) -> None:
    card.receive(encode(b"\xff\x01") + RESET)
    chip.finish(b"\x90\x00")
    assert card.poll() == ([], None)


def test_another_command_abandons_what_waits(chip: Chip, card: VpcdCard) -> None:
    card.receive(encode(b"\xff\x01"))
    assert card.receive(encode(b"\x01\x02")) == [encode(b"\x01\x02\x90\x00")]
    assert card.poll() == ([], None), "nothing waits any more"
    card.receive(encode(b"\xff\x01") + encode(b"\xff\x02"))
    assert chip.log[-2:] == [b"\xff\x01", b"\xff\x02"]
    chip.finish(b"\x90\x00")
    assert card.poll() == ([encode(b"\x90\x00")], None), "one reply, to the last"
    assert card.poll() == ([], None)


def test_a_loss_of_power_takes_the_card_out(chip: Chip, card: VpcdCard, removed: Removals) -> None:
    with pytest.raises(PowerLost):
        card.receive(encode(b"\xfe\x01") + encode(b"\x01\x02"))
    assert removed
    assert card.receive(ASK_ATR) == [encode(ATR)], "nothing of before is left"


def test_it_is_noticed_once_it_is_powered(card: VpcdCard) -> None:
    card.receive(ASK_ATR + OFF + RESET)
    assert not card.powered
    card.receive(ON + OFF)
    assert card.powered
    card.disconnect()
    assert not card.powered


# The port


class Cable:
    """Lines of one token that the test powers."""

    family = FAMILY
    serial = "X"
    clock = ManualClock(0.0)

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self.carries = True

    def line(self, make: Callable[[Chip], VpcdCard]) -> Cable:
        self._card = make(self._chip)
        return self

    def receive(self, data: bytes) -> list[bytes]:
        try:
            return self._card.receive(data)
        except PowerLost:
            self.carries = False
            return []

    def poll(self) -> tuple[list[bytes], float | None]:
        return self._card.poll()

    def disconnect(self) -> None:
        self._card.disconnect()


class Reader:
    """vpcd as its source tells it: listens, takes one card, asks it one thing at a time."""

    def __init__(self, port: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self.card: socket.socket | None = None
        self._powered = False
        self.missed = 0  # calls that were hung up at the first question

    def inserted(self) -> bool:
        """Look for a card, to be asked again: whether one is in and powered."""
        if self.card is None:
            self._powered = False
            with contextlib.suppress(BlockingIOError):
                self.card, _ = self._listener.accept()
                self.card.setblocking(False)
                with contextlib.suppress(OSError):
                    self.card.send(ASK_ATR)
        if self.card is not None and not self._powered:
            with contextlib.suppress(BlockingIOError):
                self._powered = self._answered(self.card)
                if self._powered:
                    self.card.send(ON)
                else:
                    self.missed += 1
                    self.card.close()
                    self.card = None
        return self._powered

    @staticmethod
    def _answered(card: socket.socket) -> bool:
        try:
            return card.recv(65536) == encode(ATR)
        except ConnectionResetError:
            return False

    def ask(self, loop: Loop, message: bytes) -> bytes | None:
        """The card's answer; None when it is taken out instead."""
        assert self.card is not None
        # One by one, as the real one does.
        with contextlib.suppress(OSError):
            self.card.send(message[:2])
            self.card.send(message[2:])
        answer = bytearray()
        gone = False

        def complete() -> bool:
            nonlocal gone
            assert self.card is not None
            try:
                data = self.card.recv(65536)
                gone = not data
                answer.extend(data)
            except ConnectionResetError:
                gone = True
            except BlockingIOError:
                pass
            return gone or (len(answer) > 1 and len(answer) == 2 + int.from_bytes(answer[:2], "big"))

        until(loop, complete)
        if gone:
            self.card.close()
            self.card = None
            return None
        return bytes(answer)

    def close(self) -> None:
        if self.card is not None:
            self.card.close()
        self._listener.close()


def until(loop: Loop, condition: Callable[[], bool]) -> None:
    loop.when(condition, loop.stop)
    loop.run()
    assert condition()


def some_time_passes(loop: Loop) -> None:
    """Enough for a token that dials to have dialled: each turn of this loop is seconds long."""
    turns = itertools.count()
    until(loop, lambda: next(turns) > 20)


@pytest.fixture
def loop() -> Iterator[Loop]:
    # True time stands still: dialling must not depend on it. Real time races.
    loop = Loop(ManualClock(0.0), ticking=False, monotonic=itertools.count().__next__)
    yield loop
    loop.close()


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader()
    yield reader
    reader.close()


@pytest.fixture
def cable(chip: Chip) -> Cable:
    return Cable(chip)


@pytest.fixture
def port(loop: Loop, reader: Reader, cable: Cable) -> Iterator[VpcdPort]:
    port = VpcdPort(loop, cable, "127.0.0.1", reader.port, "Some reader")  # type: ignore[arg-type]
    port.plug()
    until(loop, reader.inserted)
    yield port
    port.unplug()


def test_its_address_is_the_readers_name(loop: Loop, port: VpcdPort) -> None:
    assert port.address == "pcsc:Some reader"
    assert open_port(loop, Cable(Chip()), PortOptions()).address == f"pcsc:{DEFAULT_READER}"  # type: ignore[arg-type]


def test_the_reader_is_seen_empty_before_the_card_comes(loop: Loop, reader: Reader, port: VpcdPort) -> None:
    """Else a reader that missed the removal of the card before would take this one for that."""
    assert reader.missed == MISSES
    until(loop, lambda: port.noticed)
    port.unplug()
    assert not port.noticed
    assert reader.ask(loop, ASK_ATR) is None
    port.plug()
    until(loop, reader.inserted)
    assert reader.missed == 2 * MISSES


def test_the_reader_ends_while_the_card_arrives(loop: Loop, reader: Reader, cable: Cable) -> None:
    port = VpcdPort(loop, cable, "127.0.0.1", reader.port, "Some reader")  # type: ignore[arg-type]
    port.plug()
    until(loop, lambda: reader.inserted() or reader.missed == 1)
    reader.close()
    some_time_passes(loop)
    again = Reader(reader.port)
    until(loop, again.inserted)
    assert again.missed == MISSES
    port.unplug()
    again.close()


def test_the_reader_talks_to_the_token(loop: Loop, reader: Reader, port: VpcdPort) -> None:
    assert reader.ask(loop, ASK_ATR) == encode(ATR)
    assert reader.ask(loop, encode(b"\x00\xa4\x04\x00")) == encode(b"\x00\xa4\x04\x00\x90\x00")


def test_a_reader_that_comes_back_gets_its_card_again(loop: Loop, reader: Reader, chip: Chip, port: VpcdPort) -> None:
    reader.ask(loop, encode(b"\x00\xa4\x04\x00"))
    before = chip.resets
    reader.close()
    until(loop, lambda: chip.resets > before)
    again = Reader(reader.port)
    until(loop, again.inserted)
    assert again.ask(loop, ASK_ATR) == encode(ATR)
    again.close()


def test_a_token_without_power_is_no_card_in_the_reader(
    loop: Loop, reader: Reader, cable: Cable, port: VpcdPort
) -> None:
    cable.carries = False
    cable.disconnect()
    assert reader.ask(loop, ASK_ATR) is None
    some_time_passes(loop)
    assert not reader.inserted()
    cable.carries = True
    until(loop, reader.inserted)
    assert reader.ask(loop, ASK_ATR) == encode(ATR)


def test_power_that_fails_in_a_command_takes_the_card_out(
    loop: Loop, reader: Reader, cable: Cable, port: VpcdPort
) -> None:
    assert reader.ask(loop, encode(b"\xfe\x00\x00\x00")) is None
    cable.carries = True
    until(loop, reader.inserted)


def test_power_that_fails_while_it_arrives(loop: Loop, reader: Reader, cable: Cable, port: VpcdPort) -> None:
    cable.disconnect()
    assert reader.ask(loop, ASK_ATR) is None
    before = reader.missed
    until(loop, lambda: reader.inserted() or reader.missed > before)
    cable.carries = False
    cable.disconnect()
    turns = itertools.count()
    until(loop, lambda: reader.inserted() or next(turns) > 20)
    assert not reader.inserted()
    cable.carries = True
    until(loop, reader.inserted)


def test_unplugged_it_stays_away(loop: Loop, reader: Reader, port: VpcdPort) -> None:
    port.unplug()
    assert not port.plugged
    assert reader.ask(loop, ASK_ATR) is None
    port.plug()
    until(loop, reader.inserted)
    port.plug()
    assert reader.ask(loop, ASK_ATR) == encode(ATR)


def test_unplugged_while_it_dials(loop: Loop, reader: Reader, port: VpcdPort) -> None:
    reader.close()
    some_time_passes(loop)
    port.unplug()
    again = Reader(reader.port)
    some_time_passes(loop)
    assert not again.inserted()
    again.close()


def test_a_reply_under_way_leaves_before_the_cable_is_pulled(loop: Loop, reader: Reader, port: VpcdPort) -> None:
    port.after_reply(port.unplug)
    until(loop, lambda: not port.plugged)
    assert reader.ask(loop, ASK_ATR) is None


@pytest.mark.parametrize(
    ("dial", "words"),
    [
        ("127.0.0.1:1", "no virtual reader listens at 127.0.0.1 port 1 .*vsmartcard-vpcd"),
        ("1", "127.0.0.1 port 1"),
        ("[::1]:1", "::1 port 1"),
        ("localhost", "does not end in a port number"),
        ("localhost:0", "does not end in a port number"),
        ("localhost:65536", "does not end in a port number"),
        ("localhost:٣", "does not end in a port number"),
    ],
)
def test_a_place_where_no_reader_is(loop: Loop, cable: Cable, dial: str, words: str) -> None:
    with pytest.raises(PortError, match=words):
        open_port(loop, cable, PortOptions(dial=dial)).plug()  # type: ignore[arg-type]
