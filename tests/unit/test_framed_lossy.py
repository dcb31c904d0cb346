"""A line that loses, doubles, spoils and delays, between the device's link and a tiny host written from
docs/PROTOCOL.md: each command is executed exactly once, or the host knows that it cannot know."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.clocks import ManualClock
from firmware_sim.links.framed import FramedLink
from provision.wire.framing import Decoder, ErrorReply, Frame, FrameErrorCode, HelloReply, Kind, encode_frame

ATTEMPTS = 4


class Recorder:
    """An ApduChannel whose reply counts executions, so that a second one could not pass for the first."""

    deadline = None

    def __init__(self) -> None:
        self.executed: list[bytes] = []

    def transmit(self, apdu: bytes) -> bytes:
        self.executed.append(apdu)
        return apdu + len(self.executed).to_bytes(2, "big")

    def poll(self) -> None:
        return None

    def reset(self) -> None:
        pass


# What a line does with one frame. Delays keep the order, as a wire does.
faults = st.sampled_from(["pass"] * 6 + ["lose", "double", "spoil", "cut", "delay", "noise"])


@dataclass
class Line:
    """One direction. `plan` says what happens to each frame, then everything passes."""

    plan: Iterator[tuple[str, int]]
    late: bytes = b""

    def carry(self, data: bytes) -> bytes:
        fault, where = next(self.plan, ("pass", 0))
        late, self.late = self.late, b""
        match fault:
            case "lose":
                data = b""
            case "double":
                data += data
            case "spoil" if data:
                spoiled = bytearray(data)
                spoiled[where % len(data)] ^= 1 + where % 255
                data = bytes(spoiled)
            case "cut" if data:
                data = data[: where % len(data)]
            case "noise":
                data = b"\x05noise\0" + data
            case "delay":
                self.late, data = data, b""
        return late + data


@dataclass
class Host:
    """Sends, repeats the same bytes, gives up after a few attempts. `session` is its nonce."""

    link: FramedLink
    out: Line
    back: Line
    session: int = 0
    sequence: int = 0
    decoder: Decoder = field(default_factory=Decoder)

    def _round_trip(self, frame: bytes) -> list[Frame]:
        replies = b"".join(self.link.receive(self.out.carry(frame)))
        return [f for f in self.decoder.feed(self.back.carry(replies)) if isinstance(f, Frame)]

    def hello(self, nonce: int) -> bool:
        self.session, self.sequence = nonce, 0
        for _ in range(ATTEMPTS):
            for frame in self._round_trip(encode_frame(Kind.HELLO, 0, nonce, b"\x01")):
                if frame.kind == Kind.HELLO_REPLY and frame.session == nonce:
                    HelloReply.decode(frame.payload)
                    return True
        return False

    def command(self, payload: bytes) -> bytes | None:
        """The reply, or None: the outcome is unknown."""
        self.sequence = (self.sequence + 1) & 0xFF
        sent = encode_frame(Kind.APDU, self.sequence, self.session, payload)
        for _ in range(ATTEMPTS):
            for frame in self._round_trip(sent):
                if frame.session != self.session or frame.sequence != self.sequence:
                    continue
                if frame.kind == Kind.APDU_REPLY:
                    return frame.payload
                assert frame.kind == Kind.ERROR
                code = ErrorReply.decode(frame.payload).code
                assert code != FrameErrorCode.SEQUENCE, "an honest host never sees this one"
                return None
        return None


plans = st.lists(st.tuples(faults, st.integers(0, 2**16)), max_size=60)


@given(plans, plans, st.integers(1, 30))
@settings(max_examples=300)
def test_each_command_is_executed_exactly_once_or_reported(
    out: list[tuple[str, int]], back: list[tuple[str, int]], count: int
) -> None:
    channel = Recorder()
    link = FramedLink(channel, lambda: bytes(8), 512, ManualClock())
    host = Host(link, Line(iter(out)), Line(iter(back)))
    nonces = itertools.count(1)
    confirmed: list[bytes] = []
    unknown: list[bytes] = []
    while not host.hello(next(nonces)):
        pass
    for number in range(count):
        payload = b"\0command" + number.to_bytes(2, "big")
        reply = host.command(payload)
        if reply is None:
            unknown.append(payload)
            while not host.hello(next(nonces)):
                pass
        else:
            assert reply[:-2] == payload
            assert channel.executed[int.from_bytes(reply[-2:], "big") - 1] == payload
            confirmed.append(payload)
    assert len(set(channel.executed)) == len(channel.executed), "executed twice"
    assert set(confirmed) <= set(channel.executed) <= set(confirmed) | set(unknown)
    assert channel.executed == sorted(channel.executed)


@given(plans, st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=10))
def test_a_line_that_heals_loses_nothing(out: list[tuple[str, int]], payloads: list[bytes]) -> None:
    channel = Recorder()
    link = FramedLink(channel, lambda: bytes(8), 512, ManualClock())
    host = Host(link, Line(iter(out)), Line(iter(())))
    while not host.hello(1):
        pass
    host.out = Line(iter(()), host.out.late)
    for payload in payloads:
        assert host.command(payload) is not None
    assert channel.executed == payloads
