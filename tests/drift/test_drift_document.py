"""The documents of `provision drift estimate`, which other people's scripts write and read."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.drift.diagnosis import diagnose
from provision.drift.document import read, written
from provision.errors import InputError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "drift.json").read_text("utf-8"))
_INPUT = ("tref", "time_step_s", "t0_s", "prior", "wander_s", "observations")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_vectors_in_and_out(vector: dict[str, Any]) -> None:
    document = read(json.dumps({name: vector[name] for name in _INPUT}))
    result = written(diagnose(document.model, document.observations))
    json.dumps(result)
    for name, value in vector["expected"].items():
        assert result[name] == value
    if "vertices" not in vector["expected"]:
        assert result["vertices"] == []


@pytest.mark.parametrize("vector", [v for v in VECTORS if "typed" in v], ids=lambda vector: vector["name"])
def test_codes_say_the_same_as_bounds(vector: dict[str, Any]) -> None:
    typed = [{name: one[name] for name in one if name != "code"} for one in vector["typed"]]
    by_codes = read(json.dumps({**{name: vector[name] for name in _INPUT}, "observations": typed}))
    assert by_codes.observations == read(json.dumps({name: vector[name] for name in _INPUT})).observations


def test_numbers_are_exact_however_they_are_written() -> None:
    text = '{"observations": [{"a": 0.1, "b": "1/3", "lo": 1e-3, "hi": 2}], "tref": "0.5"}'
    document = read(text)
    (seen,) = document.observations
    assert (seen.a, seen.b, seen.lo, seen.hi) == (Fraction(1, 10), Fraction(1, 3), Fraction(1, 1000), 2)
    assert document.model.tref_s == Fraction(1, 2)
    assert document.model.rate_error_ppm == (-60, 40)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "no JSON object"),
        ("{}", "observations"),
        ('{"observations": 1}', "observations"),
        ('{"observations": [], "colour": 1}', "'colour'"),
        ('{"observations": [], "prior": 1}', "prior"),
        ('{"observations": [], "prior": {"offset_s": [1, 0]}}', "least is over"),
        ('{"observations": [], "prior": {"offset_s": [1]}}', "least and a greatest"),
        ('{"observations": [], "prior": {"speed": [0, 1]}}', "'speed'"),
        ('{"observations": [], "time_step_s": 0}', "1 to 86400"),
        ('{"observations": [], "time_step_s": 1.5}', "whole number"),
        ('{"observations": [], "wander_s": -1}', "not negative"),
        ('{"observations": [], "wander_s": NaN}', "wander_s is no number"),
        ('{"observations": [], "wander_s": true}', "wander_s is no number"),
        ('{"observations": [], "wander_s": "1/0"}', "wander_s is no number"),
        ('{"observations": [], "wander_s": 1e999999999}', "wander_s is no number"),
        ('{"observations": [3]}', "observation 0 is no JSON object"),
        ('{"observations": [{"a": 1, "b": 2, "lo": 3}]}', "observation 0 has neither"),
        ('{"observations": [{"a": 2, "b": 1, "lo": 3, "hi": 4}]}', "before it begins"),
        ('{"observations": [{"t": 2, "step": 1.5}]}', "observation 0: step is a whole"),
        ('{"observations": [{"t": 2, "step": 1, "delay_s": -1}]}', "not negative"),
    ],
)
def test_what_is_wrong_is_named(text: str, what: str) -> None:
    with pytest.raises(InputError, match=what):
        read(text)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*_INPUT, "ageing_ppm_per_year_max"]), _values))
def test_any_json_is_read_or_refused(document: dict[str, Any]) -> None:
    try:
        found = read(json.dumps(document))
    except InputError:
        return
    written(diagnose(found.model, found.observations))
