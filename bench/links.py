"""How fast the simulated token answers on its wires, starts, multiplies and computes: `python -m bench.links`.

Peers run in the same process or on the same kind of wire, in the same run: a pseudo-terminal that echoes the same
bytes with nothing but select, read and write around them, and pyotp for codes.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import pyotp

from bench import peers
from firmware_sim.clocks import ManualClock
from firmware_sim.core import otp
from firmware_sim.core.token import Token
from firmware_sim.families.family import family
from firmware_sim.flash import MemoryFlash
from firmware_sim.links.inprocess import serial_line
from firmware_sim.oscillator import QuartzOscillator
from firmware_sim.oscillator_state import OscillatorState
from firmware_sim.seams import DeviceLink
from firmware_sim.temperature import TemperatureProfile
from provision.clock import ManualClock as HostClock
from provision.families.reference import DRIVER
from provision.links.inprocess import open_device
from provision.links.link import LinkOptions
from provision.model import NewCredential, Secret
from provision.wire.apdu import CLA_PLAIN, Command, encode_command
from provision.wire.framing import Kind, encode_frame
from provision.wire.oath import OATH_AID, Calculate, Ins

START_S = 1_767_225_600.0
TEN_YEARS_S = 315_576_000
SECRET = b"12345678901234567890"
NAME = "desk token"
SESSION = 0x5E551014
SELECT = encode_command(Command(CLA_PLAIN, 0xA4, 0x04, 0x00, OATH_AID))
CALCULATE = encode_command(Command(CLA_PLAIN, Ins.CALCULATE, 0, 1, Calculate(NAME, None).encode(), 256))
_HELLO = encode_frame(Kind.HELLO, 0, SESSION, b"\x01")

# The peer of the pty: the least that a program on a pseudo-terminal can do.
PTY_ECHO = """
import os, select, tty
master, slave = os.openpty()
tty.setraw(slave)
print(os.ttyname(slave), flush=True)
while True:
    select.select([master], [], [])
    os.write(master, os.read(master, 4096))
"""

# In a process of its own, so that its memory is that of the tokens.
_FLEET = """
import json, os, signal, sys, time
from firmware_sim.clocks import SystemClock
from firmware_sim.control.serve import Fleet, serve
from firmware_sim.families.family import family

def resident_kib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024

def announce(lines):
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "kib": (resident_kib() - before) / len(lines)}))
    os.kill(os.getpid(), signal.SIGTERM)

count = int(sys.argv[1])
serve(Fleet(family("reference"), SystemClock()), lambda lines: os.kill(os.getpid(), signal.SIGTERM), print)
before, start = resident_kib(), time.perf_counter()
serve(Fleet(family("reference"), SystemClock(), count=count), announce, print)
"""


class PtyRates(NamedTuple):
    """Round trips per second."""

    token: float
    echo: float


class FleetCost(NamedTuple):
    """`seconds`: until all tokens are served. `kib`: resident memory for each of them."""

    seconds: float
    kib: float


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    measured: str
    beside: str
    goal: str


def new_token() -> tuple[Token, DeviceLink]:
    """A powered token in this process and its line."""
    clock = ManualClock(START_S)
    token = Token(
        family=family("reference"),
        serial="BENCH",
        flash=MemoryFlash(),
        oscillator=QuartzOscillator(OscillatorState.start(START_S)),
        clock=clock,
        random=random.SystemRandom(),
    )
    line = serial_line(token, clock)
    token.power_on()
    return token, line


def measure_in_process(command: bytes, rounds: int = 50_000) -> float:
    """APDUs per second through frames, channel and applet, on a token that holds one credential with its own clock."""
    _, line = new_token()
    clock = HostClock(START_S)
    with open_device(line, LinkOptions(clock, os.urandom)) as link:
        session = DRIVER.open(link, clock, os.urandom)
        session.authenticate(None)
        session.put(NewCredential(NAME, Secret(SECRET), pin=False))
    line.receive(_HELLO)
    frames = [encode_frame(Kind.APDU, 1, SESSION, SELECT)]
    frames += [encode_frame(Kind.APDU, n & 0xFF, SESSION, command) for n in range(2, 258)]
    line.receive(frames[0])
    start = time.perf_counter()
    for n in range(rounds):
        line.receive(frames[1 + (n & 0xFF)])
    return rounds / (time.perf_counter() - start)


def measure_pty(rounds: int = 5_000) -> PtyRates:
    """A token in a process of its own, and an echo in another, asked with the same bytes by the same loop."""
    frames = [encode_frame(Kind.APDU, n & 0xFF, SESSION, SELECT) for n in range(1, 257)]
    with subprocess.Popen([sys.executable, "-c", PTY_ECHO], stdout=subprocess.PIPE, text=True) as echo:
        try:
            assert echo.stdout is not None
            echoed = _round_trips(echo.stdout.readline().strip(), frames, rounds)
        finally:
            echo.terminate()
    with _simulator() as simulator:
        try:
            assert simulator.stdout is not None
            address = json.loads(simulator.stdout.readline())["address"]
            answered = _round_trips(address.removeprefix("serial:"), [_HELLO, *frames], rounds)
        finally:
            simulator.terminate()
    return PtyRates(answered, echoed)


def _round_trips(path: str, frames: list[bytes], rounds: int) -> float:
    """Write a frame, read up to its delimiter. A first frame too many opens the session."""
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        for frame in frames[:-256]:
            _exchange(fd, frame)
        frames = frames[-256:]
        start = time.perf_counter()
        for n in range(rounds):
            _exchange(fd, frames[n & 0xFF])
        return rounds / (time.perf_counter() - start)
    finally:
        os.close(fd)


def _exchange(fd: int, frame: bytes) -> None:
    os.write(fd, frame)
    while not os.read(fd, 4096).endswith(b"\0"):
        pass


def measure_start(times: int = 7) -> float:
    """Median milliseconds from starting `firmware-sim run` to its JSON line."""
    return median(_start() for _ in range(times)) * 1e3


def _start() -> float:
    start = time.perf_counter()
    with _simulator() as simulator:
        assert simulator.stdout is not None
        simulator.stdout.readline()
        taken = time.perf_counter() - start
        simulator.terminate()
    return taken


def _simulator() -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "firmware_sim", "run", "--json"], stdout=subprocess.PIPE, text=True)


def measure_python_start(times: int = 7) -> float:
    """Median milliseconds of a Python that imports click: what any command of this kind has to pay."""
    start = [sys.executable, "-c", "import click"]
    return median(_seconds(lambda: subprocess.run(start, check=True), 1) for _ in range(times)) * 1e3


def measure_new_token(times: int = 200) -> float:
    """Milliseconds to make, format and power one token in this process."""
    return _seconds(new_token, times) * 1e3


def measure_fleet(count: int = 1_000) -> FleetCost:
    """So many tokens, each on a pty with a control socket, in one process."""
    done = subprocess.run([sys.executable, "-c", _FLEET, str(count)], capture_output=True, text=True, check=True)
    return FleetCost(**json.loads(done.stdout))


def measure_ten_years(times: int = 200) -> float:
    """Milliseconds to age a token by ten years of summer days in a car, and read its clock."""
    state = OscillatorState.start(
        START_S, rate_error_ppm=12, ageing_ppm_per_year=3, temperature=TemperatureProfile.named("car"), jitter_us=50
    )

    def jump() -> None:
        oscillator = QuartzOscillator(state)
        oscillator.age(START_S, TEN_YEARS_S)
        oscillator.device_time_us(START_S)

    return _seconds(jump, times) * 1e3


def measure_codes(times: int = 20_000) -> float:
    """TOTP codes per second by the device's arithmetic, from secret and time."""
    return 1 / min(_seconds(lambda: otp.code(SECRET, int(START_S) // 30, "sha1", 6), times) for _ in range(7))


def measure_pyotp(times: int = 20_000) -> float:
    """TOTP codes per second by pyotp, from secret and time."""
    secret = b32encode(SECRET).decode()
    return 1 / min(_seconds(lambda: pyotp.TOTP(secret).at(int(START_S)), times) for _ in range(7))


def _seconds(act: Callable[[], object], times: int) -> float:
    """Seconds that one call takes, on average."""
    start = time.perf_counter()
    for _ in range(times):
        act()
    return (time.perf_counter() - start) / times


def rows() -> list[Row]:
    """Every measurement, with its peer and its goal."""
    pty, fleet, codes, peer_codes = measure_pty(), measure_fleet(), measure_codes(), measure_pyotp()
    loop = f"pyserial loop:// {peers.loop_round_trips(encode_frame(Kind.APDU, 1, SESSION, CALCULATE)):,.0f}/s"
    return [
        Row("SELECT in process", f"{measure_in_process(SELECT):,.0f} APDU/s", loop, ">= 50,000"),
        Row("CALCULATE in process", f"{measure_in_process(CALCULATE):,.0f} APDU/s", loop, ">= 50,000"),
        Row(
            "SELECT over a pty",
            f"{pty.token:,.0f} APDU/s",
            f"raw echo {pty.echo:,.0f}/s: {pty.token / pty.echo:.0%}",
            ">= 50 %",
        ),
        Row(
            "`firmware-sim run` to its line",
            f"{measure_start():.0f} ms",
            f"python and click {measure_python_start():.0f} ms",
            "< 300 ms",
        ),
        Row(
            "a token in process",
            f"{measure_new_token():.2f} ms",
            f"pyserial loop:// {peers.loop_open_ms():.2f} ms",
            "< 1 ms",
        ),
        Row("1,000 tokens on ptys", f"{fleet.seconds:.2f} s", f"1,000 bare ptys {peers.bare_ptys_s():.2f} s", "< 1 s"),
        Row(
            "memory for each of them",
            f"{fleet.kib:.0f} KiB",
            f"a Python of its own {peers.python_kib():,.0f} KiB",
            "<= 64 KiB",
        ),
        Row(
            "ten years",
            f"{measure_ten_years():.3f} ms",
            f"day by day {peers.ten_years_day_by_day_ms():.2f} ms",
            "< 1 ms",
        ),
        Row(
            "TOTP codes from secret and time",
            f"{codes:,.0f}/s",
            f"pyotp {peer_codes:,.0f}/s: {codes / peer_codes:.1f} x",
            ">= 4 x",
        ),
    ]


def main() -> None:
    print(f"{'what':<32}{'measured':<20}{'beside':<34}goal")
    for row in rows():
        print(f"{row.what:<32}{row.measured:<20}{row.beside:<34}{row.goal}")


if __name__ == "__main__":
    main()
