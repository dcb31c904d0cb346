"""The host's frame sessions: over good lines, bad lines, and tokens that restart, fall silent or talk nonsense."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.links.framed import FramedLink as DeviceFramedLink
from provision.clock import ManualClock
from provision.errors import LinkError, LocalProtocolError, OutcomeUnknown, RemoteProtocolError, Timeout
from provision.links.framed import MAX_PENDING_S, TRIES, FramedLink
from provision.links.inprocess import InProcessStream, open_device
from provision.links.link import LinkOptions
from provision.wire.framing import (
    MAX_PAYLOAD,
    Decoder,
    ErrorReply,
    FrameErrorCode,
    HelloReply,
    Kind,
    Pending,
    encode_frame,
)

BOOT = b"bootboot"


class Counting:
    """An ApduChannel whose answer says how many commands it has carried out."""

    deadline = None

    def __init__(self):
        self.done = []

    def transmit(self, apdu):
        self.done.append(apdu)
        return apdu + len(self.done).to_bytes(2, "big")

    def poll(self):
        return None

    def reset(self):
        pass


class Clean(InProcessStream):
    """A perfect line, and the place where the bad ones differ. `fault(data)` is what becomes of one frame."""

    rate = 0.25

    def __init__(self, device, clock, seed):
        super().__init__(device, clock)
        self.dice = random.Random(seed)

    def fault(self, data):
        return data

    def write(self, data):
        super().write(self.fault(data) if self.dice.random() < self.rate else data)

    def read(self, deadline):
        data = super().read(deadline)
        # An empty answer means the deadline; one that was lost must not look like it, so a stray delimiter stands in.
        return self.fault(data) or b"\0" if data and self.dice.random() < self.rate else data


class Losing(Clean):
    def fault(self, data):
        return b""


class Doubling(Clean):
    def fault(self, data):
        return data + data


class Spoiling(Clean):
    def fault(self, data):
        where = self.dice.randrange(len(data))
        return data[:where] + bytes((data[where] ^ self.dice.randrange(1, 256),)) + data[where + 1 :]


class Truncating(Clean):
    def fault(self, data):
        return data[: self.dice.randrange(len(data))]


class Dripping(Clean):
    """One byte at a time: the rest waits for the next read."""

    rate = 1.0

    def read(self, deadline):
        data = InProcessStream.read(self, deadline)
        self._received.extendleft(bytes((byte,)) for byte in reversed(data[1:]))
        return data[:1]


LINES = [Clean, Losing, Doubling, Spoiling, Truncating, Dripping]


@pytest.mark.parametrize("line", LINES)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), commands=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=12))
def test_each_command_is_carried_out_once_or_reported(line, seed, commands):
    clock = ManualClock()
    channel = Counting()
    device = DeviceFramedLink(channel, lambda: BOOT, MAX_PAYLOAD, clock)
    options = LinkOptions(clock, random.Random(seed).randbytes)
    try:
        link = FramedLink(line(device, clock, seed), "test:", options)
    except Timeout:
        assert line not in (Clean, Doubling, Dripping)
        return
    for command in commands:
        before = len(channel.done)
        try:
            reply = link.exchange(command)
        except OutcomeUnknown:
            assert line not in (Clean, Doubling, Dripping)
            assert channel.done[before:] in ([], [command])
        except Timeout:  # no new session after an unknown outcome: the command never left
            assert channel.done[before:] == []
        else:
            assert channel.done[before:] == [command]
            assert reply == command + len(channel.done).to_bytes(2, "big")


def test_three_hundred_commands_wrap_the_sequence():
    clock = ManualClock()
    channel = Counting()
    device = DeviceFramedLink(channel, lambda: BOOT, MAX_PAYLOAD, clock)
    link = open_device(device, LinkOptions(clock, random.Random(1).randbytes))
    for number in range(300):
        assert link.exchange(b"x") == b"x" + (number + 1).to_bytes(2, "big")


class Scripted:
    """A ByteStream played from a script: `answer(frame)` gives the bytes for each frame that the host sends."""

    def __init__(self, answer, clock):
        self.answer = answer
        self.clock = clock
        self.sent = []
        self.waiting = b""
        self.closed = False
        self.decoder = Decoder()

    def write(self, data):
        for frame in self.decoder.feed(data):
            self.sent.append(frame)
            self.waiting += self.answer(frame)

    def read(self, deadline):
        data, self.waiting = self.waiting, b""
        if not data:
            self.clock.wait_until(self.clock.now() + max(0.0, deadline - self.clock.monotonic()))
        return data

    def close(self):
        self.closed = True


def hello_reply(frame, *, version=1, max_apdu=300):
    return encode_frame(Kind.HELLO_REPLY, 0, frame.session, HelloReply(version, BOOT, max_apdu).encode())


def scripted(apdu_answer, *, on_pending=None):
    clock = ManualClock()

    def answer(frame):
        return hello_reply(frame) if frame.kind == Kind.HELLO else apdu_answer(frame)

    stream = Scripted(answer, clock)
    options = LinkOptions(clock, random.Random(7).randbytes, on_pending=on_pending)
    return FramedLink(stream, "test:", options), stream, clock


def reply(frame, payload=b"\x90\x00"):
    return encode_frame(Kind.APDU_REPLY, frame.sequence, frame.session, payload)


def error(frame, code, boot_id=BOOT):
    return encode_frame(Kind.ERROR, frame.sequence, frame.session, ErrorReply(code, boot_id).encode())


def test_silence_repeats_the_same_frame_and_ends_in_time():
    link, stream, clock = scripted(lambda frame: b"")
    start = clock.monotonic()
    with pytest.raises(OutcomeUnknown, match="fell silent"):
        link.exchange(b"abcd")
    assert len(set(stream.sent[1:])) == 1
    assert len(stream.sent) == 1 + TRIES
    assert clock.monotonic() - start == pytest.approx(2.0)


def test_nobody_answers_hello():
    clock = ManualClock()
    stream = Scripted(lambda frame: b"", clock)
    with pytest.raises(Timeout, match="test:"):
        FramedLink(stream, "test:", LinkOptions(clock, random.Random(7).randbytes))
    assert stream.closed
    assert len({frame.session for frame in stream.sent}) == TRIES  # a late answer could not pass for a fresh one
    assert clock.monotonic() == pytest.approx(2.0)


def test_a_line_that_babbles_for_ever_does_not_stop_the_clock():
    link, stream, clock = scripted(lambda frame: b"")

    def babble(deadline):
        clock.advance(0.1)
        return b"\x02x\0"

    stream.read = babble
    with pytest.raises(OutcomeUnknown):
        link.exchange(b"abcd")
    assert clock.monotonic() < 3
    assert len(stream.sent) < 20


def test_stale_frames_are_passed_over():
    def answer(frame):
        older = frame._replace(sequence=frame.sequence - 1)
        other = frame._replace(session=frame.session ^ 1)
        return reply(older, b"old") + reply(other, b"other") + error(older, FrameErrorCode.SEQUENCE) + reply(frame)

    link, _, _ = scripted(answer)
    assert link.exchange(b"abcd") == b"\x90\x00"


def test_corrupt_is_answered_at_once_and_not_for_ever():
    link, stream, _ = scripted(lambda frame: encode_frame(Kind.ERROR, 0, 0, ErrorReply(1, BOOT).encode()))
    with pytest.raises(OutcomeUnknown):
        link.exchange(b"abcd")
    assert len(stream.sent) < 20


def test_pending_is_told_and_extends_the_wait():
    told = []
    answers = iter(range(10, 0, -1))

    def answer(frame):
        left = next(answers)
        if left == 1:
            return reply(frame)
        return encode_frame(Kind.PENDING, frame.sequence, frame.session, Pending(1, left).encode())

    link, _, clock = scripted(answer, on_pending=told.append)
    assert link.exchange(b"abcd") == b"\x90\x00"
    assert told == list(range(10, 1, -1))
    assert clock.monotonic() > 2.0


def test_pending_and_reply_in_one_piece():
    link, _, clock = scripted(
        lambda frame: encode_frame(Kind.PENDING, frame.sequence, frame.session, Pending(1, 9).encode()) + reply(frame)
    )
    assert link.exchange(b"abcd") == b"\x90\x00"
    assert clock.monotonic() == 0


def test_pending_for_ever_is_given_up():
    link, _, clock = scripted(
        lambda frame: encode_frame(Kind.PENDING, frame.sequence, frame.session, Pending(1, 60000).encode())
    )
    with pytest.raises(OutcomeUnknown):
        link.exchange(b"abcd")
    assert MAX_PENDING_S <= clock.monotonic() <= MAX_PENDING_S + 10


@pytest.mark.parametrize(
    ("boot_id", "words"), [(b"anewboot", "was restarted"), (BOOT, "lost its session")], ids=["restart", "reopened"]
)
def test_no_session_is_an_unknown_outcome_and_never_a_repeat(boot_id, words):
    link, stream, _ = scripted(lambda frame: error(frame, FrameErrorCode.NO_SESSION, boot_id))
    with pytest.raises(OutcomeUnknown, match=words):
        link.exchange(b"VERIFY")
    assert [frame.payload for frame in stream.sent].count(b"VERIFY") == 1


def test_the_exchange_after_an_unknown_outcome_begins_with_hello():
    lost = iter([True, False])

    def answer(frame):
        return error(frame, FrameErrorCode.NO_SESSION) if next(lost) else reply(frame)

    link, stream, _ = scripted(answer)
    with pytest.raises(OutcomeUnknown):
        link.exchange(b"one")
    link.exchange(b"two")
    assert [frame.kind for frame in stream.sent] == [Kind.HELLO, Kind.APDU, Kind.HELLO, Kind.APDU]
    assert stream.sent[-1].sequence == 1


def test_the_line_breaks_before_or_after_the_command_left():
    gone = LinkError("the cable was pulled")

    def failing(*_):
        raise gone

    link, stream, _ = scripted(lambda frame: b"")
    stream.write = failing
    with pytest.raises(LinkError) as before:
        link.exchange(b"abcd")
    assert before.value is gone

    link, stream, _ = scripted(lambda frame: b"")
    stream.read = failing
    with pytest.raises(OutcomeUnknown, match="cable was pulled") as after:
        link.exchange(b"abcd")
    assert after.value.__cause__ is gone


@pytest.mark.parametrize("code", [FrameErrorCode.SEQUENCE, FrameErrorCode.UNKNOWN_KIND, 0x77])
def test_an_error_that_is_our_fault(code):
    link, _, _ = scripted(lambda frame: error(frame, code))
    with pytest.raises(LocalProtocolError, match=f"{code:02X}"):
        link.exchange(b"abcd")


def test_busy_means_that_the_reply_is_still_to_come():
    link, _, _ = scripted(lambda frame: error(frame, FrameErrorCode.BUSY) + reply(frame))
    assert link.exchange(b"abcd") == b"\x90\x00"


@pytest.mark.parametrize(
    "answer",
    [
        lambda frame: encode_frame(0x99, frame.sequence, frame.session, b""),
        lambda frame: encode_frame(Kind.PENDING, frame.sequence, frame.session, b"x"),
        lambda frame: encode_frame(Kind.ERROR, frame.sequence, frame.session, b"x"),
    ],
)
def test_frames_that_make_no_sense(answer):
    link, _, _ = scripted(answer)
    with pytest.raises(RemoteProtocolError, match="test:"):
        link.exchange(b"abcd")


@pytest.mark.parametrize(
    "answer",
    [
        lambda frame: error(frame, FrameErrorCode.VERSION),
        lambda frame: hello_reply(frame, version=2),
        lambda frame: encode_frame(Kind.HELLO_REPLY, 0, frame.session, b"short"),
        lambda frame: encode_frame(Kind.APDU_REPLY, 0, frame.session, HelloReply(1, BOOT, 300).encode()),
    ],
)
def test_hello_answered_wrongly(answer):
    clock = ManualClock()
    with pytest.raises(RemoteProtocolError, match="test:"):
        FramedLink(Scripted(answer, clock), "test:", LinkOptions(clock, random.Random(7).randbytes))


def test_a_command_longer_than_the_token_takes_does_not_leave():
    link, stream, _ = scripted(reply)
    with pytest.raises(LocalProtocolError, match="300"):
        link.exchange(bytes(301))
    assert link.exchange(bytes(300)) == b"\x90\x00"
    assert len(stream.sent) == 2


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_noise_instead_of_a_token_is_a_link_or_protocol_error(noise):
    clock = ManualClock()
    with pytest.raises((LinkError, RemoteProtocolError)):
        FramedLink(Scripted(lambda frame: noise, clock), "test:", LinkOptions(clock, random.Random(7).randbytes))
