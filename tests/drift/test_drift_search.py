"""Lost clocks: every way to compute codes agrees with `hmac`, and what was planted anywhere is found."""

from __future__ import annotations

import hmac
import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.drift import fastest, places
from provision.drift.places import END_S, Place
from provision.drift.search import Candidate, Shown, scan_plainly, search
from provision.drift.search_numba import scan_with_numba
from provision.drift.search_numpy import scan_with_numpy
from provision.errors import InputError
from provision.model import Algorithm, OtpParameters, Secret

AT = 1_767_225_600  # 2026-01-01 UTC
SECRET = Secret(b"12345678901234567890")
USUAL = OtpParameters()


def value(key: bytes, step: int, algorithm: Algorithm) -> int:
    """RFC 4226 section 5.3, from its text."""
    digest = hmac.digest(key, struct.pack(">Q", step), algorithm.value.lower())
    at = digest[-1] & 15
    return int.from_bytes(digest[at : at + 4], "big") & 0x7FFFFFFF


def shown(unix_s: int, parameters: OtpParameters = USUAL, count: int = 2, at_s: int = AT) -> Shown:
    step = parameters.step_at(unix_s)
    values = [value(SECRET.reveal(), step + n, parameters.algorithm) for n in range(count)]
    return Shown(tuple(f"{each % 10**parameters.digits:0{parameters.digits}}" for each in values), at_s)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_all_scanners_agree_with_hmac(algorithm: Algorithm) -> None:
    rng = random.Random(f"scanners {algorithm.value}")
    for size in (1, 20, 63, 64, 65, 127, 128, 129, 200):
        key = rng.randbytes(size)
        parameters = OtpParameters(algorithm=algorithm)
        scanners = [make(Secret(key), parameters) for make in (scan_plainly, scan_with_numpy, scan_with_numba)]
        start = rng.choice([0, rng.randrange(2**32 - 500), 2**32 - 333])
        steps = range(start, start + 333)
        values = {step: value(key, step, algorithm) for step in steps}
        eight = f"{values[start + 300] % 10**8:08}"
        for code in (*"0369", eight, eight[2:]):  # one digit fits often: hardly a step escapes notice
            expected = [step for step in steps if values[step] % 10 ** len(code) == int(code)]
            assert [scan(code, steps) for scan in scanners] == [expected] * 3, (size, code)


def test_a_range_of_many_blocks_is_scanned_to_its_last_step() -> None:
    steps = range(58_907_000, 58_907_000 + 70_001)
    code = f"{value(SECRET.reveal(), steps[-1], Algorithm.SHA1) % 10**6:06}"
    expected = scan_plainly(SECRET, USUAL)(code, steps)
    assert expected[-1] == steps[-1]
    assert scan_with_numpy(SECRET, USUAL)(code, steps) == expected
    assert scan_with_numba(SECRET, USUAL)(code, steps) == expected
    assert scan_with_numpy(SECRET, USUAL)(code, steps[:-1]) == expected[:-1]
    assert scan_with_numba(SECRET, USUAL)(code, steps[:-1]) == expected[:-1]


def found(question: Shown, where: list[Place], parameters: OtpParameters = USUAL, **options) -> list[Candidate]:
    return list(search(question, SECRET, parameters, where, **options))


@pytest.mark.parametrize(
    ("unix_s", "reason"),
    [
        (AT + 600, "near-now"),
        (AT - 600, "near-now"),
        (AT + 3600, "daylight-saving"),
        (AT - 3600 - 200, "daylight-saving"),
        (AT + 5 * 3600 + 2700, "time-zone"),
        (AT - 12 * 3600, "time-zone"),
        (AT + 4200, "set-wrong"),
        (AT - 5 * 86_400, "set-wrong"),
        (AT - 365 * 86_400, "wrong-date"),
        (AT + 31 * 86_400 + 3600, "wrong-date"),
        (70, "epoch-1970"),
        (946_684_800 + 5 * 86_400, "epoch-2000"),
        (1_600_000_000 + 86_400, "epoch-birth"),
    ],
)
def test_a_clock_is_found_where_it_is_likely_to_be(unix_s: int, reason: str) -> None:
    parameters = OtpParameters(time_step_s=300)  # a tenth of the work
    where = [place for place in places.likely(AT, 1_600_000_000) if place.end_s - place.begin_s < 100 * 86_400]
    [candidate] = found(shown(unix_s, parameters), where, parameters)
    assert candidate.place.reason == reason
    assert candidate.unix_s == unix_s // 300 * 300
    assert candidate.offset_s == candidate.unix_s - AT


def test_day_and_month_exchanged() -> None:
    at_s, unix_s = 1_772_755_200, 1_780_444_800 + 60  # 2026-03-06, 2026-06-03
    where = [place for place in places.likely(at_s) if place.reason == "wrong-date"]
    [candidate] = found(shown(unix_s, at_s=at_s), where)
    assert "day and month" in candidate.place.what


@given(st.integers(0, END_S - 61), st.sampled_from((30, 60)), st.sampled_from((0, 1000)), st.integers(2, 3))
def test_a_planted_clock_is_found_wherever_it_is(unix_s: int, time_step_s: int, t0_s: int, count: int) -> None:
    parameters = OtpParameters(digits=8, time_step_s=time_step_s, t0_s=t0_s)
    unix_s = max(unix_s, t0_s)
    around = Place.around("set-wrong", "", unix_s, 30_000)
    [candidate] = found(shown(unix_s, parameters, count), [around], parameters)
    assert candidate.unix_s <= unix_s < candidate.unix_s + time_step_s


@given(st.integers(0, END_S - 1), st.none() | st.integers(0, END_S - 1), st.sampled_from((1, 30, 3600)))
def test_the_places_have_every_step_once(at_s: int, born_s: int | None, time_step_s: int) -> None:
    parameters = OtpParameters(time_step_s=time_step_s)
    asked: list[range] = []

    def scanner(secret: Secret, parameters: OtpParameters):
        def scan(code: str, steps: range) -> list[int]:
            asked.append(steps)
            return []

        return scan

    reports: list[tuple[int, int]] = []
    where = places.likely(at_s, born_s)
    question = Shown(("123456", "654321"), at_s)
    plain = "provision.drift.search.scan_plainly"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain, scanner)
        patch.setattr("provision.drift.search._CHUNK", END_S)
        assert not found(question, where, parameters, scanner=scanner, progress=lambda *report: reports.append(report))
    steps = -(-END_S // time_step_s)
    asked.sort(key=lambda part: part.start)
    assert asked[0].start == 0 and asked[-1].stop == steps
    assert all(before.stop == after.start for before, after in pairwise(asked))
    assert reports == sorted(reports) and reports[-1] == (steps, steps)


def test_odds_count_all_that_was_tried() -> None:
    near, wide = Place("near-now", "", AT - 300, AT + 300), Place("set-wrong", "", AT - 3000, AT + 3000)
    [candidate] = found(shown(AT), [near, wide])
    assert candidate.odds == Fraction(20, 10**12)
    [candidate] = found(shown(AT - 1200, count=3), [near, wide])
    assert candidate.odds == Fraction(200, 10**18)


def test_the_next_code_has_to_follow() -> None:
    question = shown(AT)
    assert not found(Shown(question.codes[::-1], AT), [places.near(AT)])
    assert not found(Shown((question.codes[0], question.codes[0]), AT), [places.near(AT)])
    assert not found(Shown((*question.codes, "000000"), AT), [places.near(AT)])


def test_whoever_has_found_enough_stops_the_search() -> None:
    asked: list[range] = []

    def scanner(secret: Secret, parameters: OtpParameters):
        scan_all = scan_plainly(secret, parameters)

        def scan(code: str, steps: range) -> list[int]:
            asked.append(steps)
            return scan_all(code, steps[:100])

        return scan

    for candidate in search(shown(60), SECRET, USUAL, [Place("elsewhere", "", 0, END_S)], scanner=scanner, workers=2):
        assert candidate.unix_s == 60
        break
    assert len(asked) <= 4, "chunks of what nobody wants to know any more"


@pytest.mark.parametrize("codes", [(), ("123456",), ("123456", "12345678"), ("12345", "12345"), ("12345a", "123456")])
def test_what_are_no_codes(codes: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as caught:
        Shown(codes, AT)
    assert not any(code in str(caught.value) for code in codes)


@pytest.mark.parametrize("at_s", [-1, END_S])
def test_a_time_that_no_clock_shows(at_s: int) -> None:
    with pytest.raises(InputError):
        Shown(("123456", "123456"), at_s)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Packages that are not installed."""

    def remove(*names: str) -> None:
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)

    return remove


def test_the_fastest_that_is_installed_is_taken(without) -> None:
    assert fastest.scan_fastest(SECRET, USUAL).__qualname__.startswith("scan_with_numba")
    without("provision.drift.search_numba")
    assert fastest.scan_fastest(SECRET, USUAL).__qualname__.startswith("scan_with_numpy")
    without("provision.drift.search_numpy")
    assert fastest.scan_fastest(SECRET, USUAL).__qualname__.startswith("scan_plainly")


def test_looking_near_by_loads_no_numpy() -> None:
    code = (
        "import sys, provision.drift.fastest, provision.drift.seed_mistakes;"
        "print(sorted({'numpy', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"
