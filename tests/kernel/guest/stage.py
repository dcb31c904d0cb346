"""The stage of `provision demo` in the guest: the token is on the guest's USB, and commands run in forks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from firmware_sim import cli as sim_cli
from provision.cli import main as provision_main
from provision.cli.demo import START_S
from provision.cli.demo_casts import cast_of
from provision.cli.demo_stage import Ran, Stage
from tests.kernel.guest.world import REFERENCE, forked

MAINS: dict[str, Callable[[list[str]], object]] = {
    "provision": provision_main.main,
    "firmware_sim": lambda arguments: sim_cli.cli(arguments, standalone_mode=False),
}


class GuestStage(Stage):
    """`over`: the token is reached over its serial line, "serial", or over its reader, "usb"."""

    def __init__(self, folder: Path, over: str) -> None:
        super().__init__(folder, START_S, cast_of("reference", None), "vhci")
        self._over = over

    def unbox(self, *options: str) -> dict[str, Any]:
        born = super().unbox(*options)
        self._serial = born["serial"]
        self.address = born["address"] = self._reached(born["address"])
        return born

    def sim(self, verb: str, *arguments: str, stdin: str = "") -> dict[str, Any]:
        reply = super().sim(verb, *arguments, stdin=stdin)
        if "address" in reply:
            reply["address"] = self._reached(reply["address"])
        return reply

    def program(self) -> Ran:
        return self.provision(
            *("token", "program", "--token", self.address, "--user", "anna", "--name", "desk token"),
            *("--server", self.server, "--ledger", str(self.ledger), "--admin-key-file", str(self.admin_key)),
            *("--pin-file", str(self.pin), "--passphrase-file", str(self.passphrase)),
        )

    def _reached(self, address: str) -> str:
        return address if self._over == "serial" else f"usb:{REFERENCE}/{self._serial}"

    def _run(self, module: str, *arguments: str, stdin: str) -> Ran:
        ran = forked(lambda: MAINS[module]([*arguments, "--json"]), stdin=stdin)
        return Ran(ran.exit_code, ran.lines, ran.text.strip())
