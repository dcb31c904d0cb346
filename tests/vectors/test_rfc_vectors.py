"""The published codes come out of the device: written over its secure channel, read from its OATH applet.

RFC 4226 appendix D, RFC 6238 appendix B (with the erratum's secrets of 32 and 64 bytes), and a T0 and a step of ours
that move RFC 6238's answers to another time.
"""

from __future__ import annotations

import pytest

from firmware_sim.testing import START_S, Bench, Host, make_bench
from provision.wire import oath, reference, reference_oath
from provision.wire.apdu import Sw
from provision.wire.oath import HashKind, Ins, OathKind
from provision.wire.reference_oath import Flag, Timing
from tests.vectors.rfc import RFC6238_B, SECRET_SHA1, SECRET_SHA256, SECRET_SHA512

SECRETS = {HashKind.SHA1: SECRET_SHA1, HashKind.SHA256: SECRET_SHA256, HashKind.SHA512: SECRET_SHA512}

HOTP = {
    "755224": "cc93cf18508d94934c64b65d8ba7667fb7cde4b0",
    "287082": "75a48a19d4cbe100644e8ac1397eea747a2d33ab",
    "359152": "0bacb7fa082fef30782211938bc1c5e70416ff44",
    "969429": "66c28227d03a2d5529262ff016a1e6ef76557ece",
    "338314": "a904c900a64b35909874b33e61c5938a8e15ed1c",
    "254676": "a37e783d7b7233c083d4f62926c7a25f238d0316",
    "287922": "bc9cd28561042c83f219324d3c607256c03272ae",
    "162583": "a4fb960c0bc06e1eabb804e5b397cdc4b45596fa",
    "399871": "1b3c89f65e6c9e883012052823443f048b4332db",
    "520489": "1637409809a679dc698207310c8c7fc07290d9e5",
}
TOTP = [
    (time, digest, code)
    for time, codes in RFC6238_B.items()
    for digest, code in zip((HashKind.SHA1, HashKind.SHA256, HashKind.SHA512), codes, strict=True)
]


@pytest.fixture
def bench() -> Bench:
    return make_bench()


@pytest.fixture
def host(bench: Bench) -> Host:
    bench.token.power_on()
    host = Host(bench.token.open_channel())
    assert host.open().sw == Sw.OK
    return host


def put(host: Host, *, kind: OathKind, digest: HashKind, digits: int, timing: Timing | None = None) -> None:
    new = reference_oath.Put("rfc", kind, digest, digits, SECRETS[digest], timing=timing)
    assert host.secure(Ins.PUT, data=new.encode()).sw == Sw.OK


def code(host: Host, step: int | None) -> str:
    return reference_oath.CalculateReply.decode(
        host.send(Ins.CALCULATE, 0, 1, oath.Calculate("rfc", step).encode()).data
    ).code


def test_rfc_4226_appendix_d(host: Host) -> None:
    put(host, kind=OathKind.HOTP, digest=HashKind.SHA1, digits=6)
    assert [code(host, None) for _ in HOTP] == list(HOTP)


def test_rfc_4226_appendix_d_whole_hmacs(host: Host) -> None:
    put(host, kind=OathKind.HOTP, digest=HashKind.SHA1, digits=6)
    replies = [host.send(Ins.CALCULATE, 0, 0, oath.Calculate("rfc").encode()).data for _ in HOTP]
    assert [reply[3:].hex() for reply in replies] == list(HOTP.values())
    assert {reply[:3].hex() for reply in replies} == {"751506"}


@pytest.mark.parametrize(("time", "digest", "expected"), TOTP)
def test_rfc_6238_appendix_b_by_the_token_s_own_clock(
    bench: Bench, host: Host, time: int, digest: HashKind, expected: str
) -> None:
    put(host, kind=OathKind.TOTP, digest=digest, digits=8, timing=Timing(30, 0, Flag.OWN_CLOCK))
    host.open(reference.MANAGEMENT_AID)
    assert host.secure(reference.Ins.SET_TIME, data=reference.SetTime(time).encode()).sw == Sw.OK
    host.select()
    assert code(host, None) == expected
    bench.token.press_button()
    assert bench.token.screen() == f"rfc {expected}"


@pytest.mark.parametrize(("time", "digest", "expected"), TOTP)
def test_rfc_6238_appendix_b_by_the_host_s_clock(host: Host, time: int, digest: HashKind, expected: str) -> None:
    put(host, kind=OathKind.TOTP, digest=digest, digits=8)
    assert code(host, time // 30) == expected


def test_t0_and_step_move_the_steps(bench: Bench, host: Host) -> None:
    """RFC 6238's 59 s is step 1 (T = 00...01): the same code for 61 s steps in the second one after T0."""
    t0 = int(START_S) - 61
    put(host, kind=OathKind.TOTP, digest=HashKind.SHA1, digits=8, timing=Timing(61, t0, Flag.OWN_CLOCK))
    assert code(host, None) == RFC6238_B[59][0]
    bench.clock.advance(60)
    assert code(host, None) == RFC6238_B[59][0]
    bench.clock.advance(1)
    assert code(host, None) != RFC6238_B[59][0]
