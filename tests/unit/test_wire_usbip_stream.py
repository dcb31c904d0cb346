"""USB/IP streams cut into messages: however they were split, whatever lengths they claim, in both roles."""

from __future__ import annotations

import contextlib
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.wire import WireError, usbip
from provision.wire.usbip_stream import DeviceDecoder, HostDecoder

DEVICE = usbip.Device("/sys/bus/1-1", "1-1", 1, 2, usbip.Speed.FULL, 0x1209, 1, 0x100, 0xEF, 2, 1, 1, 1, 3)
LISTED = usbip.ListedDevice(DEVICE, ((2, 2, 0), (10, 0, 0), (11, 0, 0)))

FROM_HOST = [
    usbip.Submit(1, 0x10002, usbip.IN, 0, 18, bytes.fromhex("8006000100001200")),
    usbip.Submit(2, 0x10002, usbip.OUT, 2, 5, data=b"12345"),
    usbip.Unlink(3, 0x10002, 1),
    usbip.Submit(4, 0x10002, usbip.OUT, 2, 0),
    usbip.Submit(5, 0x10002, usbip.IN, 2, 64),
]
FROM_DEVICE = [
    usbip.SubmitReply(1, 0, 18, bytes(18)),
    usbip.SubmitReply(2, 0, 5),
    usbip.UnlinkReply(3, usbip.Status.UNLINKED),
    usbip.SubmitReply(4, usbip.Status.STALL, 0),
    usbip.SubmitReply(5, 0, 3, b"abc"),
]
ASKED = {1: 18, 2: 0, 4: 0, 5: 64}

cuts = st.lists(st.integers(0, 2000), max_size=12).map(sorted)


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *(min(cut, len(stream)) for cut in cuts), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(bounds)]


@given(cuts)
def test_what_a_host_sends_comes_out_whole_however_it_was_cut(cuts: list[int]) -> None:
    stream = usbip.ImportRequest("1-1").encode() + b"".join(message.encode() for message in FROM_HOST)
    decoder, got = DeviceDecoder(), []
    for piece in pieces(stream, cuts):
        for message in decoder.feed(piece):
            got.append(message)
            decoder.imported |= isinstance(message, usbip.ImportRequest)
    assert got == [usbip.ImportRequest("1-1"), *FROM_HOST]


@given(cuts)
def test_what_a_device_sends_comes_out_whole_however_it_was_cut(cuts: list[int]) -> None:
    replies = [usbip.DevlistReply((LISTED, LISTED)), usbip.ImportReply(1, None), usbip.ImportReply(0, DEVICE)]
    stream = b"".join(message.encode() for message in [*replies, *FROM_DEVICE])
    decoder = HostDecoder(ASKED.get)
    got = [message for piece in pieces(stream, cuts) for message in decoder.feed(piece)]
    assert got == [*replies, *FROM_DEVICE]


def test_bytes_as_the_kernels_documentation_draws_them() -> None:
    submit = bytes.fromhex(
        "00000001 00000d05 0001000f 00000001 00000001 00000200 00000040 ffffffff 00000000 00000004 0000000000000000"
    )
    assert usbip.Submit.decode(submit) == usbip.Submit(0xD05, 0x1000F, usbip.IN, 1, 64, flags=0x200, interval=4)
    answer = bytes.fromhex(
        "00000003 00000d05 00000000 00000000 00000000 00000000 00000005 00000000 ffffffff 00000000 0000000000000000"
    )
    assert usbip.SubmitReply(0xD05, 0, 5, b"hello").encode() == answer + b"hello"
    unlink = bytes.fromhex("00000002 00000d06 0001000f 00000000 00000000 00000d05") + bytes(24)
    assert usbip.Unlink(0xD06, 0x1000F, 0xD05).encode() == unlink
    answer = bytes.fromhex("00000004 00000d06 00000000 00000000 00000000 ffffff98") + bytes(24)
    assert usbip.UnlinkReply(0xD06, usbip.Status.UNLINKED).encode() == answer
    assert usbip.DevlistRequest().encode().hex() == "0111800500000000"
    assert usbip.ImportRequest("1-1").encode().hex() == "0111800300000000312d31" + "00" * 29


def _imported() -> DeviceDecoder:
    decoder = DeviceDecoder(max_transfer=1000)
    decoder.imported = True
    return decoder


@pytest.mark.parametrize("length", [1001, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_host_that_announces_too_much_is_not_waited_for(length: int) -> None:
    raw = bytearray(usbip.Submit(2, 0, usbip.OUT, 2, 0).encode())
    raw[24:28] = length.to_bytes(4, "big")
    with pytest.raises(WireError):
        list(_imported().feed(bytes(raw)))


def test_a_device_that_brings_more_than_was_asked_for() -> None:
    for asked in ({5: 2}, {}):
        decoder = HostDecoder(asked.get)
        list(decoder.feed(usbip.ImportReply(0, DEVICE).encode()))
        with pytest.raises(WireError):
            list(decoder.feed(usbip.SubmitReply(5, 0, 3, b"abc").encode()))


def test_a_list_of_a_billion_devices() -> None:
    raw = usbip.DevlistReply(()).encode()[:8] + (10**9).to_bytes(4, "big")
    with pytest.raises(WireError):
        list(HostDecoder(ASKED.get).feed(raw))


@pytest.mark.parametrize("position", [0, 3, 12, 16, 35])
def test_headers_that_no_transfer_has(position: int) -> None:
    raw = bytearray(usbip.Submit(5, 0x10002, usbip.IN, 2, 64).encode())
    raw[32:36] = bytes(4)  # the kernel writes that too
    assert list(_imported().feed(bytes(raw))) == [usbip.Submit(5, 0x10002, usbip.IN, 2, 64)]
    raw[position] = 0x55
    with pytest.raises(WireError):
        list(_imported().feed(bytes(raw)))


def test_what_is_held_is_bounded() -> None:
    decoder = _imported()
    head = usbip.Submit(2, 0, usbip.OUT, 2, 1000, data=bytes(1000)).encode()
    for byte in head[:-1]:
        assert list(decoder.feed(bytes((byte,)))) == []
    assert len(decoder._buffer) == len(head) - 1


def test_a_recorded_exchange_ten_thousand_times_spoiled() -> None:
    """Decoded or refused, in both roles; nothing else, and never for long."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    host = usbip.ImportRequest("1-1").encode() + b"".join(message.encode() for message in FROM_HOST)
    device = usbip.ImportReply(0, DEVICE).encode() + b"".join(message.encode() for message in FROM_DEVICE)
    for _ in range(10_000):
        role = rng.randrange(2)
        raw = bytearray((host, device)[role])
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(raw))
            raw[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        with contextlib.suppress(WireError):
            if role:
                list(HostDecoder(ASKED.get).feed(bytes(raw)))
            else:
                decoder = DeviceDecoder()
                for message in decoder.feed(bytes(raw)):
                    decoder.imported |= isinstance(message, usbip.ImportRequest)


def test_payloads_stay_out_of_reprs() -> None:
    for message in (usbip.Submit(1, 0, 0, 2, 6, data=b"918273"), usbip.SubmitReply(1, 0, 6, b"918273")):
        assert "918273" not in repr(message) and "6 hidden" in repr(message)
