"""What programming does on the token: take over its keys, write the seed, set the clock.

Each step asks first and acts only on what is missing, so that doing it again after a crash is harmless. All need the
administrator's channel; none needs the PIN, except where a family can prove its seed by codes alone.
"""

from __future__ import annotations

from provision.clock import Clock
from provision.errors import Quarantined, TokenError, UsageError
from provision.families.driver import Session
from provision.model import Capability, ClockKind, CredentialInfo, NewCredential, Secret, TokenInfo
from provision.seeds.generate import generate
from provision.station import keys
from provision.station.access import Access
from provision.station.job import Job
from provision.station.ledger import Ledger
from provision.station.person import Nobody
from provision.station.proof import TOLERANCE_S, CodeProof
from provision.station.timing import residual, set_time

_TELLING = frozenset({Capability.CHECK_VALUE, Capability.LIST})


class TokenSteps:
    """The steps of one job on one token."""

    def __init__(
        self,
        session: Session,
        info: TokenInfo,
        job: Job,
        access: Access,
        proof: CodeProof,
        clock: Clock,
        ledger: Ledger,
    ) -> None:
        """`ledger`: knows whose keys the token obeys (keys.py)."""
        self._session = session
        self._info = info
        self._job = job
        self._access = access
        self._proof = proof
        self._clock = clock
        self._ledger = ledger
        self.keys_are_ours = keys.are_ours(info, ledger)

    def require_storable(self) -> None:
        """Raises InputError, NotSupported for a job that the token's family cannot hold."""
        # A seed that is made later will be as long as this one.
        seed = self._job.seed or generate(self._job.parameters.algorithm, lambda size: b"\x01" * size)
        self._session.require_storable(self._wanted(seed))

    def require_person(self) -> None:
        """Raises UsageError where somebody is needed at the token, and nobody can be asked."""
        capabilities = self._info.capabilities
        if isinstance(self._access.person, Nobody) and (
            Capability.CODE_READ not in capabilities or Capability.BUTTON_CONFIRMS in capabilities
        ):
            raise UsageError(
                f"token {self._info.serial} shows its codes to people only, and nobody can be asked for them",
                hint="run it in a terminal, or give what a person would type with --codes-file",
            )

    def authenticate(self) -> None:
        """Become the administrator, under the organisation's keys or, on a new token, the factory's.

        Raises UsageError without a master key, AdminKeyIncorrect if the token obeys others.
        """
        if Capability.ADMIN_KEY in self._info.capabilities and self._access.admin_key is None:
            raise UsageError(
                f"token {self._info.serial} is not programmed under its published factory keys",
                hint="give the organisation's master key with --admin-key-file; `provision ledger init "
                "--new-admin-key-file FILE` makes one",
            )
        self.keys_are_ours = keys.authenticate(
            self._session,
            self._info,
            self._ledger,
            admin_key=self._access.admin_key,
            token_key=self._access.token_key,
        )

    def take_over_keys(self) -> str:
        """From here on the token obeys the organisation's keys and no longer the published ones."""
        assert self._access.admin_key is not None, "authenticate() comes first and demands it"
        # Proven before a seed is trusted to the token.
        keys.take_over(self._session, self._info, self._access.admin_key, self._access.person)
        self.keys_are_ours = True
        return "its keys replaced with the organisation's"

    def write(self, secret: Secret) -> str:
        """The credential is on the token with this very seed. Raises Quarantined if another holds its name, TokenError
        if the token did not keep it.

        A token that does not tell what it holds is written to in any case: it has one place, which this job was given.
        """
        found = self.holds(secret) if _TELLING & self._info.capabilities else None
        if found is None:
            self._session.put(self._wanted(secret))
            if Capability.CHECK_VALUE not in self._info.capabilities:
                return "seed written"
            if self.holds(secret) is not True:
                raise TokenError(
                    f"token {self._info.serial} took the credential {self._job.credential!r} and does not have it",
                    hint="run the same command again; if it stays so, the token's memory is broken",
                )
            return "seed written, check value equal"
        if not found:
            raise self._quarantined("another seed")
        self._require_parameters()
        return "seed on the token already, proven equal"

    def has_lost_it(self) -> bool:
        """Whether the token says, to anybody, that the job's credential is not on it."""
        info = self._info
        return Capability.LIST in info.capabilities and not info.is_read_locked and self._listed() is None

    def holds(self, secret: Secret) -> bool | None:
        """Whether the job's credential on the token has this seed, None if there is no such credential."""
        if Capability.CHECK_VALUE in self._info.capabilities:
            return self._session.check_value(self._job.credential, secret)
        if Capability.LIST in self._info.capabilities and self._listed() is None:
            return None
        return self._proof.two_codes_match(secret)

    def set_time(self, *, was_set: bool) -> str:
        """The token's clock is right: set it, unless it `was_set` and still is."""
        if was_set:
            found = residual(self._session.read_clock())
            if found.hi_ms >= -TOLERANCE_S * 1e3 and found.lo_ms <= TOLERANCE_S * 1e3:
                return "the clock is right still"
        return f"clock set on a second's edge, now {set_time(self._session, self._clock).residual} from station time"

    def _listed(self) -> CredentialInfo | None:
        return next((c for c in self._session.credentials() if c.name == self._job.credential), None)

    def _wanted(self, secret: Secret) -> NewCredential:
        job = self._job
        own_clock = self._info.clock_kind is not ClockKind.NONE
        return NewCredential(job.credential, secret, job.parameters, own_clock, job.pin, job.touch)

    def _require_parameters(self) -> None:
        """Our seed under our name, but written by someone else's hand, would give other codes or ask no PIN."""
        held, job = self._listed(), self._job
        own_clock = self._info.clock_kind is not ClockKind.NONE
        if held != CredentialInfo(job.credential, job.parameters, own_clock, job.pin, job.touch):
            raise self._quarantined("our seed with other parameters")

    def _quarantined(self, what: str) -> Quarantined:
        return Quarantined(
            f"the credential {self._job.credential!r} on token {self._info.serial} has {what}; it is not overwritten",
            serial=self._info.serial,
            cause=f"credential {self._job.credential} has {what}",
            hint="find out whose it is; `provision token retire --wipe` erases it and frees the token",
        )
