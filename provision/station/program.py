"""Programming a token: from its box to a proven second factor, in steps that a crash may interrupt anywhere.

The ledger says how far a job came, but it may lag one step behind, so a run never trusts it alone: the token is asked
whose keys it obeys, whether the seed on it is ours and what time it has; the server gives the same device back for
the same UUID and seed. What was done is found done, and what was not is done now.

The order is made for the PIN, which is presented once a run and forgotten by the token when the applet changes: all
that needs the administrator's channel comes first, then the PIN, then nothing but codes.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field

from provision.clock import Clock
from provision.errors import (
    NotSupported,
    PinBlocked,
    PinRequired,
    Quarantined,
    TokenError,
    UsageError,
)
from provision.families.driver import Session
from provision.model import Capability, PinState, Secret, TokenInfo
from provision.seeds.generate import generate
from provision.servers.backend import ServerBackend
from provision.station import keys
from provision.station.access import Access
from provision.station.job import Job, SeedOrigin
from provision.station.ledger import Entry, Ledger
from provision.station.lock import token_lock
from provision.station.proof import CodeProof
from provision.station.server_steps import ServerSteps
from provision.station.states import State, steps_for
from provision.station.stopwatch import Stopwatch
from provision.station.token_steps import TokenSteps


@enum.unique
class Phase(enum.Enum):
    """Where a step stands: not begun; done but not on record; done and on record."""

    BEFORE = "before"
    ACTED = "acted"
    AFTER = "after"


# Called with the step, its phase and, from ACTED on, one sentence on what was done or found done.
Observer = Callable[[State, Phase, str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`already_done`: there was nothing to do. `machine_s`: seconds of work, waits for clock and people left out."""

    entry: Entry
    already_done: bool
    machine_s: float


def program(
    job: Job,
    *,
    session: Session,
    ledger: Ledger,
    server: ServerBackend,
    clock: Clock,
    access: Access,
    randbytes: Callable[[int], bytes],
    observer: Observer,
) -> Outcome:
    """Bring the token at `session` to DONE for `job`, from wherever an earlier run left it.

    Raises UsageError if the token has another job on record, naming what differs; Quarantined if it holds what it
    should not; and whatever link, token, server or ledger raise: then the same call again goes on. Whether `clock` may
    set a token's is the caller's to ask (station/discipline.py).
    """
    watch = Stopwatch(clock)
    info = session.info()
    with token_lock(ledger.locks, info.serial):
        entry = ledger.of_token(info.serial)
        proof = CodeProof(session, info, job, watch, access.person)
        token = TokenSteps(session, info, job, access, proof, watch, ledger)
        if entry is not None:
            _require_same(job, entry)
            if entry.state is State.DONE:
                _require_there(entry, token)
                _require_same_seed(job, entry, token)
                return Outcome(entry, True, watch.machine_s)
        run = _Run(job, info, ledger, token, ServerSteps(server, job, info.serial), proof, randbytes, observer, entry)
        run.prepare(
            ask_passphrase=lambda: watch.leave_out(access.passphrase), ask_pin=lambda: watch.leave_out(access.pin)
        )
        run.to_the_end()
        return Outcome(run.entry, False, watch.machine_s)


def require_able(job: Job, info: TokenInfo, token: TokenSteps, server: ServerSteps) -> None:
    """Raise what would keep `job` from its end, as far as it can be seen without a secret. Nothing is changed."""
    if job.pin:
        _require_pin(info)
    server.require_able()
    token.require_person()


def _require_pin(info: TokenInfo) -> None:
    if Capability.PIN not in info.capabilities:
        raise NotSupported(f"token {info.serial} has no PIN", capability="pin", hint="program it with --no-pin")
    if info.pin_state is PinState.UNSET:
        raise PinRequired(
            f"token {info.serial} has no PIN yet",
            hint="its owner types one on its keypad, or `provision token set-pin`; --no-pin does without",
        )
    if info.pin_state is PinState.BLOCKED:
        raise PinBlocked(f"the PIN of token {info.serial} is blocked", hint="`provision token unblock`")


def require_free(entry: Entry) -> None:
    """Raises Quarantined: whose credential the token holds is not known, and only erasing it frees it."""
    if entry.state is State.QUARANTINED:
        raise Quarantined(
            f"token {entry.serial} is in quarantine: {entry.cause}",
            serial=entry.serial,
            cause=entry.cause or "",
            hint="`provision token retire --wipe` erases it and frees it",
        )


def _require_same(job: Job, entry: Entry) -> None:
    require_free(entry)
    if entry.state is State.RETIRING:
        raise UsageError(f"token {entry.serial} is being retired", hint="finish that first: `provision token retire`")
    if differences := job.differs_from(entry.job):
        raise UsageError(
            f"token {entry.serial} is on record ({entry.state.value}) with something else: {'; '.join(differences)}",
            hint="close that job with `provision token retire`, then program the token anew"
            if entry.state is State.DONE
            else "give the same again to go on, `provision ledger resume` to go on without repeating, "
            "or `provision token retire` to start over",
        )


def _require_there(entry: Entry, token: TokenSteps) -> None:
    """A DONE token may have been wiped since. What its server has of it must go first, or the user would keep a device
    that gives no codes; and somebody may look for the old seed."""
    if token.has_lost_it():
        raise UsageError(
            f"token {entry.serial} is DONE, for {entry.job.user}, and its credential {entry.job.credential!r} is no "
            "longer on it: it was wiped, or the credential deleted or renamed",
            hint=f"close that job, `provision token retire --server {entry.job.server}`, and program the token anew",
        )


def _require_same_seed(job: Job, entry: Entry, token: TokenSteps) -> None:
    """A DONE token's seed is known to the token alone: ask it, if the caller says which one it should be."""
    if job.seed is None:
        return
    token.authenticate()
    if token.holds(job.seed) is not True:
        raise UsageError(
            f"token {entry.serial} is DONE, with another seed than the one given",
            hint="retire it first: `provision token retire`",
        )


@dataclass(slots=True)
class _Run:
    """What is left of one job. `_entry`: what the ledger says now, None before PLANNED."""

    _job: Job
    _info: TokenInfo
    _ledger: Ledger
    _token: TokenSteps
    _server: ServerSteps
    _proof: CodeProof
    _randbytes: Callable[[int], bytes]
    _observer: Observer
    _entry: Entry | None
    _seed: Secret | None = field(default=None, repr=False)

    @property
    def entry(self) -> Entry:
        assert self._entry is not None, "PLANNED comes first"
        return self._entry

    def prepare(self, *, ask_passphrase: Callable[[], Secret], ask_pin: Callable[[], Secret]) -> None:
        """Ask everything that can be asked, machine or person, before anything is changed."""
        if not self._token_is_needed:
            return
        require_able(self._job, self._info, self._token, self._server)
        if self._entry is None:
            self._token.require_storable()
            self._server.require_room()
        elif self._entry.state is not State.PLANNED:
            self._seed = self._ledger.unseal(self._entry, ask_passphrase())
            if self._job.seed is not None and self._job.seed != self._seed:
                raise UsageError(
                    f"token {self._info.serial} is on record with another seed than the one given",
                    hint="give the same seed again, or `provision ledger resume`",
                )
        self._token.authenticate()
        if self._job.pin:
            self._proof.pin = ask_pin()

    def to_the_end(self) -> None:
        steps = steps_for(self._info)
        reached = -1 if self._entry is None else steps.index(self._entry.state)
        ask_again = self._token_is_needed
        try:
            for at, step in enumerate(steps):
                if at > reached:
                    self._take(step)
                elif ask_again and step in _TOKEN_CHANGES:
                    self._ask_again(step)
        except Quarantined as error:
            self._entry = self._ledger.advance(self.entry, State.QUARANTINED, error.cause, cause=error.cause)
            raise

    @property
    def _token_is_needed(self) -> bool:
        return self._entry is None or self._entry.state is not State.SERVER_VERIFIED

    def _take(self, step: State) -> None:
        """Do a step and put it on record."""
        self._observer(step, Phase.BEFORE, "")
        note, columns = _ACTIONS[step](self)
        self._observer(step, Phase.ACTED, note)
        if step is State.PLANNED:
            self._entry = self._ledger.plan(self._info.serial, self._info.family, self._job, self._randbytes)
        elif step is State.DONE:
            self._entry = self._ledger.finish(self.entry, step, note)
        else:
            self._entry = self._ledger.advance(self.entry, step, note, **columns)
        self._observer(step, Phase.AFTER, note)

    def _ask_again(self, step: State) -> None:
        """A step that is on record, whose effect on the token may have been undone since."""
        self._observer(step, Phase.BEFORE, "")
        note, _ = _ACTIONS[step](self)
        self._observer(step, Phase.ACTED, note)
        self._observer(step, Phase.AFTER, note)

    # One action a step: it makes true what the step claims, and returns what to say and what goes on record with it.

    def _plan(self) -> _Acted:
        return f"{self._job.credential} for {self._job.user}", {}

    def _seal(self) -> _Acted:
        seed = self._job.seed
        if seed is None:
            if self._job.origin is not SeedOrigin.GENERATED:
                raise UsageError(
                    f"the seed of token {self._info.serial} was never sealed",
                    hint="repeat the `provision token program` command with its seed",
                )
            seed = generate(self._job.parameters.algorithm, self._randbytes)
        self._seed = seed
        return f"seed of {len(seed)} bytes sealed", {"sealed": self._ledger.seal(self.entry, seed, self._randbytes)}

    def _change_keys(self) -> _Acted:
        if self._token.keys_are_ours:
            return "the token obeys the organisation's keys already", {}
        if self._info.factory_keys is not None:
            return self._token.take_over_keys(), {}
        # Only the ledger will know whose keys this token obeys.
        self._ledger.remark(self.entry, keys.CHANGING, "the organisation's key is about to replace another")
        try:
            return self._token.take_over_keys(), {}
        except TokenError as error:
            self._ledger.remark(self.entry, keys.UNCHANGED, error.message)
            raise

    def _write(self) -> _Acted:
        return self._token.write(self._known_seed), {}

    def _set_time(self) -> _Acted:
        steps = steps_for(self._info)
        was_set = steps.index(self.entry.state) >= steps.index(State.TIME_SET)
        return self._token.set_time(was_set=was_set), {}

    def _verify(self) -> _Acted:
        code = self._proof.prove(self._known_seed)
        return f"the token's code is right at step {code.step}", {}

    def _register(self) -> _Acted:
        device = self._server.register(self.entry.uuid, self._known_seed)
        return f"{self._job.user}'s device {device.name!r} at the server", {"device_id": device.device_id}

    def _verify_at_server(self) -> _Acted:
        entry, seed = self.entry, self._known_seed
        assert entry.device_id is not None, "REGISTERED put it on record"

        def log(step: int) -> None:
            self._entry = self._ledger.log_server_step(self.entry, step)

        accepted = self._server.prove(
            entry.device_id, entry.server_step, lambda least: self._proof.prove(seed, least_step=least), log
        )
        return f"the server accepted a code at step {accepted.step}, drift {accepted.drift_steps:+d} steps", {}

    def _finish(self) -> _Acted:
        return f"token {self._info.serial} works for {self._job.user}", {}

    @property
    def _known_seed(self) -> Secret:
        assert self._seed is not None, "SEALED comes first"
        return self._seed


_Acted = tuple[str, dict[str, bytes | str]]

_ACTIONS: dict[State, Callable[[_Run], _Acted]] = {
    State.PLANNED: _Run._plan,
    State.SEALED: _Run._seal,
    State.KEYS_CHANGED: _Run._change_keys,
    State.WRITTEN: _Run._write,
    State.TIME_SET: _Run._set_time,
    State.VERIFIED: _Run._verify,
    State.REGISTERED: _Run._register,
    State.SERVER_VERIFIED: _Run._verify_at_server,
    State.DONE: _Run._finish,
}

_TOKEN_CHANGES = frozenset({State.KEYS_CHANGED, State.WRITTEN, State.TIME_SET})
