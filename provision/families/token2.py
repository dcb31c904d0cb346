"""Drives Token2's tokens with one profile (wire/token2.py): no list, no key of their own, a clock in whole seconds.

Such a token does not tell whether it holds a seed. On most models a new time erases it, because there is no setting the
clock without writing the whole configuration; `put` therefore writes time and seed together, on the edge of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from provision.clock import Clock
from provision.errors import AdminKeyIncorrect, LocalProtocolError, NotSupported
from provision.families.identities import USB_IDENTITIES
from provision.families.refusal import Reasons, refusal
from provision.families.sm4_session import HASHES, Sm4Session, asked, next_edge, unix_time
from provision.links.link import Link
from provision.model import (
    Capability,
    ClockKind,
    ClockReading,
    CredentialInfo,
    NewCredential,
    OtpParameters,
    PinState,
    Secret,
    TokenInfo,
)
from provision.wire import WireError, sm4_secure, token2
from provision.wire.apdu import Command, Sw

_FAMILY = "token2"
_CAPABILITIES = frozenset({Capability.CLOCK_READ, Capability.CLOCK_SET})
_SCRAP_SEED_SIZE = 20  # bytes


class Token2Driver:
    name = _FAMILY
    usb = USB_IDENTITIES[_FAMILY]

    def probe(self, link: Link) -> TokenInfo | None:
        response = asked(link, token2.info_command())
        if response.sw != Sw.OK:
            return None
        try:
            return _token_info(sm4_secure.Info.decode(response.data).serial)
        except WireError:
            return None

    def open(self, link: Link, clock: Clock, randbytes: Callable[[int], bytes]) -> Token2Session:
        return Token2Session(link, clock, randbytes)


DRIVER = Token2Driver()


class Token2Session(Sm4Session):
    """A Session (families/driver.py)."""

    product = "a Token2 token with one profile"

    def __init__(self, link: Link, clock: Clock, randbytes: Callable[[int], bytes]) -> None:
        super().__init__(link, clock)
        self._randbytes = randbytes
        self._authenticated = False
        self._assumed: OtpParameters | None = None
        self._info: TokenInfo | None = None

    def info(self) -> TokenInfo:
        data = self._send(token2.info_command(), "tell who it is")
        self._info = _token_info(self._decoded(sm4_secure.Info.decode, data).serial)
        self._who = f"token {self._info.serial}"
        return self._info

    def read_clock(self) -> ClockReading:
        return self._read_clock(token2.info_command())

    def authenticate(self, admin_key: Secret | None) -> None:
        """Once. What is proved is a published key, the same in every such token.

        Asks for the model as well, so that write_clock is one exchange and nothing else.
        """
        if admin_key is not None:
            raise NotSupported(
                f"{self.product} has one published key for ever: it cannot be the organisation's",
                capability=Capability.ADMIN_KEY.value,
                hint="leave --admin-key-file away, and keep the token where only its owner is",
            )
        self._authenticated = False
        if self._info is None:
            self.info()
        challenge = self._send(token2.challenge_command(), "give a challenge")
        command = self._decoded(token2.authenticate_command, challenge)
        sw = self._exchange(command).sw
        if sw == token2.REFUSED:
            raise AdminKeyIncorrect(
                f"{self._who} refuses Token2's published key, or has locked it",
                hint="do not try again: an older token locks itself for good; it may be another vendor's",
            )
        if sw != Sw.OK:
            raise refusal(sw, self._who, "accept Token2's published key")
        self._authenticated = True

    def authenticate_own(self, key: Secret) -> None:
        raise NotSupported(
            f"{self.product} has no key of its own, only Token2's published one",
            capability=Capability.OWN_KEY.value,
            hint="leave --token-key-file away",
        )

    def change_admin_key(self, admin_key: Secret) -> None:
        raise NotSupported(
            f"{self.product} has one published key for ever",
            capability=Capability.ADMIN_KEY.value,
            hint="keep the token where only its owner is",
        )

    def credentials(self) -> Sequence[CredentialInfo]:
        raise self._no_list()

    def rename(self, old: str, new: str) -> None:
        raise self._no_list()

    def require_storable(self, credential: NewCredential) -> None:
        self._require_storable(credential, (token2.DIGITS,))

    def assume(self, parameters: OtpParameters) -> None:
        self._assumed = parameters

    def put(self, credential: NewCredential) -> None:
        """Replaces whatever is there, and sets the clock."""
        self.require_storable(credential)
        self._require_session()
        self._assumed = credential.parameters
        self._configure(next_edge(self._clock))
        self._write_seed(credential.secret.reveal())

    def delete(self, name: str) -> None:
        """Whatever its name: there is one."""
        self.reset()

    def reset(self) -> None:
        """A new configuration erases the seed; where it does not, a random seed that nobody keeps replaces it."""
        self._require_session()
        if self._restricted:
            self._configure(next_edge(self._clock))
        else:
            self._write_seed(self._randbytes(_SCRAP_SEED_SIZE))

    def write_clock(self, seconds: int) -> ClockReading:
        """On models with restricted synchronisation the seed is gone afterwards."""
        self._require_session()
        time = unix_time(seconds)
        sent_s = self._clock.now()
        self._configure(time)
        return ClockReading(float(seconds), sent_s, self._clock.now())

    def lock_screen(self, locked: bool) -> None:
        raise NotSupported(
            f"{self.product} has no lock for its screen",
            capability=Capability.SCREEN_LOCK.value,
            hint="keep the token where only its owner is",
        )

    def factory_reset(self) -> None:
        raise NotSupported(
            f"{self.product} knows no factory reset",
            capability=Capability.FACTORY_RESET.value,
            hint="`provision token delete` erases its seed",
        )

    @property
    def _restricted(self) -> bool:
        info = self._info or self.info()
        return info.clock_kind is ClockKind.WITH_SEED

    def _configure(self, seconds: int) -> None:
        if self._assumed is None and not self._restricted:
            raise LocalProtocolError("assume() comes before write_clock(): the configuration is written as a whole")
        parameters = self._assumed or OtpParameters()
        config = token2.Config(seconds, HASHES[parameters.algorithm], parameters.time_step_s)
        self._secured(token2.config_command(config), "set its clock")

    def _write_seed(self, seed: bytes) -> None:
        self._secured(token2.seed_command(seed), "store a seed")

    def _secured(self, command: Command, what: str) -> None:
        self._send(command, what, _SECURED)

    def _require_session(self) -> None:
        if not self._authenticated:
            raise LocalProtocolError("authenticate() comes before an administrator's command")

    def _no_list(self) -> NotSupported:
        return NotSupported(
            f"{self.product} does not tell what it holds, and knows no names",
            capability=Capability.LIST.value,
            hint="`provision ledger show` tells what this station has written to it",
        )


_SECURED: Reasons = {
    token2.REFUSED: ("it has forgotten the handshake, or the command reached it altered", "run the same command again"),
    Sw.CONDITIONS_NOT_SATISFIED: ("its clock stands still", "its battery is empty: replace the token"),
}


def _token_info(serial: str) -> TokenInfo:
    model = token2.model_of(serial)
    return TokenInfo(
        family=_FAMILY,
        serial=serial,
        model="unknown model" if model is None else model.name,
        firmware="",  # it does not tell
        label="",
        capabilities=_CAPABILITIES,
        # Of an unknown model the worse is assumed: whoever writes the clock first and then the seed is right on both.
        clock_kind=ClockKind.WITH_SEED if model is None or model.restricted_sync else ClockKind.FREE,
        pin_state=PinState.UNSET,
        attempts_remaining=None,
        factory_keys=True,  # for ever
        credentials_used=None,  # it does not tell
        credentials_max=1,
        recognised=model is not None,
    )
