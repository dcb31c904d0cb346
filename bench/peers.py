"""What others, or the least that could be done, take for the same: measured in the same run as ours."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
import tty

import serial

DAYS_IN_TEN_YEARS = 3_652


def loop_round_trips(frame: bytes, rounds: int = 2_000) -> float:
    """Round trips per second of the same bytes through pyserial's loop://, the usual stand-in for a device in tests."""
    with serial.serial_for_url("loop://", timeout=1) as line:
        start = time.perf_counter()
        for _ in range(rounds):
            line.write(frame)
            line.read(len(frame))
        return rounds / (time.perf_counter() - start)


def loop_open_ms(times: int = 50) -> float:
    """Milliseconds to open and close one loop://, which starts with nothing inside."""
    start = time.perf_counter()
    for _ in range(times):
        serial.serial_for_url("loop://").close()
    return (time.perf_counter() - start) / times * 1e3


def bare_ptys_s(count: int = 1_000) -> float:
    """Seconds to open so many pseudo-terminals in raw mode, with no token behind them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * count + 64)), hard))
    start = time.perf_counter()
    pairs = [os.openpty() for _ in range(count)]
    for _, slave in pairs:
        tty.setraw(slave)
    taken = time.perf_counter() - start
    for pair in pairs:
        for fd in pair:
            os.close(fd)
    return taken


def python_kib() -> float:
    """Resident KiB of a Python process that does nothing: what each token would cost at the least if it had its own."""
    program = "import os; print(int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE') // 1024)"
    return float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)


def ten_years_day_by_day_ms() -> float:
    """Milliseconds to walk ten years in steps of a day, as a clock that ticks has to; one multiplication a step."""
    start, offset_s = time.perf_counter(), 0.0
    for day in range(DAYS_IN_TEN_YEARS):
        offset_s += 86_400 * (12e-6 + 3e-6 * day / 365.25)
    return (time.perf_counter() - start) * 1e3
