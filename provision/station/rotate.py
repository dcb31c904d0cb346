"""A new seed and the right time for a token that is in use, in one go: for those whose clock cannot be set without
losing the seed, and for whoever wants another seed.

It is a retirement and a new job for the same user at the same server, joined in the ledger: the old job is RETIRING
before anything is undone, it becomes RETIRED and the new one PLANNED in one transaction, and the new one is programmed
like any other. So the same call again goes on from wherever a crash left it, and the history of the token stays whole.
Between the two the user has no second factor: the server forgets the old seed first. So all that can be asked about
the new job is asked before that, the PIN included.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from provision.clock import Clock
from provision.errors import UsageError
from provision.families.driver import Session
from provision.model import TokenInfo
from provision.servers.backend import ServerBackend
from provision.station.access import Access
from provision.station.job import Job, SeedOrigin
from provision.station.ledger import Ledger
from provision.station.lock import token_lock
from provision.station.program import Observer, Outcome, program, require_able, require_free
from provision.station.proof import CodeProof
from provision.station.retire import RetireObserver, TokenSide, close_both, on_record
from provision.station.server_steps import ServerSteps
from provision.station.states import State
from provision.station.stopwatch import Stopwatch
from provision.station.token_steps import TokenSteps

ROTATED = "rotated"


def rotate(
    *,
    session: Session,
    ledger: Ledger,
    server: ServerBackend,
    clock: Clock,
    access: Access,
    randbytes: Callable[[int], bytes],
    observer: Observer,
    retire_observer: RetireObserver,
) -> Outcome:
    """Give the token at `session` a new seed. Goes on with a rotation, or a job, that was interrupted.

    Raises UsageError or Quarantined for a token whose state does not allow it; otherwise as `retire` and `program` do.
    """
    info = session.info()
    with token_lock(ledger.locks, info.serial):
        entry = on_record(ledger, info)
        require_free(entry)
        if entry.state is State.RETIRED:
            raise UsageError(
                f"token {info.serial} is {entry.state.value}: there is no seed to replace",
                hint="program it with `provision token program`",
            )
        if entry.state is State.RETIRING and not _is_rotation(ledger, info.serial):
            raise UsageError(
                f"token {info.serial} is being retired", hint="finish that first: `provision token retire`"
            )
        job = successor(entry.job)
        if entry.state in (State.DONE, State.RETIRING):
            access = _ready(job, session, info, ledger, server, clock, access)
            token = TokenSide(session, info, ledger, entry, access.admin_key, access.person)
            entry = close_both(token, ledger, server, entry, retire_observer, wipe=False, why=ROTATED)
            ledger.succeed(entry, job, ROTATED, randbytes)
    return program(
        job if entry.state is State.RETIRING else entry.job,
        session=session,
        ledger=ledger,
        server=server,
        clock=clock,
        access=access,
        randbytes=randbytes,
        observer=observer,
    )


def _ready(
    job: Job,
    session: Session,
    info: TokenInfo,
    ledger: Ledger,
    server: ServerBackend,
    clock: Clock,
    access: Access,
) -> Access:
    """Ask for all that the new job will need. The access that asks for the PIN no second time."""
    watch = Stopwatch(clock)
    token = TokenSteps(session, info, job, access, CodeProof(session, info, job, watch, access.person), watch, ledger)
    require_able(job, info, token, ServerSteps(server, job, info.serial))
    token.require_storable()
    if not job.pin:
        return access
    pin = access.pin()
    session.verify_pin(pin)
    return dataclasses.replace(access, pin=lambda: pin)


def successor(job: Job) -> Job:
    """The same, with a seed that is made here: whoever gave the old one does not know it."""
    return dataclasses.replace(job, origin=SeedOrigin.GENERATED, seed=None)


def _is_rotation(ledger: Ledger, serial: str) -> bool:
    """Whether it was a rotation that began to retire the token's job."""
    reasons = [event.note for event in ledger.history(serial) if event.what == State.RETIRING.value]
    return reasons[-1:] == [ROTATED]
