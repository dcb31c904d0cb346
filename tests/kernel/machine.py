"""The guest: a Linux with USB, under QEMU's own emulation (never KVM: a /dev/kvm that does not work hangs QEMU)."""

from __future__ import annotations

import os
import selectors
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

LONGEST_SILENCE_S = 240.0  # between two reports, on a busy machine
_TAIL = 60  # lines
_SOME_FAILED = 1  # pytest's exit codes: 0 and 1 when all tests ran, more when not


class GuestFailed(Exception):
    """The guest did not finish. The message ends with its last words."""


class Guest:
    """Boots at once and runs the project's tests named by `node_ids`.

    `image`: what build.py made. `lane`: an empty directory that guest and host share.
    """

    def __init__(self, image: Path, lane: Path, project: Path, node_ids: Sequence[str]) -> None:
        self.lane = lane
        environment = {"PROJECT": str(project), "PYTHON": sys.executable}
        (lane / "environment").write_text(
            "".join(f"{name}={shlex.quote(value)}\n" for name, value in environment.items())
        )
        (lane / "tests").write_text("".join(f"{node_id}\n" for node_id in node_ids))
        self._process = subprocess.Popen(_command(image, lane), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    def lines(self) -> Iterator[bytes]:
        """What the guest writes to its second serial port, until it ends. Raises GuestFailed."""
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(fd, selectors.EVENT_READ)
            buffer = b""
            while True:
                if not selector.select(LONGEST_SILENCE_S):
                    raise GuestFailed(f"the guest was silent for {LONGEST_SILENCE_S:.0f} s\n{self.last_words()}")
                chunk = os.read(fd, 1 << 16)
                if not chunk:
                    break
                *whole, buffer = (buffer + chunk).split(b"\n")
                yield from whole
        code = self.lane / "exit-code"
        if not code.exists() or int(code.read_text()) > _SOME_FAILED:
            raise GuestFailed(f"the guest died, or its pytest did\n{self.last_words()}")

    def last_words(self) -> str:
        """The ends of its console and of its pytest."""
        return "\n".join(
            f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL:])
            for log in (self.lane / "console.log", self.lane / "pytest.log")
            if log.exists()
        )

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def _command(image: Path, lane: Path) -> list[str]:
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None or not (image / "built").exists():
        raise GuestFailed("there is no QEMU or no image to boot: use `make test-kernel`, which installs both")
    kernel_arguments = "console=ttyS0 quiet panic=-1 nokaslr mitigations=off no_timer_check tsc=reliable"
    shares = {"root": (Path("/"), ",readonly=on"), "extra": (image / "extra", ",readonly=on"), "lane": (lane, "")}
    command = [qemu, "-accel", "tcg", "-cpu", "max", "-M", "q35", "-m", "1024", "-smp", "1"]
    command += ["-nodefaults", "-no-user-config", "-display", "none", "-nic", "none", "-no-reboot"]
    command += ["-kernel", str(image / "vmlinux"), "-initrd", str(image / "initrd.cpio"), "-append", kernel_arguments]
    command += ["-serial", f"file:{lane / 'console.log'}", "-serial", "stdio"]
    for tag, (path, options) in shares.items():
        quoted = str(path).replace(",", ",,")
        command += ["-virtfs", f"local,path={quoted},mount_tag={tag},security_model=none,multidevs=remap{options}"]
    return command
