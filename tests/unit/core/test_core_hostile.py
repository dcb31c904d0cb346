"""Garbage, worn flash, a full one: no exception leaves the device, what is refused changes nothing, the next good
command works."""

from __future__ import annotations

import random

import pytest

from firmware_sim.flash import MemoryFlash, Moment, PowerCut
from firmware_sim.links.inprocess import serial_line
from firmware_sim.seams import FlashError, PowerLost
from firmware_sim.testing import Bench, Host, make_bench
from provision.wire import oath, reference, reference_oath, scp03
from provision.wire.apdu import Command, Response, Sw, decode_response, encode_command
from provision.wire.framing import Decoder, Frame, HelloReply, Kind, encode_frame
from provision.wire.oath import HashKind, Ins, OathKind
from provision.wire.reference_oath import Flag, Timing

SEED = 20_240_229
AIDS = (oath.OATH_AID, reference.MANAGEMENT_AID)
PIN = reference_oath.Pin(b"123456").encode()
CREDENTIALS = (
    reference_oath.Put("hotp", OathKind.HOTP, HashKind.SHA1, 6, bytes(20), counter=1),
    reference_oath.Put("own", OathKind.TOTP, HashKind.SHA256, 8, bytes(32), timing=Timing(30, 0, Flag.OWN_CLOCK)),
    reference_oath.Put("touch", OathKind.TOTP, HashKind.SHA512, 7, bytes(64), touch=True),
)
GOOD = [
    Command(0, Ins.LIST, 0, 0, b"", 256),
    Command(0, Ins.CALCULATE, 0, 1, oath.Calculate("own").encode(), 256),
    Command(0, Ins.CALCULATE, 0, 0, oath.Calculate("touch", 1).encode(), 256),
    Command(0, Ins.CALCULATE_ALL, 0, 1, b"\x74\x08" + bytes(8), 256),
    Command(0, Ins.GET_CREDENTIAL, 0, 0, oath.Name("hotp").encode(), 256),
    Command(0, Ins.CHECK_VALUE, 0, 0, reference_oath.CheckValue("own", bytes(8)).encode(), 256),
    Command(0, Ins.PUT, 0, 0, CREDENTIALS[1].encode()),
    Command(0, Ins.RENAME, 0, 0, oath.Rename("own", "own2").encode()),
    Command(0, Ins.DELETE, 0, 0, oath.Name("own").encode()),
    Command(0, Ins.VERIFY_PIN, 0, 0, PIN),
    Command(0, Ins.CHANGE_PIN, 0, 0, reference_oath.ChangePin(b"123456", b"654321").encode()),
    Command(0, Ins.SEND_REMAINING, 0, 0, b"", 256),
    Command(0, reference.Ins.GET_INFO, 0, 0, b"", 256),
    Command(0, reference.Ins.SET_TIME, 0, 0, bytes(8)),
    Command(0, reference.Ins.SET_LABEL, 0, 0, b"label"),
    Command(0, reference.Ins.RESET_RETRY_COUNTER, 0, 2, b"123456"),
    Command(0, reference.Ins.PUT_KEY, 0, 0x81, scp03.encode_put_key(1, scp03.FACTORY_KEYS, bytes(16))),
    Command(0, reference.Ins.FACTORY_RESET, 0xDE, 0xAD),
    Command(0x80, 0x50, 0, 0, bytes(8), 256),
    Command(0x84, 0x82, 0x33, 0, bytes(16)),
]


@pytest.fixture
def host(bench: Bench) -> Host:
    host = Host(bench.token.open_channel())
    furnish(host)
    return host


def furnish(host: Host) -> None:
    host.open()
    for new in CREDENTIALS:
        assert host.secure(Ins.PUT, data=new.encode()).sw == Sw.OK
    host.send(Ins.SET_PIN, data=PIN)


def mutated(rng: random.Random, raw: bytes) -> bytes:
    """One to three changes: a byte or a bit, cut, grown, doubled."""
    data = bytearray(raw)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data)) if data else 0
        match rng.randrange(6) if data else 3:
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                data[at] ^= 1 << rng.randrange(8)
            case 2:
                del data[at:]
            case 3:
                data[at:at] = rng.randbytes(rng.randint(1, 40))
            case 4:
                data += data[at:]
            case _:
                data[at] = rng.choice((0, 0x7F, 0x80, 0x81, 0x82, 0xFF))
    return bytes(data)


def silicon(bench: Bench) -> dict[int, bytes]:
    return bench.flash.pages


def test_ten_thousand_apdus(bench: Bench, host: Host) -> None:
    """A third is noise, a third mutated good ones; a third is mutated inside the secure channel, where the parsers
    lie that only an administrator reaches."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    deep = 0
    for number in range(10_000):
        before = silicon(bench)
        kind = number % 3
        if kind == 2 and host.session is None:
            host.keys = host.keys if host.open(rng.choice(AIDS)).sw == Sw.OK else scp03.FACTORY_KEYS
        if kind == 0:
            reply = host.channel.transmit(rng.randbytes(rng.choice((0, 3, 4, 5, 7, 20, 300, 5000))))
        elif kind == 1:
            reply = host.channel.transmit(mutated(rng, encode_command(rng.choice(GOOD))))
            host.session = None  # it may have been a SELECT or a secured command
        else:
            command = rng.choice(GOOD)
            inner = host.wrap(command.ins, command.p1, command.p2, mutated(rng, command.data)[:3000])
            reply = host.channel.transmit(encode_command(inner))
            deep += 1
        if reply is None:
            bench.token.press_button()
            reply = host.channel.poll()
        assert reply is not None
        assert len(reply) >= 2
        _, sw = decode_response(reply)
        assert sw != Sw.INTERNAL_ERROR
        charged = sw >> 4 == Sw.PIN_INCORRECT >> 4
        if sw != Sw.OK and sw >> 8 != 0x61 and not charged:
            assert silicon(bench) == before, f"{sw:04X} at APDU {number} changed the flash"
        if bench.token.inspect()["pin"] == "blocked" or not bench.token.inspect()["credentials"]:
            bench.token.power_off()
            bench.token.power_on(button_held=True)
            host.keys = scp03.FACTORY_KEYS
            furnish(host)
        assert host.channel.transmit(b"\0") == b"\x67\0"
    assert deep > 3000
    assert host.select().sw == Sw.OK
    assert host.send(Ins.LIST).sw == Sw.OK


def test_a_thousand_mutated_commands_over_a_line(bench: Bench) -> None:
    """The same through frames, in process: the line's session survives any APDU."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    line, decoder = serial_line(bench.token, bench.clock), Decoder()
    (hello,) = [frame for data in line.receive(encode_frame(Kind.HELLO, 0, 7, b"\1")) for frame in decoder.feed(data)]
    assert isinstance(hello, Frame)
    assert HelloReply.decode(hello.payload).boot_id == bench.token.boot_id
    for number in range(1, 1001):
        apdu = mutated(rng, encode_command(rng.choice(GOOD)))[:4096]
        replies = line.receive(encode_frame(Kind.APDU, number % 256, 7, apdu))
        (frame,) = [frame for data in replies for frame in decoder.feed(data)]
        assert isinstance(frame, Frame)
        assert (frame.kind, frame.sequence, frame.session) == (Kind.APDU_REPLY, number % 256, 7)


def test_a_worn_out_flash_is_6581_and_nothing_changed() -> None:
    bench = make_bench(flash=MemoryFlash(wear_limit=3))
    bench.token.power_on()
    host = Host(bench.token.open_channel())
    furnish(host)
    answer = Response(b"", Sw.OK)
    while answer.sw == Sw.OK:
        before = bench.token.inspect()
        answer = host.secure(Ins.PUT, data=CREDENTIALS[0].encode())
    assert answer.sw == Sw.MEMORY_FAILURE
    assert bench.token.inspect()["credentials"] == before["credentials"]
    assert host.send(Ins.CALCULATE, 0, 1, oath.Calculate("own").encode()).sw == Sw.OK
    bench.token.power_off()
    bench.token.power_on()
    assert bench.token.inspect()["credentials"] == before["credentials"]


def test_a_flash_with_no_room_left_is_6a84() -> None:
    """Fewer credentials than the family allows, because the chip is too small for them."""
    bench = make_bench(flash=MemoryFlash(page_size=1024, page_count=2))
    bench.token.power_on()
    host = Host(bench.token.open_channel())
    host.open()
    answer, written = Response(b"", Sw.OK), 0
    while answer.sw == Sw.OK:
        before = bench.token.inspect()["credentials"]
        new = reference_oath.Put(f"{written:02d}", OathKind.TOTP, HashKind.SHA1, 6, bytes(64))
        answer, written = host.secure(Ins.PUT, data=new.encode()), written + 1
    assert answer.sw == Sw.NO_SPACE
    assert bench.token.inspect()["credentials"] == before
    assert host.secure(Ins.DELETE, data=oath.Name("00").encode()).sw == Sw.OK
    assert host.secure(Ins.PUT, data=new.encode()).sw == Sw.OK


class FullDisk(MemoryFlash):
    """Saves nothing more, once `full`."""

    full = False

    def sync(self) -> None:
        if self.full:
            raise FlashError("no space left on the device")


def test_a_time_that_cannot_be_saved_is_6581() -> None:
    flash = FullDisk()
    bench = make_bench(flash=flash)
    bench.token.power_on()
    host = Host(bench.token.open_channel())
    host.open(reference.MANAGEMENT_AID)
    data = reference.SetTime(1).encode()
    assert host.secure(reference.Ins.SET_TIME, data=data).sw == Sw.OK
    flash.full = True
    assert host.secure(reference.Ins.SET_TIME, data=data).sw == Sw.MEMORY_FAILURE


def test_only_erasing_a_secret_wears_the_flash(bench: Bench, host: Host) -> None:
    wear = bench.flash.wear
    new = reference_oath.Put("new", OathKind.HOTP, HashKind.SHA1, 6, bytes(20))
    assert host.secure(Ins.PUT, data=new.encode()).sw == Sw.OK
    assert host.secure(Ins.RENAME, data=oath.Rename("new", "newer").encode()).sw == Sw.OK
    assert host.send(Ins.CALCULATE, 0, 1, oath.Calculate("newer").encode()).sw == Sw.OK
    assert bench.flash.wear == wear
    assert host.secure(Ins.DELETE, data=oath.Name("newer").encode()).sw == Sw.OK
    assert bench.flash.wear != wear


def test_a_flash_that_cannot_be_mounted_leaves_the_token_off() -> None:
    bench = make_bench()
    bench.flash.write(0, b"somebody else's data")
    with pytest.raises(FlashError):
        bench.token.power_on()
    assert not bench.token.powered


def test_the_power_fails_in_a_command(bench: Bench, host: Host) -> None:
    boot_id = bench.token.boot_id
    bench.supply.arm(PowerCut(bench.supply.operations, Moment.INSIDE))
    with pytest.raises(PowerLost):
        host.secure(Ins.PUT, data=CREDENTIALS[0].encode())
    assert not bench.token.powered
    with pytest.raises(PowerLost):
        bench.token.power_on()
    bench.supply.restore()
    bench.token.power_on()
    assert bench.token.boot_id != boot_id
    assert host.open().sw == Sw.OK


def test_the_power_fails_in_the_touch(bench: Bench, host: Host) -> None:
    host.secure(Ins.PUT, data=reference_oath.Put("t", OathKind.HOTP, HashKind.SHA1, 6, bytes(20), touch=True).encode())
    assert host.channel.transmit(encode_command(Command(0, Ins.CALCULATE, 0, 1, oath.Calculate("t").encode()))) is None
    bench.supply.arm(PowerCut(bench.supply.operations, Moment.AFTER))
    with pytest.raises(PowerLost):
        bench.token.press_button()
    assert not bench.token.powered
    bench.supply.restore()
    bench.token.power_on()
    assert host.channel.poll() is None
    assert bench.token.inspect()["credentials"][-1]["counter"] == 1, "counted, though nobody saw the code"
