"""The PIN: what is charged when, and that no cut of the power ever gives an attempt back."""

from __future__ import annotations

import pytest

from firmware_sim.flash import MemoryFlash, Moment, PowerCut, seeded_subset
from firmware_sim.seams import PowerLost
from firmware_sim.testing import Bench, Host, make_bench
from provision.wire import oath, reference, reference_oath
from provision.wire.apdu import Sw
from provision.wire.oath import Ins

PIN, NEW, WRONG = b"271828", b"0031415926535897", b"000000"


@pytest.fixture
def host(bench: Bench) -> Host:
    host = Host(bench.token.open_channel())
    host.select()
    return host


def set_pin(host: Host, pin: bytes = PIN) -> int:
    return host.send(Ins.SET_PIN, data=reference_oath.Pin(pin).encode()).sw


def verify(host: Host, pin: bytes) -> int:
    return host.send(Ins.VERIFY_PIN, data=reference_oath.Pin(pin).encode()).sw


def change(host: Host, pin: bytes, new: bytes) -> int:
    return host.send(Ins.CHANGE_PIN, data=reference_oath.ChangePin(pin, new).encode()).sw


def attempts(host: Host) -> int | None:
    return reference_oath.SelectReply.decode(host.select().data).attempts_remaining


def reset_retry_counter(host: Host, p2: int, data: bytes = b"") -> int:
    host.open(reference.MANAGEMENT_AID)
    sw = host.secure(reference.Ins.RESET_RETRY_COUNTER, 0, p2, data).sw
    host.select()
    return sw


def test_there_is_none_at_first(host: Host) -> None:
    assert attempts(host) is None
    assert verify(host, PIN) == Sw.CONDITIONS_NOT_SATISFIED
    assert change(host, PIN, NEW) == Sw.CONDITIONS_NOT_SATISFIED
    assert reset_retry_counter(host, reference.KEEP_PIN_P2) == Sw.CONDITIONS_NOT_SATISFIED


def test_set_once(host: Host) -> None:
    assert set_pin(host) == Sw.OK
    assert attempts(host) == 8
    assert set_pin(host, NEW) == Sw.CONDITIONS_NOT_SATISFIED
    assert verify(host, NEW) == 0x63C7
    assert verify(host, PIN) == Sw.OK


def test_eight_wrong_ones_block_and_a_right_one_gives_all_back(host: Host) -> None:
    set_pin(host)
    assert [verify(host, WRONG) for _ in range(7)] == [0x63C7, 0x63C6, 0x63C5, 0x63C4, 0x63C3, 0x63C2, 0x63C1]
    assert verify(host, PIN) == Sw.OK
    assert attempts(host) == 8
    assert [verify(host, WRONG) for _ in range(8)][-1] == 0x63C0
    assert verify(host, PIN) == Sw.AUTHENTICATION_BLOCKED
    assert change(host, PIN, NEW) == Sw.AUTHENTICATION_BLOCKED
    assert set_pin(host) == Sw.CONDITIONS_NOT_SATISFIED
    assert attempts(host) == 0


def test_the_counter_belongs_to_the_token(bench: Bench, host: Host) -> None:
    set_pin(host)
    other = Host(bench.token.open_channel())
    other.select()
    assert verify(host, WRONG) == 0x63C7
    assert verify(other, WRONG) == 0x63C6
    bench.token.type_pin(WRONG.decode())
    assert bench.token.screen() == "wrong PIN, 5 left"
    bench.token.power_off()
    bench.token.power_on()
    assert attempts(host) == 5


def test_changing_verifies_and_counts(host: Host) -> None:
    set_pin(host)
    assert change(host, WRONG, NEW) == 0x63C7
    assert change(host, PIN, NEW) == Sw.OK
    assert attempts(host) == 8
    assert verify(host, PIN) == 0x63C7
    assert verify(host, NEW) == Sw.OK


@pytest.mark.parametrize(
    "raw", [b"12345", b"1" * 17, b"12345a", b"", "１２３４５６".encode(), b"12345\n", b" 123456"], ids=repr
)
def test_a_pin_of_wrong_form_costs_nothing(host: Host, raw: bytes) -> None:
    tlv = bytes((oath.Tag.PIN, len(raw))) + raw
    new = bytes((oath.Tag.NEW_PIN, len(raw))) + raw
    assert host.send(Ins.SET_PIN, data=tlv).sw == Sw.WRONG_DATA
    set_pin(host)
    for ins, data in (
        (Ins.VERIFY_PIN, tlv),
        (Ins.CHANGE_PIN, reference_oath.Pin(PIN).encode() + new),
        (Ins.VERIFY_PIN, reference_oath.Pin(PIN).encode() * 2),
        (Ins.VERIFY_PIN, b""),
    ):
        assert host.send(ins, data=data).sw == Sw.WRONG_DATA
    assert attempts(host) == 8
    assert reset_retry_counter(host, reference.NEW_PIN_P2, raw) == Sw.WRONG_DATA


def test_the_administrator_unblocks(host: Host) -> None:
    set_pin(host)
    for _ in range(8):
        verify(host, WRONG)
    assert reset_retry_counter(host, reference.KEEP_PIN_P2) == Sw.OK
    assert verify(host, PIN) == Sw.OK
    for _ in range(8):
        verify(host, WRONG)
    assert reset_retry_counter(host, reference.NEW_PIN_P2, NEW) == Sw.OK
    assert verify(host, PIN) == 0x63C7
    assert verify(host, NEW) == Sw.OK


def test_the_administrator_sets_the_first_one(host: Host) -> None:
    assert reset_retry_counter(host, reference.NEW_PIN_P2, PIN) == Sw.OK
    assert verify(host, PIN) == Sw.OK


def test_the_pin_is_not_in_the_silicon(bench: Bench, host: Host) -> None:
    set_pin(host)
    assert PIN not in b"".join(bench.flash.pages.values())


@pytest.mark.parametrize("pin", [PIN, WRONG], ids=["right", "wrong"])
@pytest.mark.parametrize("left", [8, 1])
@pytest.mark.parametrize("replaces", [False, True], ids=["verify", "change"])
def test_no_cut_gives_an_attempt_back(pin: bytes, left: int, replaces: bool) -> None:
    """Whoever cuts the power at the right instant may learn whether a guess was right, never get it for nothing: once
    the comparison has been made, the guess has been paid for."""
    for cut in cuts():
        bench = make_bench()
        bench.token.power_on()
        host = Host(bench.token.open_channel())
        host.select()
        set_pin(host)
        for _ in range(8 - left):
            verify(host, WRONG)
        bench.supply.arm(PowerCut(bench.supply.operations + cut.operation, cut.moment, cut.subset))
        writes_before = bench.supply.operations
        try:
            sw = change(host, pin, NEW) if replaces else verify(host, pin)
        except PowerLost:
            charging = bench.supply.operations - writes_before <= 1
            bench.supply.restore()
            bench.token.power_on()
            after = attempts(host)
            if charging:
                assert after in (left, left - 1)
            elif pin == PIN:
                assert after in (left - 1, 8)
            else:
                assert after == left - 1
        else:
            bench.supply.restore()
            assert sw == (Sw.OK if pin == PIN else Sw.PIN_INCORRECT | (left - 1))
            assert attempts(host) == (8 if pin == PIN else left - 1)


def cuts() -> list[PowerCut]:
    return [
        PowerCut(operation, moment, seeded_subset(seed))
        for operation in range(3)
        for moment in Moment
        for seed in range(8 if moment is Moment.INSIDE else 1)
    ]


def test_charged_before_compared() -> None:
    """A cut right after the first write of a wrong VERIFY has already cost the attempt, and a cut before the second
    write of a right one has too."""
    for pin, operation, moment in ((WRONG, 0, Moment.AFTER), (PIN, 0, Moment.AFTER), (PIN, 1, Moment.BEFORE)):
        bench = make_bench()
        bench.token.power_on()
        host = Host(bench.token.open_channel())
        host.select()
        set_pin(host)
        bench.supply.arm(PowerCut(bench.supply.operations + operation, moment))
        with pytest.raises(PowerLost):
            verify(host, pin)
        assert not bench.token.powered
        bench.supply.restore()
        bench.token.power_on()
        assert attempts(host) == 7


def test_nothing_is_compared_if_it_cannot_be_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make_bench(flash=MemoryFlash(wear_limit=0))
    bench.token.power_on()
    host = Host(bench.token.open_channel())
    host.select()
    set_pin(host)
    while verify(host, PIN) == Sw.OK:
        pass
    compared = []
    monkeypatch.setattr("hmac.compare_digest", lambda a, b: compared.append(a) or False)
    assert verify(host, PIN) == Sw.MEMORY_FAILURE
    assert compared == []
