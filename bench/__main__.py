"""`make bench`: every figure of speed and memory, beside a peer that was measured in the same run."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from bench import drift, families, find_clock, http_checks, links, plugin, program, server_checks, usb, wires
from bench.links import Row

RUNS = 9


def start_ms(*command: str) -> float:
    """Median milliseconds from starting a process to its end."""
    times = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e3


def host_rows() -> list[Row]:
    machine, syncs = (statistics.median(times) * 1e3 for times in program.measure())
    checks, peer = server_checks.measure(), server_checks.measure_peer()
    over_http, bare_route = http_checks.measure_both()
    return [
        Row(
            "`provision --help`",
            f"{start_ms(sys.executable, '-m', 'provision', '--help'):.0f} ms",
            f"python and click {start_ms(sys.executable, '-c', 'import click'):.0f} ms",
            "< 150 ms",
        ),
        Row(
            "program + verify a token",
            f"{machine:.1f} ms",
            f"its {program.SYNCS} syncs alone {syncs:.1f} ms",
            "<= 50 ms",
        ),
        Row(
            "accepted checks at the server",
            f"{checks:,.0f}/s",
            f"bare sqlite3 commits {peer:,.0f}/s",
            ">= 2,000/s",
        ),
        Row(
            "accepted checks over HTTP",
            f"{over_http:,.0f}/s",
            f"bare FastAPI route {bare_route:,.0f}/s",
            ">= 600/s, 0.6 of it",
        ),
    ]


def main() -> None:
    print(f"{'what':<34}{'measured':<20}{'beside, in the same run':<38}goal")
    for rows in (links.rows, wires.rows, usb.rows, families.rows, drift.rows, find_clock.rows, plugin.rows, host_rows):
        for row in rows():
            print(f"{row.what:<34}{row.measured:<20}{row.beside:<38}{row.goal}", flush=True)


if __name__ == "__main__":
    main()
