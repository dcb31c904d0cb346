"""What the commands share that run a job on a token: `token program`, `ledger resume`, `token rotate`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from provision.cli.context import Context, pin_option, token_key_option
from provision.cli.person import codes_option, person_of
from provision.cli.station_options import master_key_option, passphrase, passphrase_option, undisciplined_option
from provision.errors import AdminKeyIncorrect, LedgerError, LinkError, RemoteProtocolError, ServerError, TokenError
from provision.model import Capability, ClockKind, Secret, TokenInfo

if TYPE_CHECKING:
    from provision.station.access import Access
    from provision.station.ledger import Ledger
    from provision.station.program import Observer, Outcome, Phase
    from provision.station.retire import RetireStep
    from provision.station.states import State

_RESUMABLE = (LinkError, RemoteProtocolError, TokenError, ServerError, LedgerError)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The files that hold what opens doors, and whether a clock that nothing synchronises may set another."""

    admin_key_file: str | None
    token_key_file: str | None
    pin_file: str | None
    passphrase_file: str | None
    codes_file: str | None
    undisciplined_clock_ok: bool

    def access(self, context: Context, info: TokenInfo) -> Access:
        from provision.station.access import Access

        def pin() -> Secret:
            return context.secrets.pin(self.pin_file, prompt=f"PIN of token {info.serial}")

        return Access(
            context.secrets.admin_key(self.admin_key_file),
            pin,
            lambda: passphrase(context, self.passphrase_file),
            None if self.token_key_file is None else context.secrets.token_key(self.token_key_file),
            person_of(context, self.codes_file),
        )

    def require_clock(self, context: Context, info: TokenInfo) -> None:
        """Raises ClockUndisciplined where the station's clock will set the token's."""
        from provision.station.discipline import require_discipline

        if info.clock_kind is ClockKind.NONE:
            return
        verdict = require_discipline(context.clock, undisciplined_ok=self.undisciplined_clock_ok)
        if not verdict.disciplined:
            context.say(f"warning: the station's clock itself is not trustworthy: {verdict.why}")


def warn_of_published_key(context: Context, info: TokenInfo) -> None:
    """Where no key of the organisation's can take the published one's place."""
    if info.factory_keys and Capability.ADMIN_KEY not in info.capabilities:
        context.say(
            f"warning: token {info.serial} has a published key for ever: whoever holds it and a reader can overwrite it"
        )


def run_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a run on a command, which gets them as `options`."""

    @pin_option
    @master_key_option
    @token_key_option
    @passphrase_option
    @codes_option
    @undisciplined_option
    @functools.wraps(command)
    def with_options(
        *positional: Any,
        admin_key_file: str | None,
        token_key_file: str | None,
        pin_file: str | None,
        passphrase_file: str | None,
        codes_file: str | None,
        undisciplined_clock_ok: bool,
        **arguments: Any,
    ) -> None:
        options = RunOptions(
            admin_key_file, token_key_file, pin_file, passphrase_file, codes_file, undisciplined_clock_ok
        )
        command(*positional, options=options, **arguments)

    return with_options


def step_observer(context: Context) -> Observer:
    """Shows each step once it is on record."""
    from provision.station.program import Phase

    def observer(step: State, phase: Phase, note: str) -> None:
        if phase is Phase.AFTER:
            show_step(context, step, note)

    return observer


def show_step(context: Context, step: State | RetireStep, note: str) -> None:
    context.result({"step": step.value, "note": note}, f"{step.value:<16}{note}")


@contextmanager
def resumable(ledger: Ledger, serial: str) -> Iterator[None]:
    """An error that leaves the job where the same command finds it again says so."""
    try:
        yield
    except _RESUMABLE as error:
        entry = ledger.of_token(serial)
        # The same command again would present the same wrong key; what to do about that, the error says.
        if entry is not None and not isinstance(error, AdminKeyIncorrect):
            again = f"the ledger stands at {entry.state.value}: the same command again goes on from there"
            error.hint = again if error.hint is None else f"{error.hint}; {again}"
        raise


def show_outcome(context: Context, outcome: Outcome, text: str) -> None:
    from provision.station.ledger import record

    context.result(
        {**record(outcome.entry), "already_done": outcome.already_done, "machine_s": outcome.machine_s}, text
    )
