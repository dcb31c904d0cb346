"""Endpoints as a host sees them: what is said arrives once, in order, with its ends where USB has them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from firmware_sim.links.usb_pipes import PACKET, InPipe, OutPipe
from provision.wire.usbip import Status, SubmitReply

sizes = st.sampled_from((0, 1, 63, 64, 65, 127, 128, 129, 192, 500))


def fetched(message: bytes, *lengths: int) -> list[SubmitReply]:
    """The answers to IN transfers of these lengths when `message` is said."""
    answers: list[SubmitReply] = []
    pipe = InPipe(answers)
    pipe.send(message)
    for number, length in enumerate(lengths):
        pipe.submit(number, length)
    return answers


def test_a_short_packet_ends_a_transfer() -> None:
    assert fetched(b"x" * 70, 4096) == [SubmitReply(0, 0, 70, b"x" * 70)]


def test_an_empty_packet_ends_a_multiple_of_64_that_was_asked_for_with_room() -> None:
    """The host that asked for more knows the end; its next transfer waits for the next message."""
    assert fetched(b"x" * 128, 4096, 64) == [SubmitReply(0, 0, 128, b"x" * 128)]


def test_the_empty_packet_is_still_to_come_when_exactly_that_much_was_asked_for() -> None:
    assert fetched(b"x" * 128, 128, 64) == [SubmitReply(0, 0, 128, b"x" * 128), SubmitReply(1, 0, 0)]


def test_a_message_in_pieces_of_whole_packets() -> None:
    message = bytes(range(150))
    assert [answer.data for answer in fetched(message, 64, 64, 64)] == [message[:64], message[64:128], message[128:]]


def test_a_packet_that_does_not_fit_babbles_and_is_lost() -> None:
    message = bytes(range(100))
    assert fetched(message, 10, 64) == [
        SubmitReply(0, Status.OVERFLOW, 10, message[:10]),
        SubmitReply(1, 0, 36, message[64:]),
    ]
    assert fetched(message, 70, 64) == [SubmitReply(0, Status.OVERFLOW, 70, message[:70])]
    assert fetched(bytes(64), 10, 64) == [SubmitReply(0, Status.OVERFLOW, 10, bytes(10)), SubmitReply(1, 0, 0)]


@given(st.lists(sizes.map(lambda n: bytes(i % 251 for i in range(n))), max_size=6), st.lists(sizes, max_size=30))
def test_messages_come_whole_and_apart_whatever_is_asked_for(messages: list[bytes], packets: list[int]) -> None:
    """Reads of whole packets, some before anything was said: each message ends with a short or an empty read."""
    answers: list[SubmitReply] = []
    pipe = InPipe(answers)
    lengths = [max(1, length // PACKET) * PACKET for length in packets]
    for number, length in enumerate(lengths[: len(lengths) // 2]):
        pipe.submit(number, length)
    for message in messages:
        pipe.send(message)
    number = len(lengths) // 2
    while pipe.queued or len(answers) == number:
        pipe.submit(number, lengths[number % len(lengths)] if lengths else PACKET)
        number += 1
    got, current = [], b""
    for answer in answers:
        asked = lengths[answer.seqnum % len(lengths)] if lengths else PACKET
        assert answer.status == Status.OK and answer.actual_length == len(answer.data) <= asked
        current += answer.data
        if len(answer.data) < asked:
            got.append(current)
            current = b""
    assert current == b""
    assert got == messages


class Pipes(RuleBasedStateMachine):
    """Both directions against the obvious model: each transfer is answered once, or was taken back."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[SubmitReply] = []
        self.heard: list[bytes] = []
        self.room = True
        self.seqnum = 0
        self.open: dict[int, str] = {}
        self.spoken: list[bytes] = []
        self.inwards = InPipe(self.answers)
        self.outwards = OutPipe(self.answers, self.heard.append, lambda: self.room, lambda: None)

    def settle(self) -> list[SubmitReply]:
        answers, self.answers[:] = list(self.answers), []
        for answer in answers:
            assert answer.seqnum in self.open, "answered twice, or after it was taken back"
            del self.open[answer.seqnum]
        return answers

    @rule(length=sizes)
    def ask(self, length: int) -> None:
        self.seqnum += 1
        self.open[self.seqnum] = "in"
        self.inwards.submit(self.seqnum, length)
        self.settle()

    @rule(data=st.binary(max_size=5))
    def tell(self, data: bytes) -> None:
        self.seqnum += 1
        self.open[self.seqnum] = "out"
        self.outwards.submit(self.seqnum, data)
        if not self.outwards.halted:
            self.spoken.append(data)
        self.settle()

    @rule(size=sizes)
    def say(self, size: int) -> None:
        self.inwards.send(bytes(size))
        self.settle()

    @rule(room=st.booleans())
    def change_room(self, room: bool) -> None:
        self.room = room
        self.outwards.go_on()
        self.settle()

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        seqnum = data.draw(st.sampled_from(sorted(self.open)))
        outwards = self.open.pop(seqnum) == "out"
        before = list(self.outwards._waiting)
        assert (self.outwards if outwards else self.inwards).unlink(seqnum)
        assert not (self.inwards if outwards else self.outwards).unlink(seqnum)
        if outwards:
            del self.spoken[len(self.heard) + before.index(seqnum)]

    @rule(on=st.booleans())
    def halt(self, on: bool) -> None:
        for pipe in (self.inwards, self.outwards):
            if on:
                pipe.halt()
            else:
                pipe.resume()
        answers = self.settle()
        assert all(answer.status == Status.STALL for answer in answers)
        if on:
            assert not self.open
            del self.spoken[len(self.heard) :]

    @rule()
    def begin_anew(self) -> None:
        for pipe in (self.inwards, self.outwards):
            pipe.reset()
        assert all(answer.status == Status.SHUTDOWN for answer in self.settle())
        assert not self.open
        del self.spoken[len(self.heard) :]

    @invariant()
    def nothing_is_lost_or_made_up(self) -> None:
        assert self.heard == self.spoken[: len(self.heard)]
        assert self.outwards.queued == sum(map(len, self.spoken[len(self.heard) :]))
        assert self.inwards.waiting == sum(way == "in" for way in self.open.values())
        assert not (self.room and self.outwards.waiting)
        assert not (self.inwards.queued and self.inwards.waiting)


TestPipes = Pipes.TestCase
