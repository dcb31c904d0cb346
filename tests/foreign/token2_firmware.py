"""The driver against the firmware that Token2 published: `python -m tests.foreign.token2_firmware openT2OTP/firmware`.

By hand, because that firmware (github.com/token2/openT2OTP) is on no package registry, and wants a C compiler. Its core
is built as a library with a clock, a memory and a random source of ours under it, and put behind an ordinary Link.
Exits with 1 at the first thing that is not as it should be.
"""

from __future__ import annotations

import ctypes
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from provision.clock import ManualClock
from provision.families.driver import identify
from provision.families.token2 import DRIVER
from provision.links.inprocess import open_channel
from provision.links.link import LinkOptions
from provision.model import Algorithm, ClockKind, NewCredential, OtpParameters, Secret
from provision.otp import code_at

START_S = 1_767_225_600.25

HARDWARE = """
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
static uint8_t memory[4096];
static int written;
static uint32_t seconds;
uint32_t hal_rtc_get(void) { return seconds; }
void hal_rtc_set(uint32_t unix_seconds) { seconds = unix_seconds; }
int hal_nvm_read(uint16_t at, void *to, size_t n) { memcpy(to, memory + at, n); return written ? 0 : -1; }
int hal_nvm_write(uint16_t at, const void *from, size_t n) { memcpy(memory + at, from, n); written = 1; return 0; }
void hal_rng(uint8_t *out, size_t n) { while (n--) *out++ = (uint8_t)rand(); }
int hal_ct_memcmp(const void *a, const void *b, size_t n) { return memcmp(a, b, n); }
"""


class Firmware:
    """Has the shape of a device's channel. `clock`: what its quartz counts, in whole seconds."""

    deadline = None

    def __init__(self, source: Path, folder: Path, clock: ManualClock) -> None:
        (folder / "hardware.c").write_text(HARDWARE)
        library = folder / "firmware.so"
        sources = [source / "src" / name for name in ("token2.c", "sm4.c", "totp.c")]
        command = ["cc", "-shared", "-fPIC", "-I", source / "include", *sources, folder / "hardware.c", "-o", library]
        subprocess.run(command, check=True)
        self._core = ctypes.CDLL(str(library))
        self._core.token2_process_apdu.restype = ctypes.c_size_t
        self._clock = clock
        self._set_at: float = clock.now()
        self._core.token2_init()

    def transmit(self, apdu: bytes) -> bytes:
        now = self._clock.now()
        self._core.hal_rtc_set(ctypes.c_uint32(self._core.hal_rtc_get() + int(now) - int(self._set_at)))
        self._set_at = now
        out = ctypes.create_string_buffer(300)
        size = self._core.token2_process_apdu(apdu, ctypes.c_size_t(len(apdu)), out, ctypes.c_size_t(len(out)))
        return out.raw[:size]

    def poll(self) -> None:
        return None

    def reset(self) -> None:
        """It keeps its session until the next challenge."""

    def seed(self) -> tuple[bytes, int, int]:
        """What it would compute codes from: seed, hash, step."""
        seed, size, algo, step = ctypes.create_string_buffer(63), ctypes.c_uint8(), ctypes.c_uint8(), ctypes.c_uint8()
        self._core.token2_get_totp_params(seed, ctypes.byref(size), ctypes.byref(algo), ctypes.byref(step))
        return seed.raw[: size.value], algo.value, step.value

    def code(self) -> str:
        seed, algo, step = self.seed()
        u32 = ctypes.c_uint32
        self._core.totp_now_algo.restype = u32
        seconds = u32(self._core.hal_rtc_get())
        return str(self._core.totp_now_algo(seed, ctypes.c_uint8(len(seed)), seconds, u32(step), 6, algo)).zfill(6)


def main(source: Path) -> None:
    clock, randbytes = ManualClock(START_S), random.Random(1).randbytes
    with tempfile.TemporaryDirectory() as folder:
        firmware = Firmware(source, Path(folder), clock)
        link = open_channel(firmware, LinkOptions(clock, randbytes))
        driver, info = identify(link)
        assert (driver.name, info.model, info.clock_kind) == ("token2", "OTPC-P2-i", ClockKind.WITH_SEED), info
        session = DRIVER.open(link, clock, randbytes)
        session.authenticate(None)
        for size in (1, 15, 16, 20, 32, 47, 48, 63):
            for algorithm, algo in ((Algorithm.SHA1, 1), (Algorithm.SHA256, 2)):
                for step_s in (30, 60):
                    seed = Secret(bytes(range(1, size + 1)))
                    parameters = OtpParameters(algorithm=algorithm, time_step_s=step_s)
                    session.put(NewCredential("any", seed, parameters, pin=False))
                    assert firmware.seed() == (seed.reveal(), algo, step_s), (size, algorithm, step_s)
                    step = parameters.step_at(clock.now())
                    assert firmware.code() == code_at(seed, parameters, step, allow_short_seed=True)
        assert session.read_clock().device_s == int(clock.now())
        session.write_clock(1_800_000_000)
        assert session.read_clock().device_s == 1_800_000_000
        assert firmware.seed()[0] == b"", "a restricted token should have lost its seed"
        session.put(NewCredential("any", Secret(b"x" * 20), OtpParameters(), pin=False))
        session.delete("any")
        assert firmware.seed()[0] == b""
        print(f"Token2's firmware obeyed the driver in everything: token {info.serial}, {info.model}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
