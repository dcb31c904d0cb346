"""How fast clocks are judged: one token exactly, and a fleet of them on all cores.

The peer is the same polygon clipped in plain Fractions, as one writes it first (and as the tests' oracle does).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from random import Random

from bench.links import Row
from provision.drift.estimate import Estimate, Model
from provision.drift.observation import PPM, Observation

LOGINS = 52
TOKENS = 48_000
_START_S = 1_767_225_600
_WEEK_S = 604_800
_KINDS = 480  # different tokens in the fleet; each appears many times

Point = tuple[Fraction, Fraction]


def logins(number: int) -> list[tuple[int, int]]:
    """A year of one token: (received_s, step), once a week at odd moments."""
    rng = Random(number)
    offset_s, rate_ppm = rng.uniform(-5, 5), rng.gauss(-3, 3)
    found = []
    for week in range(LOGINS):
        read_s = _START_S + week * _WEEK_S + rng.randrange(_WEEK_S)
        step = int((read_s + offset_s + rate_ppm * (read_s - _START_S) / PPM) // 30)
        found.append((read_s + rng.randrange(40), step))
    return found


def plain_polygon(model: Model, observations: list[Observation]) -> list[Point]:
    """The vertices, clipped in Fractions one half-plane after the other (Sutherland and Hodgman 1974)."""
    (west, east), (south, north) = model.offset_s, model.rate_error_ppm
    points = [(west, south), (east, south), (east, north), (west, north)]
    for seen in observations:
        for sign, unix_s, limit_s in ((1, seen.b, seen.lo - seen.b), (-1, seen.a, seen.hi - seen.a)):
            clipped = []
            for here, there in zip(points, [*points[1:], points[0]], strict=True):
                inside, then = (
                    sign * (x + y * (unix_s - model.tref_s) / PPM - limit_s) + model.wander_s for x, y in (here, there)
                )
                if inside >= 0:
                    clipped.append(here)
                if (inside < 0) != (then < 0):
                    share = inside / (inside - then)
                    clipped.append((here[0] + share * (there[0] - here[0]), here[1] + share * (there[1] - here[1])))
            points = clipped
    return points


def measure_one(rounds: int = 100) -> tuple[float, float]:
    """Milliseconds for one token: ours, and plain Fractions."""
    seen = [
        Observation.of_code(received_s=received_s, step=step, time_step_s=30, t0_s=0, delay_s=45)
        for received_s, step in logins(1)
    ]
    model = Model(Fraction(_START_S), wander_s=Fraction(6))
    found = Estimate.of(model, seen).polygon
    assert {(x, y) for x, y in found.vertices} == set(plain_polygon(model, seen))
    start = time.perf_counter()
    for _ in range(rounds):
        Estimate.of(model, seen)
    ours = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(rounds // 10):
        plain_polygon(model, seen)
    return ours / rounds * 1e3, (time.perf_counter() - start) / (rounds // 10) * 1e3


def fleet_lines(tokens: int) -> Iterator[str]:
    kinds = []
    for number in range(_KINDS):
        seen = [{"t": t, "step": step, "delay_s": 45, "server_error_s": 1} for t, step in logins(number)]
        kinds.append(json.dumps({"wander_s": 6, "observations": seen}))
    for number in range(tokens):
        labels = f'"serial": "SN{number}", "box": "{number // 50}", "made": "2025-{1 + number * 12 // tokens:02}"'
        yield f'{{{labels}, "document": {kinds[number % _KINDS]}}}\n'


def measure_fleet(tokens: int = TOKENS) -> tuple[float, float, float]:
    """Seconds; those that a core was busy, which other programs do not change; peak MiB of the process that holds the
    fleet."""
    command = [sys.executable, "-m", "provision", "drift", "fleet", "--input", "-", "--server-profile", "keycloak"]
    start = time.perf_counter()
    with subprocess.Popen(
        [*command, "--json", "--top", "10"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        with process.stdin:
            process.stdin.writelines(fleet_lines(tokens))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, "the fleet was not judged"
    busy_s = (usage.ru_utime + usage.ru_stime) / (os.cpu_count() or 1)
    return time.perf_counter() - start, busy_s, usage.ru_maxrss / 1024


def rows() -> Iterator[Row]:
    ours, plain = measure_one()
    yield Row("a clock from 52 logins, exact", f"{ours:.2f} ms", f"plain Fractions {plain:.1f} ms", "<= 1 ms")
    _, _, small_mib = measure_fleet(TOKENS // 10)
    taken_s, busy_s, mib = measure_fleet()
    yield Row(
        f"a fleet of {TOKENS:,}, 52 logins each",
        f"{taken_s:.0f} s, {mib:.0f} MiB",
        f"{busy_s:.0f} s a core; a tenth {small_mib:.0f} MiB",
        "<= 60 s on 2 cores",
    )


if __name__ == "__main__":
    for row in rows():
        print(row.what, row.measured, row.beside, row.goal, sep="  ")
