"""Pictures are true: marks stand where their labels say, bands hold the truth, dates lie where curves cross."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.drift.diagnosis import diagnose
from provision.drift.document import Document
from provision.drift.estimate import YEAR_S, Estimate
from provision.drift.fleet import batches
from provision.drift.observation import Observation
from provision.drift.outlook import Outlook, Server, outlook
from provision.drift.plot.offsets import OffsetPicture, offset_picture
from provision.drift.plot.pictures import Picture
from provision.drift.plot.polygons import polygon_picture
from provision.drift.plot.rates import rates_picture
from provision.drift.plot.terminal import NARROWEST, draw
from provision.drift.plot.ticks import dates, numbers, unit_of
from provision.drift.profiles import PROFILES
from provision.errors import InputError
from tests.drift.strategies import MODEL, TREF, YEAR, Truth, lives
from tests.drift.test_drift_fleet import fleet

_LABELS = ("%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%d %H:%M")
spans = st.tuples(st.integers(0, 4_000_000_000), st.one_of(*[st.integers(1, 10**digits) for digits in range(1, 10)]))


def read(label: str) -> float:
    """The moment that a label of an axis names."""
    for form in _LABELS:
        try:
            return datetime.strptime(label, form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    raise AssertionError(f"{label!r} is no date")


@given(spans, st.integers(40, 120))
def test_dates_stand_where_they_say_and_have_room(span: tuple[int, int], room: int) -> None:
    begins_s, ends_s = span[0], span[0] + span[1]
    found = dates(begins_s, ends_s, room)
    assert all(begins_s <= unix_s <= ends_s for unix_s, _ in found)
    assert len({label for _, label in found}) == len(found)
    assert sum(len(label) + 3 for _, label in found) <= room
    if span[1] >= 600:  # else they show seconds, and leave out the year
        assert [read(label) for _, label in found] == [unix_s for unix_s, _ in found]
    if span[1] >= 10 and room >= 80:
        assert found


def test_dates_beyond_the_calendar_are_refused() -> None:
    with pytest.raises(InputError, match="calendar"):
        dates(0, 1e12, 100)


@given(st.floats(-1e9, 1e9), st.floats(1e-3, 1e9), st.integers(2, 12))
def test_numbers_are_round_and_stand_where_they_say(low: float, width: float, most: int) -> None:
    high = low + width
    found = numbers(low, high, most)
    assert len(found) <= most
    rounding = 1e-9 * width
    assert all(low - rounding <= number <= high + rounding for number, _ in found)
    assert all(float(label) == pytest.approx(number, rel=1e-9, abs=1e-12) for number, label in found)
    assert most < 6 or len(found) >= 2


def test_units_fit_the_size() -> None:
    assert [unit_of(size)[0] for size in (30, 7200, 50_000, 8e8)] == ["s", "min", "h", "days"]


def pictured(document: Document, server: Server | None = None) -> OffsetPicture:
    diagnosis = diagnose(document.model, document.observations)
    ahead = None if server is None else outlook(diagnosis.estimate, server, server.window(document))
    return offset_picture(document, diagnosis, ahead)


@given(lives())
def test_the_band_and_what_was_seen_hold_the_truth(life: tuple[Truth, list[Observation]]) -> None:
    truth, observations = life
    picture = pictured(Document(MODEL, tuple(observations), 30, 0))
    (band,) = picture.bands
    for point in band:
        offset_s = float(truth.offset_at(Fraction(point.unix_s)))
        assert point.least_s - 1e-6 <= offset_s <= point.greatest_s + 1e-6
        assert point.least_s <= point.likely_s <= point.greatest_s
    for one in picture.seen:
        offset_s = float(truth.offset_at(Fraction(one.unix_s)))
        # Sixty seconds, and what a clock of 60 ppm drifts in them.
        assert one.least_s - 0.01 <= offset_s <= one.greatest_s + 0.01
    low, high = picture.extent_s
    assert all(low < point.least_s <= point.greatest_s < high for point in band)


@given(lives())
def test_the_polygon_holds_the_truth_and_lies_within_its_bounds(life: tuple[Truth, list[Observation]]) -> None:
    truth, observations = life
    picture = polygon_picture(Estimate.of(MODEL, observations), observations)
    assert picture is not None
    (west, east), (south, north) = picture.view
    assert west < truth.offset_s < east
    assert south < truth.rate_error_ppm < north
    for at_least, at_most in picture.bounds:
        sides = {
            round(x - (at_least + (at_most - at_least) * (y - south) / (north - south)), 6) > 0
            for x, y in picture.vertices
            if abs(x - (at_least + (at_most - at_least) * (y - south) / (north - south))) > 1e-6
        }
        assert len(sides) <= 1, "a bound does not pass through the inside"


@settings(max_examples=30)  # each is two drawings, of a band in fractions
@given(lives(), st.integers(NARROWEST, 130), st.sampled_from(sorted(set(PROFILES) - {"duo"})))
def test_any_clock_is_drawn_within_the_columns(
    life: tuple[Truth, list[Observation]], columns: int, profile: str
) -> None:
    _, observations = life
    pictures: list[Picture | None] = [
        pictured(Document(MODEL, tuple(observations), 30, 0), Server(PROFILES[profile])),
        polygon_picture(Estimate.of(MODEL, observations), observations),
    ]
    for picture in pictures:
        assert picture is not None
        text = draw(picture, columns)
        assert text.isascii()
        drawing = text.partition("\n\n")[0]
        assert max(map(len, drawing.splitlines())) <= columns
        assert "*" in drawing
        if isinstance(picture, OffsetPicture):
            labels = [label for label in drawing.splitlines()[-1].split("  ") if label]
            moments = [read(label.strip()) for label in labels]
            assert moments == sorted(moments) != []


wild = st.integers(-(10**29), 10**29) | st.integers(-(10**12), 10**12) | st.integers(TREF - 9, TREF + 9)


@given(st.lists(st.tuples(wild, wild), max_size=5), st.none() | wild.map(Fraction))
def test_any_document_is_drawn_or_refused(seen: list[tuple[int, int]], until_s: Fraction | None) -> None:
    observations = [Observation(Fraction(t), Fraction(t), Fraction(c), Fraction(c + 30)) for t, c in seen]
    model = replace(MODEL, offset_s=(Fraction(-(10**30)), Fraction(10**30)))
    diagnosis = diagnose(model, observations)
    with contextlib.suppress(InputError):  # a time beyond the calendar's years
        picture = offset_picture(Document(model, tuple(observations), 30, 0), diagnosis, None, until_s)
        assert draw(picture, 80)
        polygon = polygon_picture(diagnosis.estimate, observations)
        assert polygon is None or draw(polygon, 80)


@pytest.mark.parametrize("unix_s", [7 * 10**22, -(10**12), 253_402_300_000])
def test_a_time_beyond_the_calendar_is_refused(unix_s: int) -> None:
    seen = Observation(*[Fraction(unix_s)] * 4)
    with pytest.raises(InputError, match="calendar"):
        pictured(Document(replace(MODEL, tref_s=Fraction(unix_s)), (seen,), 30, 0))


def logins(rate_ppm: int, count: int = 10, *, jump_s: int = 0) -> Document:
    truth = Truth(Fraction(0), Fraction(rate_ppm))
    seen = [truth.login(Fraction(TREF + n * 2_000_000 + 7919 * n), Fraction(0), Fraction(0)) for n in range(count)]
    late = [Observation(one.a, one.b, one.lo + jump_s, one.hi + jump_s) for one in seen[count // 2 :]]
    return Document(MODEL, (*seen[: count // 2], *late), 30, 0)


def test_the_dates_are_where_the_band_meets_the_window() -> None:
    picture = pictured(logins(-10), Server(None, (10, 10)))
    assert picture.accepted is not None
    surely_s, perhaps_s = picture.accepted.surely_s[0], picture.accepted.perhaps_s[0]
    first, certain, total = [date.unix_s for date in picture.dates]
    (band,) = picture.bands
    assert first is not None
    assert certain is not None
    assert total is not None
    for point in band:
        slack_s = 10e-6 * 2  # by how much a clock drifts while a date is rounded to its second
        assert point.unix_s < first or point.least_s <= surely_s + slack_s
        assert point.unix_s > first or point.least_s >= surely_s - slack_s
        assert point.unix_s < certain or point.greatest_s <= surely_s + slack_s
        assert point.unix_s > certain or point.greatest_s >= surely_s - slack_s
        assert point.unix_s < total or point.greatest_s <= perhaps_s + slack_s
    assert picture.begins_s < first < certain < total < picture.ends_s


def test_a_clock_that_jumped_has_two_bands() -> None:
    picture = pictured(logins(-10, jump_s=3600))
    before, after = picture.bands
    assert before[-1].unix_s < after[0].unix_s
    assert after[0].least_s - before[-1].greatest_s == pytest.approx(
        3600 - 20, abs=60
    )  # it drifts 20 s between the two
    assert after[-1].unix_s == pytest.approx(picture.ends_s)


def test_what_was_left_out_is_marked() -> None:
    document = logins(-10)
    seen = list(document.observations)
    seen[4] = Observation(seen[4].a + 120, seen[4].b + 120, seen[4].lo, seen[4].hi)
    picture = pictured(Document(MODEL, tuple(seen), 30, 0))
    assert [one.left_out for one in picture.seen] == [number == 4 for number in range(10)]
    assert len(picture.bands) == 1
    assert "x  seen, but left out" in draw(picture, 80)


def test_a_window_that_moves_is_shown_only_since_the_last_login() -> None:
    document = logins(-10)
    follows, stands = (pictured(document, Server(PROFILES[name])) for name in ("privacyidea", "keycloak"))
    assert follows.accepted is not None
    assert stands.accepted is not None
    assert follows.accepted.from_s == max(one.unix_s for one in follows.seen)
    assert stands.accepted.from_s == stands.begins_s


def test_dates_far_away_do_not_squeeze_the_rest() -> None:
    document = Document(MODEL, logins(0).observations, 30, 0)
    picture = pictured(document, Server(None, (500, 500)))
    assert picture.ends_s < picture.begins_s + 5 * YEAR
    assert picture.dates[0].unix_s is None or picture.dates[0].unix_s > picture.ends_s
    drawing, _, keys = draw(picture, 80).partition("\n\n")
    assert "never, as far as is known" in keys
    assert "A" not in drawing


def test_nothing_seen_or_nothing_that_fits_is_drawn_too() -> None:
    nothing = pictured(Document(MODEL, (), 30, 0))
    assert nothing.seen == ()
    assert len(nothing.bands) == 1
    mad = [Observation(Fraction(TREF + n), Fraction(TREF + n), *[Fraction(TREF + n * n * 999)] * 2) for n in range(9)]
    document = Document(MODEL, tuple(mad), 30, 0)
    diagnosis = diagnose(MODEL, mad)
    ahead = Outlook(Server(None, (1, 1)), Server(None, (1, 1)).window(document), None)
    picture = offset_picture(document, diagnosis, ahead, Fraction(TREF) + YEAR_S)
    assert picture.bands == ()
    assert picture.dates == ()
    assert "|" in draw(picture, 80)
    assert polygon_picture(diagnosis.estimate, mad) is None


def test_a_batch_at_fault_stands_apart_in_the_histogram() -> None:
    tokens = fleet(60, rate_ppm=-30)
    picture = rates_picture(tokens, batches(tokens), 5)
    assert sum(bar.count for bar in picture.bars) == picture.tokens == 60
    assert [bar.at_fault for bar in picture.bars] == [bar.count if bar.from_ppm < -20 else 0 for bar in picture.bars]
    assert sum(bar.at_fault for bar in picture.bars) == 10
    assert " 5  %%%%\n" in draw(picture, 80)
    assert "% of a batch at fault" in draw(picture, 80)
    assert "box 3: 10 of 10 are slow" in draw(picture, 80)
