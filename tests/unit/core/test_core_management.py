"""The management applet: identity, clock, label, keys, factory reset. docs/PROTOCOL.md section 7."""

from __future__ import annotations

import pytest

from firmware_sim.flash import Moment, PowerCut
from firmware_sim.seams import Battery, PowerLost
from firmware_sim.testing import START_S, Bench, Host, make_bench
from provision.wire import oath, reference, reference_oath, scp03
from provision.wire.apdu import Sw
from provision.wire.oath import HashKind, OathKind
from provision.wire.reference import BatteryStatus, Ins, PinStatus

AID = reference.MANAGEMENT_AID
SECRET = b"a secret of 20 bytes"
OWN = scp03.KeySet(b"e" * 16, b"m" * 16, b"d" * 16)


@pytest.fixture
def host(bench: Bench) -> Host:
    host = Host(bench.token.open_channel())
    assert host.open(AID).sw == Sw.OK
    return host


def info(host: Host) -> reference.Info:
    return reference.Info.decode(host.send(Ins.GET_INFO).data)


def put(host: Host, name: str = "a") -> None:
    host.open()
    new = reference_oath.Put(name, OathKind.TOTP, HashKind.SHA1, 6, SECRET)
    assert host.secure(oath.Ins.PUT, data=new.encode()).sw == Sw.OK
    host.open(AID)


def put_key(host: Host, kvn: int, keys: scp03.KeySet, *, p1: int = 0, p2: int = 0x81) -> int:
    return host.secure(Ins.PUT_KEY, p1, p2, scp03.encode_put_key(kvn, keys, host.keys.dek)).sw


def test_out_of_its_box(host: Host) -> None:
    assert info(host) == reference.Info(
        serial="SIM00000",
        model="hwtoken reference",
        firmware=(1, 0, 0),
        label="",
        pin_status=PinStatus.UNSET,
        attempts_remaining=0,
        credentials_used=0,
        credentials_max=64,
        key_version=0xFF,
        battery=BatteryStatus.GOOD,
    )


@pytest.mark.parametrize(
    ("battery", "status"),
    [(Battery.LOW, BatteryStatus.LOW), (Battery.STOPPED, BatteryStatus.STOPPED), (Battery.GOOD, BatteryStatus.GOOD)],
)
def test_it_tells_of_its_battery(bench: Bench, host: Host, battery: Battery, status: BatteryStatus) -> None:
    bench.oscillator.battery = battery
    assert info(host).battery is status


def test_it_tells_of_its_pin_and_credentials(host: Host) -> None:
    put(host)
    host.secure(Ins.RESET_RETRY_COUNTER, 0, reference.NEW_PIN_P2, b"123456")
    found = info(host)
    assert (found.pin_status, found.attempts_remaining, found.credentials_used) == (PinStatus.SET, 8, 1)
    host.select()
    for _ in range(8):
        host.send(oath.Ins.VERIFY_PIN, data=reference_oath.Pin(b"000000").encode())
    host.select(AID)
    assert (info(host).pin_status, info(host).attempts_remaining) == (PinStatus.BLOCKED, 0)


def test_the_clock_goes_on_from_the_second_it_was_set_to(bench: Bench, host: Host) -> None:
    bench.clock.advance(0.25)
    assert host.secure(Ins.SET_TIME, data=reference.SetTime(1_000_000_000).encode()).sw == Sw.OK
    assert reference.DeviceTime.decode(host.send(Ins.GET_TIME).data).microseconds == 1_000_000_000_000_000
    bench.clock.advance(1.5)
    assert reference.DeviceTime.decode(host.send(Ins.GET_TIME).data).microseconds == 1_000_000_001_500_000


@pytest.mark.parametrize("data", [b"", bytes(7), bytes(9), (1 << 40).to_bytes(8, "big")], ids=bytes.hex)
def test_a_time_of_wrong_form(host: Host, data: bytes) -> None:
    assert host.secure(Ins.SET_TIME, data=data).sw == Sw.WRONG_DATA
    assert reference.DeviceTime.decode(host.send(Ins.GET_TIME).data).microseconds == int(START_S * 1_000_000)


def test_a_dead_battery(bench: Bench, host: Host) -> None:
    bench.oscillator.battery = Battery.STOPPED
    assert host.send(Ins.GET_TIME).sw == Sw.CONDITIONS_NOT_SATISFIED
    assert host.secure(Ins.SET_TIME, data=reference.SetTime(1).encode()).sw == Sw.CONDITIONS_NOT_SATISFIED


def test_the_label(bench: Bench, host: Host) -> None:
    label = "Schlüssel für den Tisch"
    assert host.secure(Ins.SET_LABEL, data=label.encode()).sw == Sw.OK
    bench.token.power_off()
    bench.token.power_on()
    host.open(AID)
    assert info(host).label == label == bench.token.screen()
    for wrong in (b"x" * 33, b"\xff", b"a\nb"):
        assert host.secure(Ins.SET_LABEL, data=wrong).sw == Sw.WRONG_DATA
    assert host.secure(Ins.SET_LABEL).sw == Sw.OK
    assert info(host).label == ""


def test_put_key(bench: Bench, host: Host) -> None:
    data = scp03.encode_put_key(0x7F, OWN, scp03.FACTORY_KEYS.dek)
    answer = host.secure(Ins.PUT_KEY, 0xFF, 0x81, data)
    assert answer == (scp03.put_key_receipt(0x7F, OWN), Sw.OK)
    assert host.secure(Ins.GET_INFO).sw == Sw.OK, "the session goes on"
    assert info(host).key_version == 0x7F
    assert host.open(AID).sw == Sw.AUTHENTICATION_FAILED
    host.keys = OWN
    assert host.open(AID, kvn=0xFF).sw == Sw.REFERENCE_NOT_FOUND
    assert host.open(AID, kvn=0x7F).sw == Sw.OK
    assert bench.token.inspect()["lifecycle"] == "owned"
    assert put_key(host, 1, scp03.KeySet(b"1" * 16, b"2" * 16, b"3" * 16)) == Sw.OK
    assert OWN.enc not in b"".join(bench.flash.pages.values())


@pytest.mark.parametrize(
    ("kvn", "p1", "p2", "sw"),
    [
        (0x00, 0, 0x81, Sw.WRONG_DATA),
        (0x80, 0, 0x81, Sw.WRONG_DATA),
        (0xFF, 0, 0x81, Sw.WRONG_DATA),
        (0x01, 1, 0x81, Sw.REFERENCE_NOT_FOUND),
        (0x01, 0, 0x01, Sw.INCORRECT_P1_P2),
    ],
)
def test_a_put_key_that_is_refused(host: Host, kvn: int, p1: int, p2: int, sw: int) -> None:
    assert put_key(host, kvn, OWN, p1=p1, p2=p2) == sw
    assert info(host).key_version == 0xFF
    assert host.open(AID).sw == Sw.OK


def test_a_put_key_with_a_wrong_check_value(host: Host) -> None:
    good = scp03.encode_put_key(1, OWN, scp03.FACTORY_KEYS.dek)
    wrong_dek = scp03.encode_put_key(1, OWN, bytes(16))
    for data in (good[:-1], good + b"\0", good[:-1] + bytes((good[-1] ^ 1,)), wrong_dek, b""):
        assert host.secure(Ins.PUT_KEY, 0, 0x81, data).sw == Sw.WRONG_DATA
    assert host.open(AID).sw == Sw.OK


def owned(bench: Bench, host: Host) -> None:
    """Everything that a factory reset should erase."""
    put(host)
    host.secure(Ins.SET_LABEL, data=b"mine")
    host.secure(Ins.RESET_RETRY_COUNTER, 0, reference.NEW_PIN_P2, b"123456")
    assert put_key(host, 1, OWN) == Sw.OK
    host.keys = OWN
    assert host.open(AID).sw == Sw.OK


def is_as_new(bench: Bench) -> bool:
    view, silicon = bench.token.inspect(), b"".join(bench.flash.pages.values())
    shown = [view[key] for key in ("label", "lifecycle", "key_version", "pin", "credentials")]
    return shown == ["", "factory", 0xFF, "unset", []] and not any(
        secret in silicon for secret in (SECRET, OWN.enc, OWN.mac, OWN.dek, b"mine")
    )


def test_factory_reset_over_the_wire(bench: Bench, host: Host) -> None:
    host.secure(Ins.SET_TIME, data=reference.SetTime(5).encode())
    device_id = bench.token.inspect()["device_id"]
    owned(bench, host)
    other = Host(bench.token.open_channel(), OWN)
    other.open()
    assert host.secure(Ins.FACTORY_RESET, 0xDE, 0xAD).sw == Sw.OK
    assert is_as_new(bench)
    assert bench.token.inspect()["device_id"] == device_id
    assert bench.token.inspect()["device_time_us"] == 5_000_000
    assert other.exchange(other.wrap(oath.Ins.LIST)).sw == Sw.CONDITIONS_NOT_SATISFIED, "its administrator is gone"
    assert other.open().sw == Sw.AUTHENTICATION_FAILED


def test_factory_reset_by_the_button(bench: Bench, host: Host) -> None:
    owned(bench, host)
    bench.token.power_off()
    bench.token.power_on(button_held=True)
    assert is_as_new(bench)


def test_factory_reset_wants_its_parameters(bench: Bench, host: Host) -> None:
    owned(bench, host)
    assert host.secure(Ins.FACTORY_RESET).sw == Sw.INCORRECT_P1_P2
    assert host.secure(Ins.FACTORY_RESET, 0xDE, 0xAD, b"x").sw == Sw.WRONG_LENGTH
    assert not is_as_new(bench)


def test_a_factory_reset_is_whole_or_not_at_all() -> None:
    """Cut at every flash operation: all of it is there, or nothing; and what is gone is gone from the silicon."""
    outcomes = set()
    operation = 0
    while True:
        bench = make_bench()
        bench.token.power_on()
        host = Host(bench.token.open_channel())
        host.open(AID)
        owned(bench, host)
        before = {key: value for key, value in bench.token.inspect().items() if key != "boot_id"}
        bench.supply.arm(PowerCut(bench.supply.operations + operation, Moment.AFTER))
        try:
            host.secure(Ins.FACTORY_RESET, 0xDE, 0xAD)
        except PowerLost:
            bench.supply.restore()
            bench.token.power_on()
            after = {key: value for key, value in bench.token.inspect().items() if key != "boot_id"}
            for view in (before, after):
                view.pop("most_erases_of_a_page", None)
            assert is_as_new(bench) or after == before
            outcomes.add(is_as_new(bench))
            operation += 1
        else:
            break
    assert outcomes == {True, False}


def test_reset_retry_counter_keeps_or_replaces(host: Host) -> None:
    assert host.secure(Ins.RESET_RETRY_COUNTER, 0, 1).sw == Sw.INCORRECT_P1_P2
    assert host.secure(Ins.RESET_RETRY_COUNTER, 0, reference.KEEP_PIN_P2, b"123456").sw == Sw.WRONG_LENGTH
    assert host.secure(Ins.RESET_RETRY_COUNTER, 0, reference.NEW_PIN_P2).sw == Sw.WRONG_DATA
