"""The exact set of clocks: the published vectors, and what must hold of any clock."""

from __future__ import annotations

import json
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.drift.estimate import Estimate, Model
from provision.drift.observation import PPM, Observation
from provision.drift.polygon import HalfPlane, Polygon
from provision.errors import InputError
from tests.drift.strategies import MODEL, TREF, Truth, lives

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "drift.json").read_text("utf-8"))


def model_of(vector: dict[str, Any]) -> Model:
    prior = vector["prior"]
    low, high = map(Fraction, prior["offset_s"])
    slow, fast = map(Fraction, prior["rate_error_ppm"])
    return Model(Fraction(vector["tref"]), (low, high), (slow, fast), Fraction(vector["wander_s"]))


def observations_of(vector: dict[str, Any]) -> list[Observation]:
    return [Observation(*(Fraction(one[name]) for name in ("a", "b", "lo", "hi"))) for one in vector["observations"]]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_every_vector_is_reproduced_exactly(vector: dict[str, Any]) -> None:
    expected = vector["expected"]
    everything = Estimate.of(model_of(vector), observations_of(vector))
    assert everything.is_feasible is expected["feasible"]
    dropped = expected.get("dropped", [])
    kept = [one for number, one in enumerate(observations_of(vector)) if number not in dropped]
    estimate = Estimate.of(model_of(vector), kept)
    if "vertices" not in expected:
        assert not estimate.is_feasible
        return
    assert [[str(x), str(y)] for x, y in estimate.polygon.vertices] == expected["vertices"]
    assert list(map(str, estimate.offset_s)) == expected["offset_s"]
    assert list(map(str, estimate.rate_error_ppm)) == expected["rate_error_ppm"]
    assert list(map(str, estimate.centroid)) == expected["centroid"]


@pytest.mark.parametrize("vector", [v for v in VECTORS if "typed" in v], ids=lambda vector: vector["name"])
def test_codes_typed_are_those_observations(vector: dict[str, Any]) -> None:
    for typed, observation in zip(vector["typed"], observations_of(vector), strict=True):
        assert observation == Observation.of_code(
            received_s=Fraction(typed["t"]),
            step=typed["step"],
            time_step_s=vector["time_step_s"],
            t0_s=vector["t0_s"],
            delay_s=Fraction(typed["delay_s"]),
            server_error_s=Fraction(typed["server_error_s"]),
        )


def contains(estimate: Estimate, truth: Truth) -> bool:
    """Cutting the polygon down to the truth leaves it."""
    x, y = truth.offset_s, truth.rate_error_ppm
    one, none = Fraction(1), Fraction(0)
    polygon = estimate.polygon
    for plane in (
        HalfPlane.of(one, none, -x),
        HalfPlane.of(-one, none, x),
        HalfPlane.of(none, one, -y),
        HalfPlane.of(none, -one, y),
    ):
        polygon = polygon.cut(plane)
    return polygon.vertices == ((x, y),)


@given(lives())
def test_the_truth_is_inside(life: tuple[Truth, list[Observation]]) -> None:
    truth, seen = life
    estimate = Estimate.of(MODEL, seen)
    assert contains(estimate, truth)
    low, high = estimate.offset_s
    slow, fast = estimate.rate_error_ppm
    assert low <= truth.offset_s <= high
    assert slow <= truth.rate_error_ppm <= fast
    for unix_s in (Fraction(TREF), Fraction(TREF + 10**9)):
        least, greatest = estimate.offset_at(unix_s)
        assert least <= truth.offset_at(unix_s) <= greatest


def test_the_truth_is_inside_for_two_thousand_tokens() -> None:
    seed = 20260101
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(2000):
        truth = Truth(Fraction(rng.randint(-3600, 3600)), Fraction(rng.randint(-600, 400), 10))
        seen = []
        for _ in range(rng.randint(1, 13)):
            allowed = rng.choice((0, 45))
            at = Fraction(TREF + rng.randrange(31_557_600))
            seen.append(truth.login(at, Fraction(rng.randint(0, allowed)), Fraction(allowed)))
        assert contains(Estimate.of(MODEL, seen), truth), (truth, seen)


@given(lives(), st.randoms(use_true_random=False))
def test_the_order_does_not_matter(life: tuple[Truth, list[Observation]], rng: random.Random) -> None:
    _, seen = life
    shuffled = list(seen)
    rng.shuffle(shuffled)
    assert Estimate.of(MODEL, seen).polygon.vertices == Estimate.of(MODEL, shuffled).polygon.vertices


@given(lives())
def test_more_only_shrinks_it(life: tuple[Truth, list[Observation]]) -> None:
    _, seen = life
    estimate = Estimate.of(MODEL)
    for observation in seen:
        smaller = estimate.given([observation])
        for before, after in ((estimate.offset_s, smaller.offset_s), (estimate.rate_error_ppm, smaller.rate_error_ppm)):
            assert before[0] <= after[0] <= after[1] <= before[1]
        estimate = smaller


@given(lives(), st.integers(-(10**9), 10**9))
def test_another_reference_time_tells_the_same_clock(life: tuple[Truth, list[Observation]], shift: int) -> None:
    """Sheared, the polygon is another; what it says of any moment is the same, the prior of the offset apart."""
    _, seen = life
    wide = (Fraction(-(10**7)), Fraction(10**7))
    here = Estimate.of(Model(Fraction(TREF), wide), seen)
    there = Estimate.of(Model(Fraction(TREF + shift), wide), seen)
    if len(seen) > 1 and abs(here.offset_s[0]) < 10**6:
        assert here.rate_error_ppm == there.rate_error_ppm
        assert here.offset_at(Fraction(TREF + 12345)) == there.offset_at(Fraction(TREF + 12345))


@given(lives())
def test_vertices_are_corners_counter_clockwise_from_the_least(life: tuple[Truth, list[Observation]]) -> None:
    points = Estimate.of(MODEL, life[1]).polygon.vertices
    assert points[0] == min(points)
    assert len(set(points)) == len(points)
    if len(points) > 2:
        for before, here, after in zip(points, points[1:] + points[:1], points[2:] + points[:2], strict=True):
            turn = (here[0] - before[0]) * (after[1] - here[1]) - (here[1] - before[1]) * (after[0] - here[0])
            assert turn > 0


@st.composite
def planes(draw: st.DrawFn) -> HalfPlane:
    numbers = st.integers(-6, 6)
    x, y = draw(st.tuples(numbers, numbers).filter(any))
    return HalfPlane(x, y, draw(st.integers(-20, 20)))


@given(st.lists(planes(), max_size=8))
def test_cutting_agrees_with_asking_each_point(cuts: list[HalfPlane]) -> None:
    """Small numbers make every degenerate case: parallel, through a corner, along an edge, down to a point."""
    side = (Fraction(-4), Fraction(4))
    polygon = Polygon.box(side, side)
    for cut in cuts:
        polygon = polygon.cut(cut)
    corners = {
        (Fraction(x), Fraction(y))
        for x, y in candidates(
            [*cuts, HalfPlane(1, 0, 4), HalfPlane(-1, 0, 4), HalfPlane(0, 1, 4), HalfPlane(0, -1, 4)]
        )
    }
    assert set(polygon.vertices) <= corners
    assert polygon.is_empty == (not corners)
    if corners:
        for plane in cuts:
            least, _ = polygon.extent(Fraction(plane.x), Fraction(plane.y))
            assert least == min(plane.x * x + plane.y * y for x, y in corners) >= -plane.c


def candidates(planes: list[HalfPlane]) -> list[tuple[Fraction, Fraction]]:
    """Every crossing of two lines that lies in all of the half-planes."""
    found = []
    for i, one in enumerate(planes):
        for other in planes[:i]:
            w = one.x * other.y - one.y * other.x
            if w:
                x, y = Fraction(one.y * other.c - one.c * other.y, w), Fraction(one.c * other.x - one.x * other.c, w)
                if all(plane.x * x + plane.y * y + plane.c >= 0 for plane in planes):
                    found.append((x, y))
    return found


@pytest.mark.parametrize("size", [(1, 2), (2, 1)])
def test_a_centroid_of_a_segment_and_of_a_point(size: tuple[int, int]) -> None:
    flat = Polygon.box((Fraction(0), Fraction(size[0])), (Fraction(3), Fraction(3)))
    assert flat.centroid == (Fraction(size[0], 2), 3)
    point = Polygon.box((Fraction(1), Fraction(1)), (Fraction(2), Fraction(2)))
    assert point.centroid == (1, 2)
    assert point.vertices == ((1, 2),)


def test_ageing_and_wander_widen_what_is_predicted() -> None:
    model = Model(Fraction(TREF), wander_s=Fraction(6), ageing_ppm_per_year_max=Fraction(1))
    edge = Observation.of_edge(before_s=Fraction(TREF), after_s=Fraction(TREF), device_s=Fraction(TREF))
    estimate = Estimate.of(model, [edge])
    assert estimate.slack_at(Fraction(TREF - 10)) == 6
    year = Fraction(31_557_600)
    assert estimate.slack_at(TREF + year) == 6 + year / (2 * PPM)
    low, high = estimate.offset_at(TREF + year)
    assert low == -6 - 60 * year / PPM - 6 - year / (2 * PPM)
    assert high == 6 + 40 * year / PPM + 6 + year / (2 * PPM)


@pytest.mark.parametrize("wrong", [(2, 1, 0, 0), (0, 0, 5, 4)])
def test_an_observation_that_ends_before_it_begins_is_refused(wrong: tuple[int, ...]) -> None:
    with pytest.raises(InputError):
        Observation(*map(Fraction, wrong))


def test_nothing_has_no_middle_and_an_upside_down_prior_is_empty() -> None:
    empty = Polygon.box((Fraction(1), Fraction(0)), (Fraction(0), Fraction(1)))
    assert empty.is_empty
    assert empty.vertices == ()
    with pytest.raises(ValueError, match="no middle"):
        empty.centroid  # noqa: B018  # the property is what raises
