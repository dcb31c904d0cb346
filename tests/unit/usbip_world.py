"""A USB/IP server in memory with one card reader, where a test lets things go wrong."""

from __future__ import annotations

import contextlib
import random
from collections import deque

import pytest
import usb.core
import usb.util

from provision.clock import ManualClock
from provision.errors import LinkError
from provision.links import usbip
from provision.links.link import LinkOptions
from provision.links.usbip_backend import UsbipBackend
from provision.wire import ccid
from provision.wire.ccid_transfer import Decoder
from provision.wire.usb import SetupPacket, encode_langids, encode_string
from provision.wire.usb_descriptors import (
    CcidDescriptor,
    Configuration,
    DeviceDescriptor,
    EndpointDescriptor,
    InterfaceDescriptor,
)
from provision.wire.usbip import (
    IN,
    Device,
    DevlistReply,
    DevlistRequest,
    ImportReply,
    ImportRequest,
    ListedDevice,
    Status,
    Submit,
    SubmitReply,
    Unlink,
    UnlinkReply,
)
from provision.wire.usbip_stream import DeviceDecoder

ATR = bytes.fromhex("3B800181")
OK = b"\x90\x00"
EXPORTED = Device("/sys/x", "1-1", 1, 2, 2, 0x1209, 0x0001, 0x0100, 0, 0, 0, 1, 1, 1)
DESCRIPTOR = DeviceDescriptor(0x0200, 0, 0, 0, 64, 0x1209, 0x0001, 0x0100, 1, 2, 3, 1)
READER = CcidDescriptor(0x0110, 0, 7, 2, 4000, 4000, 0, 9600, 9600, 0, 254, 0, 0, 0x40008, 271, 0, 0, 0, 0, 1)
CONFIGURATION = Configuration.of(
    (
        InterfaceDescriptor(0, 0, 2, 0x0B, 0, 0, 0),
        READER,
        EndpointDescriptor(0x02, 2, 64, 0),
        EndpointDescriptor(0x82, 2, 64, 0),
    ),
    bmAttributes=0x80,
    bMaxPower=50,
)
STRINGS = [encode_langids(0x0409), *map(encode_string, ("hwtoken", "a token of a page", "HT-0001"))]
DESCRIPTORS = {0x0100: DESCRIPTOR.encode(), 0x0200: CONFIGURATION.encode()}
DESCRIPTORS |= {0x0300 + index: raw for index, raw in enumerate(STRINGS)}


class World:
    """A server with one device, the card in it that echoes, and what a test wants to go wrong.

    `stall`: endpoints that are halted. `mute`: commands are carried out, but never answered. `cut_at`: how many bytes
    the server sends on a connection before it hangs up. `spoil(reply)`: what goes out instead of a reply's bytes.
    `exported`: what the server says of the device.
    """

    def __init__(self):
        self.clock = ManualClock()
        self.busy = self.mute = self.pulled = self.late = False
        self.stall = set()
        self.cut_at = None
        self.exported = EXPORTED
        self.spoil = lambda raw: raw
        self.connections = self.writes = 0
        self.unlinked, self.configured, self.done = [], [], []

    def dial(self, where, clock):
        self.connections += 1
        return Stream(self)

    def backend(self, busid=None):
        return UsbipBackend("test", busid, self.clock, self.dial)

    @contextlib.contextmanager
    def interrupted(self):
        """Whoever waits is interrupted."""

        def interrupt(_seconds):
            raise KeyboardInterrupt

        advance, self.clock.advance = self.clock.advance, interrupt
        with pytest.raises(KeyboardInterrupt):
            yield
        self.clock.advance = advance

    def find(self):
        return usb.core.find(idVendor=0x1209, backend=self.backend())

    def link(self):
        options = LinkOptions(self.clock, random.Random(1).randbytes)
        return usbip.open_exported(self.backend("1-1"), "usbip:test/1-1", options)


class Stream:
    """The host's end of a connection (a ByteStream), and the server behind it."""

    def __init__(self, world):
        self.world = world
        self.decoder = DeviceDecoder()
        self.transfers = Decoder(ccid.decode_command)
        self.out = b""
        self.sent = 0
        self.parked = deque()
        self.answers = deque()
        self.configuration = 0
        self.closed = False

    def close(self):
        self.closed = True

    def write(self, data):
        assert not self.closed
        if self.world.pulled:
            raise LinkError("hung up")
        self.world.writes += 1
        for message in self.decoder.feed(data):
            self.receive(message)

    def read(self, deadline):
        limit = 65536 if self.world.cut_at is None else self.world.cut_at - self.sent
        if self.world.pulled or limit <= 0:
            raise LinkError("hung up")
        if not self.out:
            self.world.clock.advance(deadline - self.world.clock.monotonic())
            return b""
        data, self.out = self.out[:limit], self.out[limit:]
        self.sent += len(data)
        return data

    def say(self, message):
        self.out += self.world.spoil(message.encode())

    def receive(self, message):
        match message:
            case DevlistRequest():
                self.say(DevlistReply((ListedDevice(self.world.exported, ((0x0B, 0, 0),)),)))
            case ImportRequest():
                refused = self.world.busy or message.busid != "1-1"
                self.decoder.imported = not refused
                self.say(ImportReply(1, None) if refused else ImportReply(0, self.world.exported))
            case Unlink():
                self.world.unlinked.append(message.target)
                if self.world.late:  # it was answered while the UNLINK was on its way
                    self.answers.append(b"late")
                    self.serve()
                    self.say(UnlinkReply(message.seqnum, Status.OK))
                    return
                self.parked = deque(one for one in self.parked if one.seqnum != message.target)
                self.say(UnlinkReply(message.seqnum, Status.UNLINKED))
            case Submit(endpoint=0):
                self.control(message, SetupPacket.decode(message.setup))
            case Submit(direction=1):
                self.parked.append(message)
                self.serve()
            case Submit():
                self.bulk_out(message)

    def control(self, submit, setup):
        data = b""
        match setup:
            case SetupPacket(0x80, 6, value) if value in DESCRIPTORS:
                data = DESCRIPTORS[value]
            case SetupPacket(0x80, 8):
                data = bytes((self.configuration,))
            case SetupPacket(0x00, 9, value):
                self.configuration = value
                self.world.configured.append(value)
            case SetupPacket(0x02, 1, 0, endpoint):
                self.world.stall.discard(endpoint)
            case _:
                self.say(SubmitReply(submit.seqnum, Status.STALL, 0))
                return
        data = data[: setup.wLength]
        moved = len(data) if submit.direction == IN else submit.length
        self.say(SubmitReply(submit.seqnum, 0, moved, data))

    def bulk_out(self, submit):
        if submit.endpoint in self.world.stall:
            self.say(SubmitReply(submit.seqnum, Status.STALL, 0))
            return
        self.say(SubmitReply(submit.seqnum, 0, submit.length))
        for message in self.transfers.feed(submit.data):
            self.command(message)
        self.serve()

    def command(self, message):
        match message:
            case ccid.IccPowerOn():
                self.answers.append(ccid.DataBlock(0, message.seq, data=ATR).encode())
            case ccid.XfrBlock():
                self.world.done.append(message.data)
                self.world.pulled = self.world.pulled or message.data == b"pull"
                if not self.world.mute:
                    self.answers.append(ccid.DataBlock(0, message.seq, data=message.data + OK).encode())
            case _:
                self.answers.append(ccid.SlotStatus(0, message.seq, 1).encode())

    def serve(self):
        while self.parked and (self.answers or 0x82 in self.world.stall):
            submit = self.parked.popleft()
            if 0x82 in self.world.stall:
                self.say(SubmitReply(submit.seqnum, Status.STALL, 0))
            else:
                data = self.answers.popleft()
                self.say(SubmitReply(submit.seqnum, 0, len(data), data))
