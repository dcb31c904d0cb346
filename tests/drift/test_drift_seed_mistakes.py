"""Wrong seeds: each mistake, made by hand, is named; a right seed and foreign codes name nothing."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.drift.search import Shown
from provision.drift.seed_mistakes import find, hypotheses
from provision.model import Algorithm, OtpParameters, Secret
from provision.otp import code_at

AT = 1_767_225_600
SEED = bytes.fromhex("3f0a91c45be27d8816f3a0c90e5512b7d46a8c31")
USUAL = OtpParameters()
BOTH = "ABCDEF234567ABCDEF234567ABCDEF22"  # reads as hex and as base32
SHA256 = replace(USUAL, algorithm=Algorithm.SHA256)
LONG = SEED + bytes(reversed(SEED)) + SEED + SEED[:4]


def codes(key: bytes, parameters: OtpParameters = USUAL, offset_s: int = -90) -> Shown:
    step = parameters.step_at(AT + offset_s)
    return Shown(tuple(code_at(Secret(key), parameters, step + n, allow_short_seed=True) for n in (0, 1)), AT)


def names(record: bytes, question: Shown, parameters: OtpParameters = USUAL, **options) -> set[str]:
    tried = hypotheses(Secret(record), parameters, digits=question.digits, **options)
    return {finding.hypothesis.name for finding in find(question, tried)}


def swapped_words(key: bytes) -> bytes:
    return b"".join(key[i : i + 4][::-1] for i in range(0, len(key), 4))


@pytest.mark.parametrize(
    ("name", "record", "token"),
    [
        ("hex-as-text", SEED, SEED.hex().encode()),
        ("hex-as-text", SEED, SEED.hex().upper().encode()),
        ("hex-as-text", SEED, SEED.hex().encode() + b"\r\n"),
        ("base32-as-text", SEED, base64.b32encode(SEED)),
        ("base32-as-text", SEED[:16], base64.b32encode(SEED[:16])),
        ("base64-as-text", SEED, base64.b64encode(SEED)),
        ("text-as-hex", SEED.hex().encode(), SEED),
        ("text-as-base32", base64.b32encode(SEED), SEED),
        ("text-as-base64", base64.b64encode(SEED), SEED),
        ("base32-as-hex", base64.b32decode(BOTH), bytes.fromhex(BOTH)),
        ("hex-as-base32", bytes.fromhex(BOTH), base64.b32decode(BOTH)),
        ("hex-as-base64", SEED, base64.b64decode(SEED.hex())),
        ("trimmed", LONG, LONG[:20]),
        ("trimmed", SEED, SEED[:16]),
        ("trimmed", SEED, SEED[:-1]),
        ("trimmed", SEED[:12] + b"\0" + SEED[:7], SEED[:12]),
        ("trimmed", b"\0\0" + SEED[2:], SEED[2:]),
        ("byte-reversed", SEED, SEED[::-1]),
        ("byte-reversed", SEED, swapped_words(SEED)),
        ("digits-swapped", SEED, bytes.fromhex("".join(f"{byte:02x}"[::-1] for byte in SEED))),
    ],
)  # fmt: skip
def test_a_seed_that_was_mistaken_is_named(name: str, record: bytes, token: bytes) -> None:
    assert names(record, codes(token)) == {name}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("algorithm", SHA256),
        ("algorithm", replace(USUAL, algorithm=Algorithm.SHA512)),
        ("time-step", replace(USUAL, time_step_s=60)),
        ("time-step-and-algorithm", replace(SHA256, time_step_s=60)),
        ("digits", replace(USUAL, digits=8)),
    ],
)
def test_parameters_that_were_mistaken_are_named(name: str, parameters: OtpParameters) -> None:
    assert names(SEED, codes(SEED, parameters)) == {name}


def test_a_seed_repeated_to_the_length_of_the_hash() -> None:
    assert names(SEED, codes((SEED * 2)[:32], SHA256), SHA256) == {"repeated"}


def test_a_neighbour_is_named() -> None:
    other = SEED[::-1][3:]
    question = codes(other)
    tried = hypotheses(Secret(SEED), USUAL, digits=6, neighbours={"token 4711": Secret(other)})
    [finding] = find(question, tried)
    assert finding.hypothesis.name == "neighbour" and "token 4711" in finding.hypothesis.what
    assert (finding.unix_s, finding.offset_s) == (AT - 90, -90)
    assert 0 < finding.odds < 1e-6


def test_the_record_itself_is_no_mistake() -> None:
    assert names(SEED, codes(SEED), neighbours={"itself": Secret(SEED)}) == set()


def test_one_code_of_two_names_nothing() -> None:
    first, second = codes(SEED.hex().encode()).codes
    assert names(SEED, Shown((first, f"{(int(second) + 1) % 10**6:06}"), AT)) == set()


def test_a_clock_that_is_far_off_names_nothing() -> None:
    assert names(SEED, codes(SEED[::-1], offset_s=3 * 86_400)) == set()


@given(st.binary(min_size=1, max_size=200), st.sampled_from(Algorithm), st.sampled_from((6, 8)))
def test_every_hypothesis_is_another_seed_and_none_shows(key: bytes, algorithm: Algorithm, digits: int) -> None:
    parameters = OtpParameters(algorithm=algorithm)
    listed = list(hypotheses(Secret(key), parameters, digits=digits))
    first = [(one.parameters, code_at(one.secret, one.parameters, 58_907_520, allow_short_seed=True)) for one in listed]
    assert len(set(first)) >= len(first) - 1, "two of them are one and the same, save by chance"
    for one in listed:
        assert one.parameters.digits == digits
        assert one.secret.reveal().hex() not in repr(one)
        assert repr(one.secret.reveal())[2:-1] not in one.what
