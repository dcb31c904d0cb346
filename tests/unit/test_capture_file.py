"""The capture as a file: its blocks as their specifications have them, and what becomes of it when the disk is full."""

from __future__ import annotations

import errno
import os
import signal
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.clocks import ManualClock
from firmware_sim.control.capture import capture
from firmware_sim.control.errors import ControlError
from firmware_sim.links.recorded import recorded
from provision.errors import InputError, LinkError
from provision.links.capture import CaptureFile, RecordedStream
from provision.wire import framing
from provision.wire.capture import pcapng
from provision.wire.capture.linktypes import Transfer
from provision.wire.capture.pcapng import Direction
from provision.wire.capture.recorder import Recorder
from provision.wire.usb import DeviceClass, TransferType
from provision.wire.usb_descriptors import Configuration, EndpointDescriptor, InterfaceDescriptor

NOW = 1_767_225_600.123456
CONFIGURATION = Configuration.of(
    (
        InterfaceDescriptor(0, 0, 2, DeviceClass.CDC_DATA, 0, 0, 0),
        EndpointDescriptor(0x01, TransferType.BULK, 64, 0),
        EndpointDescriptor(0x81, TransferType.BULK, 64, 0),
    ),
    bmAttributes=0x80,
    bMaxPower=25,
).encode()
FRAME = framing.encode_frame(framing.Kind.HELLO, 0, 0x01020304, b"\x01")


def blocks(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, body), read from draft-ietf-opsawg-pcapng section 3.1 alone."""
    while raw:
        kind, size = struct.unpack_from("<II", raw)
        assert size % 4 == 0
        assert struct.unpack_from("<I", raw, size - 4) == (size,)
        yield kind, raw[8 : size - 4]
        raw = raw[size:]


def packets(raw: bytes) -> Iterator[tuple[int, float, int, bytes]]:
    """(interface, Unix time, direction, data) of each packet."""
    for kind, body in blocks(raw):
        if kind == 6:
            number, high, low, captured, original = struct.unpack_from("<IIIII", body)
            assert captured == original
            end = 20 + captured
            options = body[end + -captured % 4 :]
            assert options[:4] == struct.pack("<HH", 2, 4)
            yield number, (high << 32 | low) / 1e6, struct.unpack_from("<I", options, 4)[0], body[20:end]


class Taken:
    """Where a Recorder writes to."""

    def __init__(self) -> None:
        self.raw = b""
        self.recorder = Recorder(self.write, lambda: NOW, "test")

    def write(self, block: bytes) -> None:
        assert len(list(blocks(block))) == 1, "whole blocks, one at a time"
        self.raw += block


@given(
    st.integers(0, 9), st.integers(0, 2**52), st.sampled_from(Direction), st.binary(max_size=70), st.text(max_size=9)
)
def test_packets_are_read_back(number, microseconds, direction, data, name):
    raw = pcapng.section_header("test") + pcapng.interface(250, name)
    raw += pcapng.packet(number, microseconds / 1e6, direction, data)
    assert [kind for kind, _ in blocks(raw)] == [0x0A0D0D0A, 1, 6]
    [(found, time_s, way, payload)] = packets(raw)
    assert (found, way, payload) == (number, direction, data)
    assert time_s == pytest.approx(microseconds / 1e6, abs=1e-6)


def test_every_wire_has_its_link_type_and_its_own_interface():
    taken = Taken()
    taken.recorder.serial()
    taken.recorder.apdus()
    taken.recorder.usb(1, 2, b"")
    section, *interfaces = blocks(taken.raw)
    assert section[1][:8] == struct.pack("<IHH", 0x1A2B3C4D, 1, 0)
    assert [(kind, struct.unpack_from("<H", body)[0]) for kind, body in interfaces] == [(1, 250), (1, 252), (1, 220)]
    assert b"apdu1" in interfaces[1][1]


def test_a_serial_packet_holds_whole_frames_and_says_which_way_they_went():
    taken = Taken()
    tap = taken.recorder.serial()
    tap.to_token(FRAME[:5])
    tap.to_token(FRAME[5:])
    tap.to_host(FRAME + b"noise")
    tap.close()
    head = struct.pack(">II", 1_767_225_600, 123_456)
    assert [(number, way, data) for number, _, way, data in packets(taken.raw)] == [
        (0, 2, head + b"\x01\0\0\0" + FRAME),
        (0, 1, head + b"\x02\0\0\0" + FRAME),
        (0, 1, head + b"\x02\0\0\0" + b"*****"),
    ]
    assert {time_s for _, time_s, _, _ in packets(taken.raw)} == {NOW}


def test_an_apdu_names_its_dissector_and_its_direction():
    taken = Taken()
    tap = taken.recorder.apdus()
    tap.command(b"\x00\xa4\x04\x00")
    tap.response(b"\x6a\x82")
    name, end = struct.pack(">HH", 12, 8) + b"iso7816\0", struct.pack(">HH", 0, 0)
    assert [(way, data) for _, _, way, data in packets(taken.raw)] == [
        (2, name + struct.pack(">HHI", 35, 4, 0) + end + b"\x00\xa4\x04\x00"),
        (1, name + struct.pack(">HHI", 35, 4, 1) + end + b"\x6a\x82"),
    ]


def test_an_urb_is_submitted_and_completed_under_one_number():
    taken = Taken()
    tap = taken.recorder.usb(3, 7, CONFIGURATION)
    tap.submit(8, Transfer.CONTROL, 0x80, setup=bytes.fromhex("8000000000000200"), length=2)
    tap.submit(9, Transfer.BULK, 0x01, data=FRAME, length=len(FRAME))
    tap.complete(9, 0, length=len(FRAME))
    tap.complete(8, -32, length=0)
    tap.complete(8, 0, length=0)  # a host that lies
    tap.submit(10, Transfer.BULK, 0x81, length=64)
    tap.reset()
    tap.complete(10, 0, length=64)
    setup, seconds, microseconds, size = bytes.fromhex("8000000000000200"), 1_767_225_600, 123_456, len(FRAME)
    head = struct.Struct("<QcBBBHccqiiII8s16x")
    assert [(way, head.unpack_from(data), data[64:]) for _, _, way, data in packets(taken.raw)] == [
        (2, (8, b"S", 2, 0x80, 7, 3, b"\0", b"<", seconds, microseconds, -115, 2, 0, setup), b""),
        (2, (9, b"S", 3, 0x01, 7, 3, b"-", b"\0", seconds, microseconds, -115, size, size, bytes(8)), FRAME),
        (1, (9, b"C", 3, 0x01, 7, 3, b"-", b">", seconds, microseconds, 0, size, 0, bytes(8)), b""),
        (1, (8, b"C", 2, 0x80, 7, 3, b"-", b"<", seconds, microseconds, -32, 0, 0, bytes(8)), b""),
        (2, (10, b"S", 3, 0x81, 7, 3, b"-", b"<", seconds, microseconds, -115, 64, 0, bytes(8)), b""),
    ]


# The taps on both sides.


def test_the_hosts_stream_tells_what_passes():
    taken = Taken()
    closed = []
    stream = SimpleNamespace(write=lambda data: None, read=lambda deadline: FRAME, close=lambda: closed.append(True))
    tapped = RecordedStream(stream, taken.recorder.serial())
    tapped.write(FRAME)
    assert tapped.read(0.0) == FRAME
    tapped.close()
    assert [way for _, _, way, _ in packets(taken.raw)] == [2, 1]
    assert closed


def test_what_was_not_sent_any_more_is_told_too():
    def gone(data: bytes) -> None:
        raise LinkError("gone")

    taken = Taken()
    with pytest.raises(LinkError):
        RecordedStream(SimpleNamespace(write=gone), taken.recorder.serial()).write(FRAME)
    assert [way for _, _, way, _ in packets(taken.raw)] == [2]


def test_the_devices_line_tells_what_passes():
    taken = Taken()
    line = SimpleNamespace(receive=lambda data: [FRAME], poll=lambda: ([FRAME], 5.0), disconnect=lambda: None)
    tapped = recorded(line, taken.recorder)
    assert tapped.receive(FRAME[:4]) == [FRAME]
    assert tapped.poll() == ([FRAME], 5.0)
    tapped.disconnect()
    assert [(way, data[12:]) for _, _, way, data in packets(taken.raw)] == [(1, FRAME), (1, FRAME), (2, b"****")]
    assert recorded(line, None) is line


# The files of both sides.


@pytest.fixture(params=["host", "device"])
def side(request, tmp_path):
    """A side's capture of one packet into `path`, what it said, and how it refuses to begin."""
    path, said = tmp_path / "c.pcapng", []

    def run(*, break_before_packet=None):
        if request.param == "host":
            file = CaptureFile(path, said.append)
            recorder = Recorder(file.write, lambda: NOW, "test")
            if break_before_packet:
                break_before_packet()
            recorder.serial().to_token(FRAME)
            file.close()
        else:
            with capture(path, ManualClock(NOW), said.append) as recorder:
                if break_before_packet:
                    break_before_packet()
                recorder.serial().to_token(FRAME)

    return SimpleNamespace(
        path=path, said=said, run=run, refusal=InputError if request.param == "host" else ControlError
    )


def test_a_file_is_its_owners_alone_and_holds_what_passed(side):
    side.run()
    assert [kind for kind, _ in blocks(side.path.read_bytes())] == [0x0A0D0D0A, 1, 6]
    if os.name == "posix":
        assert side.path.stat().st_mode & 0o777 == 0o600
    assert side.said == []


def test_nothing_is_overwritten(side):
    side.path.write_bytes(b"precious")
    with pytest.raises(side.refusal, match="exists already"):
        side.run()
    assert side.path.read_bytes() == b"precious"


def test_a_place_that_is_not_there_is_named(side):
    side.path = side.path.parent / "c.pcapng"
    side.path.parent.rmdir()
    with pytest.raises(side.refusal, match="cannot be written"):
        side.run()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file size limit")
def test_on_a_full_disk_the_file_ends_with_a_whole_block_and_the_work_goes_on(side):
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill() -> None:
        # Room for the interface and for a part of the packet.
        resource.setrlimit(resource.RLIMIT_FSIZE, (side.path.stat().st_size + 60, before[1]))

    try:
        side.run(break_before_packet=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [kind for kind, _ in blocks(side.path.read_bytes())] == [0x0A0D0D0A, 1]
    assert side.said == [f"the capture {side.path} ends here: {os.strerror(errno.EFBIG)}"]
