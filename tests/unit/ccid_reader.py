"""A card reader at the other end of the host's bulk pipes, whose card echoes."""

from __future__ import annotations

import random
from collections import deque

from provision.clock import ManualClock
from provision.errors import LinkError, Timeout
from provision.links.ccid import CcidLink
from provision.links.link import LinkOptions
from provision.wire import ccid
from provision.wire.ccid import Chain, DataBlock, IccStatus, SlotStatus, XfrBlock
from provision.wire.ccid_transfer import Decoder
from provision.wire.usb_descriptors import CcidDescriptor

ATR = bytes.fromhex("3B8001 81")
EXTENDED, SHORT, TPDU = 0x40000, 0x20000, 0x10000
OK = b"\x90\x00"


def reader(longest=271, features=EXTENDED | 0x08, voltage=7):
    return CcidDescriptor(
        0x0110, 0, voltage, 2, 4000, 4000, 0, 9600, 9600, 0, 254, 0, 0, features, longest, 0, 0, 0, 0, 1
    )


class Reader:
    """A Pipe to a reader whose card echoes, and the place where the bad ones differ.

    `done`: the APDUs that the card carried out. `told`: the messages that it got.
    """

    packet = 64

    def __init__(self, clock, longest=271):
        self.clock = clock
        self.room = longest - ccid.HEADER
        self.decoder = Decoder(ccid.decode_command, longest)
        self.out = deque()
        self.done, self.told, self.aborted = [], [], []
        self.active = self.closed = self.gone = False
        self.command = self.rest = b""

    def foretell(self, size):
        self.foretold = size

    def write(self, transfer, timeout_s):
        if self.gone:
            raise LinkError("the cable was pulled")
        for message in self.decoder.feed(transfer):
            self.told.append(message)
            self.receive(message)

    def read(self, size, timeout_s):
        if self.out:
            assert size == self.foretold and size % self.packet == 0 and len(self.out[0]) <= size
            return self.out.popleft()
        if self.gone:
            raise LinkError("the cable was pulled")
        self.clock.advance(timeout_s)
        raise Timeout("silence")

    def abort(self, slot, seq, timeout_s):
        self.aborted.append(seq)

    def close(self):
        self.closed = True

    def say(self, message):
        self.out.append(message.encode())

    def receive(self, message):
        status = ccid.status(IccStatus.ACTIVE if self.active else IccStatus.INACTIVE)
        match message:
            case ccid.IccPowerOn():
                self.active = True
                self.say(DataBlock(0, message.seq, data=ATR))
            case ccid.IccPowerOff():
                self.active = False
                self.say(SlotStatus(0, message.seq, ccid.status(IccStatus.INACTIVE)))
            case ccid.Abort():
                self.say(SlotStatus(0, message.seq, status))
            case XfrBlock(level=Chain.CONTINUE):
                self.respond(message.seq, Chain.MIDDLE)
            case XfrBlock():
                self.command += message.data
                if message.level in (Chain.FIRST, Chain.MIDDLE):
                    self.say(DataBlock(0, message.seq, chain=Chain.CONTINUE))
                else:
                    command, self.command = self.command, b""
                    self.transmit(message.seq, command)

    def transmit(self, seq, command):
        self.done.append(command)
        self.rest = command + OK
        self.respond(seq, Chain.FIRST)

    def respond(self, seq, chain):
        part, self.rest = self.rest[: self.room], self.rest[self.room :]
        if not self.rest:
            chain = Chain.WHOLE if chain == Chain.FIRST else Chain.LAST
        self.say(DataBlock(0, seq, chain=chain, data=part))


def opened(kind=Reader, descriptor=None, on_pending=None, **more):
    clock = ManualClock()
    descriptor = descriptor or reader()
    pipe = kind(clock, descriptor.dwMaxCCIDMessageLength, **more)
    return pipe, CcidLink(pipe, descriptor, "usb:test", LinkOptions(clock, random.Random(1).randbytes, 2.0, on_pending))
