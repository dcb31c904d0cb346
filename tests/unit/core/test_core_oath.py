"""The OATH applet: credentials and codes. docs/PROTOCOL.md section 6; PIN and touch have files of their own."""

from __future__ import annotations

import hmac
from collections.abc import Iterator

import pytest

from firmware_sim.core.running import Running
from firmware_sim.seams import Battery
from firmware_sim.testing import START_S, Bench, Host, make_bench
from provision.wire import oath, reference, reference_oath, tlv
from provision.wire.apdu import Sw
from provision.wire.oath import HashKind, Ins, OathKind, Tag
from provision.wire.reference_oath import Flag, Timing
from tests.unit.core.oath_host import OWN, PIN, SECRET, calculate, names, put, record, verify


def test_the_list_is_by_age_and_replacing_keeps_the_place(bench: Bench, host: Host) -> None:
    for name in ("c", "a", "b"):
        assert put(host, name) == Sw.OK
    host.secure(Ins.DELETE, data=oath.Name("c").encode())
    put(host, "d")
    put(host, "a", secret=bytes(20))
    host.secure(Ins.RENAME, data=oath.Rename("b", "z").encode())
    assert names(host) == ["a", "z", "d"]
    bench.token.power_off()
    bench.token.power_on()
    host.select()
    assert names(host) == ["a", "z", "d"]


def test_there_is_room_for_64(host: Host) -> None:
    for number in range(64):
        assert put(host, str(number).rjust(oath.MAX_NAME, "n"), secret=bytes(64), timing=OWN) == Sw.OK
    assert put(host, "one more") == Sw.NO_SPACE
    assert put(host, "63".rjust(oath.MAX_NAME, "n"), kind=OathKind.HOTP, counter=9) == Sw.OK
    assert host.secure(Ins.DELETE, data=oath.Name("0".rjust(oath.MAX_NAME, "n")).encode()).sw == Sw.OK
    assert put(host, "one more") == Sw.OK
    assert len(names(host)) == 64


@pytest.mark.parametrize(
    "data",
    [
        "",
        "7100" + "7316" + "2106" + SECRET.hex(),
        "710161",
        "710161" + "730f" + "2106" + "00" * 13,
        "710161" + "7343" + "2106" + "00" * 65,
        "710161" + "7316" + "2105" + SECRET.hex(),
        "710161" + "7316" + "2109" + SECRET.hex(),
        "710161" + "7316" + "3106" + SECRET.hex(),
        "710161" + "7316" + "2406" + SECRET.hex(),
        "71010a" + "7316" + "2106" + SECRET.hex(),
        "7101ff" + "7316" + "2106" + SECRET.hex(),
        "710161" * 2 + "7316" + "2106" + SECRET.hex(),
        "710161" + "7316" + "2106" + SECRET.hex() + "7a0400000000",
        "710161" + "7316" + "1106" + SECRET.hex() + "7a0300000000",
        "710161" + "7316" + "1106" + SECRET.hex() + "8a0b001e000000000000000001",
        "710161" + "7316" + "2106" + SECRET.hex() + "8a0b0000000000000000000001",
        "710161" + "7316" + "2106" + SECRET.hex() + "8a0b0e11000000000000000001",
        "710161" + "7316" + "2106" + SECRET.hex() + "8a0b001e000001000000000001",
        "710161" + "7316" + "2106" + SECRET.hex() + "8a0b001e000000000000000008",
        "710161" + "7316" + "2106" + SECRET.hex() + "78",
        "710161" + "7316" + "2106" + SECRET.hex() + "7801",
        "710161" + "7316" + "2106" + SECRET.hex() + "9900",
    ],
)
def test_a_put_of_wrong_form_writes_nothing(bench: Bench, host: Host, data: str) -> None:
    operations = bench.supply.operations
    assert host.secure(Ins.PUT, data=bytes.fromhex(data)).sw == Sw.WRONG_DATA
    assert bench.supply.operations == operations


def test_names_that_are_not_there(host: Host) -> None:
    put(host)
    for ins, data in (
        (Ins.DELETE, oath.Name("A").encode()),
        (Ins.RENAME, oath.Rename("A", "b").encode()),
        (Ins.GET_CREDENTIAL, oath.Name("A").encode()),
        (Ins.CALCULATE, oath.Calculate("A").encode()),
    ):
        assert host.secure(ins, data=data).sw == Sw.NO_SUCH_OBJECT
        assert host.secure(ins, data=b"\x71\x00").sw == Sw.WRONG_DATA


def test_rename_takes_no_taken_name(host: Host) -> None:
    put(host, "a")
    put(host, "b")
    for old, new in (("a", "b"), ("a", "a")):
        assert host.secure(Ins.RENAME, data=oath.Rename(old, new).encode()).sw == Sw.CONDITIONS_NOT_SATISFIED
    assert names(host) == ["a", "b"]


def test_reset_takes_the_credentials_only(bench: Bench, host: Host) -> None:
    put(host)
    verify(host)
    assert host.secure(Ins.RESET).sw == Sw.INCORRECT_P1_P2
    assert host.secure(Ins.RESET, 0xDE, 0xAD, b"x").sw == Sw.WRONG_LENGTH
    assert names(host) == ["a"]
    assert host.secure(Ins.RESET, 0xDE, 0xAD).sw == Sw.OK
    assert names(host) == []
    assert bench.token.inspect()["attempts_remaining"] == 8
    assert SECRET not in b"".join(bench.flash.pages.values())


@pytest.mark.parametrize("erase", ["delete", "replace"])
def test_what_is_erased_is_gone_from_the_silicon(bench: Bench, host: Host, erase: str) -> None:
    put(host)
    host.secure(Ins.RENAME, data=oath.Rename("a", "b").encode())
    assert SECRET in b"".join(bench.flash.pages.values())
    if erase == "delete":
        host.secure(Ins.DELETE, data=oath.Name("b").encode())
    else:
        put(host, "b", secret=bytes(20))
    assert SECRET not in b"".join(bench.flash.pages.values())


def test_a_password_is_refused(host: Host) -> None:
    for ins in (Ins.SET_CODE, Ins.VALIDATE):
        for p1, p2 in ((0, 0), (1, 2)):
            assert host.send(ins, p1, p2, b"\x73\x00").sw == Sw.CONDITIONS_NOT_SATISFIED


# Reading


def test_check_value(host: Host) -> None:
    put(host, secret=b"short".ljust(14, b"\0"))
    nonce = b"\x01\x02\x03\x04\x05\x06\x07\x08"
    answer = host.secure(Ins.CHECK_VALUE, data=reference_oath.CheckValue("a", nonce).encode())
    expected = hmac.digest(b"short".ljust(14, b"\0"), b"check" + nonce, "sha256")[:8]
    assert answer == (b"\x8c\x08" + expected, Sw.OK)


def test_check_value_of_what_is_not_there_is_said_under_a_mac(host: Host) -> None:
    put(host)
    assert host.secure(Ins.CHECK_VALUE, data=reference_oath.CheckValue("A", bytes(8)).encode()) == (b"", Sw.OK)
    assert host.secure(Ins.CHECK_VALUE, data=b"\x71\x00").sw == Sw.WRONG_DATA


@pytest.mark.parametrize(
    ("name", "step"),
    [("a", 30), ("15/a", 15), ("3600/a", 3600), ("3601/a", 30), ("0/a", 30), ("x/a", 30), ("/a", 30), ("00001/a", 30)],
)
def test_without_timing_the_step_comes_from_the_name(host: Host, name: str, step: int) -> None:
    put(host, name)
    assert record(host, name).timing == Timing(step, 0, Flag(0))
    host.secure(Ins.RENAME, data=oath.Rename(name, "60/new").encode())
    assert record(host, "60/new").timing.time_step_s == 60


def test_with_timing_the_name_says_nothing(host: Host) -> None:
    put(host, "15/a", timing=Timing(45, 7, Flag.TOUCH | Flag.PIN))
    assert record(host, "15/a").timing == Timing(45, 7, Flag.TOUCH | Flag.PIN)
    host.secure(Ins.RENAME, data=oath.Rename("15/a", "60/a").encode())
    assert record(host, "60/a").timing.time_step_s == 45


def test_a_record_of_hotp(host: Host) -> None:
    put(host, kind=OathKind.HOTP, counter=5, touch=True)
    assert record(host) == reference_oath.CredentialRecord(
        "a", OathKind.HOTP, HashKind.SHA1, 6, Timing(30, 0, Flag.TOUCH), counter=5
    )


# Codes


def test_the_token_s_clock_takes_no_challenge(host: Host) -> None:
    put(host, timing=OWN)
    data, sw = calculate(host)
    assert sw == Sw.OK
    reply = reference_oath.CalculateReply.decode(data)
    assert reply.device_time_us == int(START_S * 1_000_000)
    name_only = tlv.encode(Tag.NAME, b"a")
    assert host.send(Ins.CALCULATE, 0, 1, name_only).data == data
    assert calculate(host, step=1) == (b"", Sw.CONDITIONS_NOT_SATISFIED)
    assert calculate(host, p2=0) == (b"", Sw.CONDITIONS_NOT_SATISFIED)


def test_the_host_s_clock_must_be_told(host: Host) -> None:
    put(host)
    assert calculate(host) == (b"", Sw.CONDITIONS_NOT_SATISFIED)
    data, _ = calculate(host, step=1)
    assert reference_oath.CalculateReply.decode(data) == reference_oath.CalculateReply(6, 0x41397EEA, None)
    whole, _ = calculate(host, step=1, p2=0)
    assert whole.hex() == "751506" + "75a48a19d4cbe100644e8ac1397eea747a2d33ab"


@pytest.mark.parametrize("size", [1, 7, 9])
def test_a_challenge_is_a_step(host: Host, size: int) -> None:
    put(host)
    data = tlv.encode(Tag.NAME, b"a") + tlv.encode(Tag.CHALLENGE, bytes(size))
    assert host.send(Ins.CALCULATE, 0, 1, data).sw == Sw.WRONG_DATA
    assert host.send(Ins.CALCULATE_ALL, 0, 1, tlv.encode(Tag.CHALLENGE, bytes(size))).sw == Sw.WRONG_DATA


def test_before_t0_and_without_time(bench: Bench, host: Host) -> None:
    put(host, timing=Timing(30, int(START_S) + 1, Flag.OWN_CLOCK))
    assert calculate(host) == (b"", Sw.CONDITIONS_NOT_SATISFIED)
    bench.clock.advance(1)
    assert calculate(host)[1] == Sw.OK
    bench.oscillator.offset_us = -1
    assert calculate(host) == (b"", Sw.CONDITIONS_NOT_SATISFIED), "a microsecond too early"
    bench.oscillator.battery = Battery.STOPPED
    assert calculate(host) == (b"", Sw.CONDITIONS_NOT_SATISFIED)


def test_hotp_counts_and_takes_no_challenge(bench: Bench, host: Host) -> None:
    put(host, kind=OathKind.HOTP, counter=3)
    assert calculate(host, step=0) == (b"", Sw.CONDITIONS_NOT_SATISFIED)
    assert reference_oath.CalculateReply.decode(calculate(host)[0]).code == "969429"
    bench.token.power_off()
    bench.token.power_on()
    host.select()
    assert reference_oath.CalculateReply.decode(calculate(host)[0]).code == "338314"
    assert record(host).counter == 5


def test_a_counter_has_an_end(host: Host) -> None:
    put(host, kind=OathKind.HOTP, counter=0xFFFFFFFE)
    assert calculate(host)[1] == Sw.OK
    assert calculate(host) == (b"", Sw.CONDITIONS_NOT_SATISFIED)
    assert record(host).counter == 0xFFFFFFFF


@pytest.mark.parametrize("timing", [Timing(30, 0, Flag.OWN_CLOCK | Flag.PIN), Timing(30, 0, Flag.PIN)])
def test_the_pin_opens_one_channel(bench: Bench, host: Host, timing: Timing) -> None:
    step = None if Flag.OWN_CLOCK in timing.flags else 5
    put(host, timing=timing)
    other = Host(bench.token.open_channel())
    other.select()
    assert calculate(host, step=step)[1] == Sw.SECURITY_STATUS_NOT_SATISFIED
    verify(host)
    assert calculate(host, step=step)[1] == Sw.OK
    assert calculate(other, step=step)[1] == Sw.SECURITY_STATUS_NOT_SATISFIED
    host.send(Ins.VERIFY_PIN, data=reference_oath.Pin(b"000000").encode())
    assert calculate(host, step=step)[1] == Sw.SECURITY_STATUS_NOT_SATISFIED, "a wrong PIN takes the right away"
    verify(host)
    host.select()
    assert calculate(host, step=step)[1] == Sw.SECURITY_STATUS_NOT_SATISFIED


def test_another_pin_closes_the_other_channels(bench: Bench, host: Host) -> None:
    put(host, timing=Timing(30, 0, Flag.OWN_CLOCK | Flag.PIN))
    other = Host(bench.token.open_channel())
    other.select()
    verify(host)
    verify(other)
    assert other.send(Ins.CHANGE_PIN, data=reference_oath.ChangePin(PIN, b"999999").encode()).sw == Sw.OK
    assert calculate(other)[1] == Sw.OK
    assert calculate(host)[1] == Sw.SECURITY_STATUS_NOT_SATISFIED
    host.open(reference.MANAGEMENT_AID)
    host.secure(reference.Ins.RESET_RETRY_COUNTER, 0, reference.NEW_PIN_P2, PIN)
    assert calculate(other)[1] == Sw.SECURITY_STATUS_NOT_SATISFIED


def entries(data: bytes) -> Iterator[tuple[str, int, bytes]]:
    pairs = list(tlv.decode(data))
    for (tag, name), (answer, value) in zip(pairs[::2], pairs[1::2], strict=True):
        assert tag == Tag.NAME
        yield name.decode(), answer, value


def test_calculate_all(host: Host) -> None:
    put(host, "plain")
    put(host, "hotp", kind=OathKind.HOTP, touch=True)
    put(host, "own", timing=Timing(30, 0, Flag.OWN_CLOCK | Flag.TOUCH))
    put(host, "pin", timing=Timing(30, 0, Flag.PIN))
    put(host, "pin and touch", timing=Timing(30, 0, Flag.PIN | Flag.TOUCH))
    put(host, "touch", touch=True)
    challenge = tlv.encode(Tag.CHALLENGE, (1).to_bytes(8, "big"))
    code, hidden = (0x76, bytes.fromhex("0641397eea")), (0x77, b"\6")
    before = list(entries(host.send(Ins.CALCULATE_ALL, 0, 1, challenge).data))
    assert before == [
        ("plain", *code),
        ("hotp", *hidden),
        ("own", *hidden),
        ("pin", *hidden),
        ("pin and touch", *hidden),
        ("touch", 0x7C, b"\6"),
    ]
    verify(host)
    after = list(entries(host.send(Ins.CALCULATE_ALL, 0, 1, challenge).data))
    assert after[3:] == [("pin", *code), ("pin and touch", 0x7C, b"\6"), ("touch", 0x7C, b"\6")]
    whole = list(entries(host.send(Ins.CALCULATE_ALL, 0, 0, challenge).data))
    assert whole[0] == ("plain", 0x75, bytes.fromhex("0675a48a19d4cbe100644e8ac1397eea747a2d33ab"))
    assert record(host, "hotp").counter == 0
    assert host.send(Ins.CALCULATE_ALL, 0, 1, challenge + b"\x71\x00").sw == Sw.WRONG_DATA
    assert host.send(Ins.CALCULATE_ALL, 0, 1).sw == Sw.WRONG_DATA


def test_no_secret_is_told() -> None:
    """Neither by a credential's repr, nor by the token's own account of itself."""
    bench = make_bench()
    bench.token.power_on()
    host = Host(bench.token.open_channel())
    host.open()
    put(host)
    running = bench.token._chip
    assert isinstance(running, Running)
    for text in (repr(list(running.credentials)), repr(bench.token.inspect()), repr(vars(bench.token))):
        assert SECRET.decode() not in text
        assert "Credential('a', secret hidden)" in text or "secret" not in text
