"""The device's frame sessions against docs/PROTOCOL.md section 2, over a channel that only counts."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.clocks import ManualClock
from firmware_sim.links.framed import FramedLink
from firmware_sim.seams import PowerLost
from provision.wire.framing import (
    BadFrame,
    Decoder,
    ErrorReply,
    Frame,
    FrameErrorCode,
    HelloReply,
    Kind,
    Pending,
    encode_frame,
)

BOOT_ID = bytes.fromhex("b0071d0000000001")
SESSION = 0x5E551014
MAX_APDU = 1024
TOUCH = b"touch"
CUT = b"cut"
OK = b"\x90\x00"


class CountingChannel:
    """Answers every command with itself and 9000, in the order of execution; `touch` waits, `cut` loses power."""

    def __init__(self, clock: ManualClock) -> None:
        self.executed: list[bytes] = []
        self.resets = 0
        self.pressed = False
        self._clock = clock
        self._deadline: float | None = None

    def transmit(self, apdu: bytes) -> bytes | None:
        if apdu == CUT:
            raise PowerLost
        self.executed.append(apdu)
        if apdu == TOUCH:
            self._deadline = self._clock.now() + 15
            return None
        return apdu + OK

    def poll(self) -> bytes | None:
        if self._deadline is None:
            return None
        if self.pressed or self._clock.now() >= self._deadline:
            self._deadline = None
            return OK if self.pressed else b"\x69\x85"
        return None

    @property
    def deadline(self) -> float | None:
        return self._deadline

    def reset(self) -> None:
        self.resets += 1
        self._deadline = None


class Bench:
    """A link, its channel and its clock, spoken to frame by frame."""

    def __init__(self) -> None:
        self.clock = ManualClock(1000.0)
        self.channel = CountingChannel(self.clock)
        self.boot_id = BOOT_ID
        self.link = FramedLink(self.channel, lambda: self.boot_id, MAX_APDU, self.clock)

    def send(self, kind: int, sequence: int, payload: bytes, session: int = SESSION) -> Frame:
        return one(self.link.receive(encode_frame(kind, sequence, session, payload)))

    def hello(self, session: int = SESSION) -> Frame:
        return self.send(Kind.HELLO, 0, b"\x01", session)

    def apdu(self, sequence: int, payload: bytes) -> Frame:
        return self.send(Kind.APDU, sequence, payload)


def frames(replies: list[bytes]) -> list[Frame]:
    found = list(Decoder().feed(b"".join(replies)))
    assert not any(isinstance(frame, BadFrame) for frame in found)
    return found  # type: ignore[return-value]


def one(replies: list[bytes]) -> Frame:
    (frame,) = frames(replies)
    return frame


def error(frame: Frame) -> FrameErrorCode:
    assert frame.kind == Kind.ERROR
    reply = ErrorReply.decode(frame.payload)
    assert reply.boot_id == BOOT_ID
    return FrameErrorCode(reply.code)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_hello_announces_boot_id_and_longest_apdu(bench: Bench) -> None:
    frame = bench.hello()
    assert frame[:3] == (Kind.HELLO_REPLY, 0, SESSION)
    assert HelloReply.decode(frame.payload) == HelloReply(1, BOOT_ID, MAX_APDU)
    assert bench.channel.resets == 1


def test_the_reply_carries_number_and_session_of_its_command(bench: Bench) -> None:
    bench.hello()
    assert bench.apdu(1, b"a") == (Kind.APDU_REPLY, 1, SESSION, b"a" + OK)


def test_the_number_after_ff_is_00(bench: Bench) -> None:
    bench.hello()
    for number in (*range(1, 256), 0, 1):
        assert bench.apdu(number, b"x").sequence == number
    assert len(bench.channel.executed) == 257


def test_an_identical_frame_gets_the_stored_reply_and_is_not_executed(bench: Bench) -> None:
    bench.hello()
    assert bench.apdu(1, b"a") == bench.apdu(1, b"a")
    assert bench.channel.executed == [b"a"]


@pytest.mark.parametrize(("sequence", "payload"), [(1, b"other"), (0, b"a"), (3, b"a"), (255, b"a")])
def test_any_other_number_or_bytes_is_a_sequence_error_and_changes_nothing(
    bench: Bench, sequence: int, payload: bytes
) -> None:
    bench.hello()
    first = bench.apdu(1, b"a")
    refused = bench.apdu(sequence, payload)
    assert error(refused) is FrameErrorCode.SEQUENCE
    assert refused[1:3] == (sequence, SESSION)
    assert bench.apdu(1, b"a") == first
    assert bench.apdu(2, b"b").kind == Kind.APDU_REPLY
    assert bench.channel.executed == [b"a", b"b"]


def test_the_first_number_is_01(bench: Bench) -> None:
    bench.hello()
    assert error(bench.apdu(0, b"a")) is FrameErrorCode.SEQUENCE


def test_without_hello_or_with_another_session_there_is_no_session(bench: Bench) -> None:
    refused = bench.send(Kind.APDU, 9, b"a", session=0)
    assert error(refused) is FrameErrorCode.NO_SESSION
    assert refused[1:3] == (9, 0)
    bench.hello()
    bench.apdu(1, b"a")
    refused = bench.send(Kind.APDU, 2, b"b", session=77)
    assert error(refused) is FrameErrorCode.NO_SESSION
    assert refused[1:3] == (2, 77)
    assert bench.channel.executed == [b"a"]


def test_hello_starts_anew_and_forgets_the_stored_reply(bench: Bench) -> None:
    bench.hello()
    bench.apdu(1, b"a")
    bench.hello()
    assert bench.apdu(1, b"a").kind == Kind.APDU_REPLY
    assert bench.channel.executed == [b"a", b"a"]
    assert bench.channel.resets == 2


@pytest.mark.parametrize("payload", [b"", b"\x02", b"\x01\x01"])
def test_hello_for_another_version_is_refused_and_leaves_the_session(bench: Bench, payload: bytes) -> None:
    bench.hello()
    assert error(bench.send(Kind.HELLO, 0, payload)) is FrameErrorCode.VERSION
    assert bench.apdu(1, b"a").kind == Kind.APDU_REPLY
    assert bench.channel.resets == 1


def test_hello_has_the_number_00(bench: Bench) -> None:
    assert error(bench.send(Kind.HELLO, 1, b"\x01")) is FrameErrorCode.SEQUENCE


@pytest.mark.parametrize("kind", [0x00, 0x03, Kind.APDU_REPLY, Kind.PENDING, 0xFF])
def test_an_unknown_kind_is_named_and_changes_nothing(bench: Bench, kind: int) -> None:
    bench.hello()
    assert error(bench.send(kind, 1, b"a")) is FrameErrorCode.UNKNOWN_KIND
    assert bench.apdu(1, b"a").kind == Kind.APDU_REPLY


def test_noise_is_corrupt_with_number_and_session_zero(bench: Bench) -> None:
    frame = one(bench.link.receive(b"noise\0"))
    assert error(frame) is FrameErrorCode.CORRUPT
    assert frame[1:3] == (0, 0)


def test_a_command_over_the_longest_is_6700_and_never_reaches_the_channel(bench: Bench) -> None:
    bench.hello()
    assert bench.apdu(1, bytes(MAX_APDU + 1)).payload == b"\x67\x00"
    assert bench.apdu(2, bytes(MAX_APDU)).payload[-2:] == OK
    assert len(bench.channel.executed) == 1


def test_a_disconnect_ends_the_session_and_drops_half_a_frame(bench: Bench) -> None:
    bench.hello()
    bench.link.receive(encode_frame(Kind.APDU, 1, SESSION, b"a")[:-3])
    bench.link.disconnect()
    assert bench.channel.resets == 2
    assert error(bench.apdu(1, b"a")) is FrameErrorCode.NO_SESSION


def test_a_power_failure_leaves_the_link_and_ends_the_session(bench: Bench) -> None:
    bench.hello()
    with pytest.raises(PowerLost):
        bench.apdu(1, CUT)
    assert error(bench.apdu(1, b"a")) is FrameErrorCode.NO_SESSION


class TestPending:
    def test_it_comes_at_once_then_each_second_then_the_reply(self, bench: Bench) -> None:
        bench.hello()
        frame = bench.apdu(1, TOUCH)
        assert frame[:3] == (Kind.PENDING, 1, SESSION)
        assert Pending.decode(frame.payload).seconds_left == 15
        assert bench.link.poll() == ([], 1001.0)
        bench.clock.advance(1)
        replies, deadline = bench.link.poll()
        assert Pending.decode(one(replies).payload).seconds_left == 14
        assert deadline == 1002.0
        bench.channel.pressed = True
        replies, deadline = bench.link.poll()
        assert one(replies) == (Kind.APDU_REPLY, 1, SESSION, OK)
        assert deadline is None
        assert bench.apdu(1, TOUCH) == one(replies)
        assert bench.channel.executed == [TOUCH]

    def test_time_runs_out_at_the_deadline_of_the_channel(self, bench: Bench) -> None:
        bench.hello()
        bench.apdu(1, TOUCH)
        bench.clock.advance(14.5)
        assert bench.link.poll()[1] == 1015.0
        bench.clock.advance(0.5)
        assert one(bench.link.poll()[0]).payload == b"\x69\x85"

    def test_a_repeat_gets_pending_and_any_other_frame_busy(self, bench: Bench) -> None:
        bench.hello()
        bench.apdu(1, TOUCH)
        assert bench.apdu(1, TOUCH).kind == Kind.PENDING
        assert error(bench.apdu(2, b"a")) is FrameErrorCode.BUSY
        assert error(bench.apdu(1, b"a")) is FrameErrorCode.BUSY
        assert bench.channel.executed == [TOUCH]

    def test_hello_abandons_the_wait(self, bench: Bench) -> None:
        bench.hello()
        bench.apdu(1, TOUCH)
        bench.hello()
        assert bench.channel.deadline is None
        assert bench.link.poll() == ([], None)
        assert bench.apdu(1, b"a").kind == Kind.APDU_REPLY

    def test_nothing_to_poll_without_a_waiting_command(self, bench: Bench) -> None:
        assert bench.link.poll() == ([], None)
        bench.hello()
        bench.apdu(1, b"a")
        assert bench.link.poll() == ([], None)


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=8), st.data())
def test_any_split_of_the_stream_gives_the_same_replies(payloads: list[bytes], data: st.DataObject) -> None:
    stream = encode_frame(Kind.HELLO, 0, SESSION, b"\x01")
    for number, payload in enumerate(payloads, 1):
        stream += encode_frame(Kind.APDU, number, SESSION, b"\0" + payload)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20), label="cuts"))
    bench, replies = Bench(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        replies += bench.link.receive(stream[start:end])
    assert [frame.payload for frame in frames(replies)[1:]] == [b"\0" + payload + OK for payload in payloads]


def test_ten_thousand_fuzzed_frames_and_the_next_good_command_works() -> None:
    rng = random.Random(20260101)
    bench = Bench()
    for _ in range(10_000):
        good = encode_frame(rng.choice((1, 2, 2, 2, 3)), rng.randrange(256), SESSION, rng.randbytes(rng.randrange(40)))
        mutant = bytearray(good)
        for _ in range(rng.randrange(3)):
            mutant[rng.randrange(len(mutant))] = rng.randrange(256)
        match rng.randrange(8):
            case 0:
                mutant = mutant[: rng.randrange(len(mutant))]
            case 1:
                mutant = bytearray(rng.randbytes(rng.randrange(200)))
            case 2:
                mutant = mutant * 2
            case 3 if rng.random() < 0.02:
                mutant = bytearray(b"\x01" * 9000)
        for reply in bench.link.receive(bytes(mutant)):
            assert isinstance(one([reply]), Frame)
    bench.link.receive(b"\0")
    assert bench.hello().kind == Kind.HELLO_REPLY
    assert bench.apdu(1, b"good") == (Kind.APDU_REPLY, 1, SESSION, b"good" + OK)
