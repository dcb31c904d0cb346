"""How long a lost clock is looked for everywhere, 1970 to 2106, on all cores: compiled, in NumPy, and in plain Python.

Beside the time that passes stands what the processor spent, of all cores together: a busy machine changes only one.

The peer is pyotp, asked for code after code as a script would. What would take minutes is measured on a part of the
time line and multiplied: every step costs the same. The compiled search of SHA-1 is measured in full, compilation
included.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from bench.links import Row
from provision.drift.places import END_S, Place
from provision.drift.search import Scanner, Shown, scan_plainly, search
from provision.drift.search_numba import scan_with_numba
from provision.drift.search_numpy import scan_with_numpy
from provision.model import Algorithm, OtpParameters, Secret
from provision.otp import code_source

_SECRET = Secret(b"12345678901234567890")
_SHOWN = Shown(("123456", "654321"), 0)  # no clock shows them, so that all of it is searched
_PYOTP_CODES = 20_000


@dataclass(frozen=True, slots=True)
class Spent:
    passed_s: float
    processor_s: float

    def __str__(self) -> str:
        return f"{self.passed_s:.0f} s (cpu {self.processor_s:.0f})"


def everywhere(scanner: Scanner, algorithm: Algorithm = Algorithm.SHA1, *, part: int = 1) -> Spent:
    """What the whole time line takes, going by its first `part`-th."""
    places = [Place("elsewhere", "", 0, END_S // part)]
    workers = os.cpu_count() or 1
    parameters = OtpParameters(algorithm=algorithm)
    passed, processor = time.perf_counter(), time.process_time()
    assert not list(search(_SHOWN, _SECRET, parameters, places, scanner=scanner, workers=workers))
    return Spent((time.perf_counter() - passed) * part, (time.process_time() - processor) * part)


def pyotp() -> Spent:
    source = code_source(_SECRET, OtpParameters())
    passed, processor = time.perf_counter(), time.process_time()
    for step in range(_PYOTP_CODES):
        source(step)
    part = END_S // 30 / _PYOTP_CODES
    return Spent((time.perf_counter() - passed) * part, (time.process_time() - processor) * part)


def rows() -> list[Row]:
    compiled, in_numpy = everywhere(scan_with_numba), everywhere(scan_with_numpy, part=20)
    plain = everywhere(scan_plainly, part=200)
    rows = [
        Row("a clock, 1970-2106, compiled", str(compiled), f"pyotp {pyotp()}", "<= 20 s"),
        Row("  with NumPy", str(in_numpy), f"plain Python {plain}", "<= 120 s"),
    ]
    for algorithm in (Algorithm.SHA256, Algorithm.SHA512):
        fast = everywhere(scan_with_numba, algorithm, part=4)
        rows.append(
            Row(
                f"  {algorithm.value}, compiled",
                str(fast),
                f"with NumPy {everywhere(scan_with_numpy, algorithm, part=100)}",
                "",
            )
        )
    return rows


def main() -> None:
    for row in rows():
        print(f"{row.what:<34}{row.measured:<20}{row.beside:<38}{row.goal}")


if __name__ == "__main__":
    main()
