"""Drives Token2's Molto2v2 (wire/molto2.py): 100 profiles, a customer key, a clock in whole seconds.

A credential is a profile that holds a seed; it is called by its title or, where that is missing or there twice, by its
number: `#7`. `put` takes the first profile without a seed, and writes the seed last, so that a profile is listed only
once it is whole.

A wrong customer key costs the token one of its tries. No key is ever presented twice by itself, and none but the one
that the caller names.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence

from provision.clock import Clock
from provision.errors import (
    AdminKeyIncorrect,
    InputError,
    LocalProtocolError,
    NoSuchCredential,
    NotSupported,
    RemoteProtocolError,
    StorageFull,
)
from provision.families.applets import decoded
from provision.families.derivation import derive
from provision.families.identities import USB_IDENTITIES
from provision.families.refusal import Reasons, refusal
from provision.families.sm4_session import (
    ALGORITHMS,
    HASHES,
    Sm4Session,
    asked,
    unix_time,
)
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
from provision.wire import WireError, molto2, sm4_secure
from provision.wire.apdu import Sw
from provision.wire.sm4_secure import HashKind

_FAMILY = "molto2"
_MODEL, _FIRST_MODEL = "Molto2v2", "Molto2"
_DIGITS = tuple(digits for digits in molto2.DIGITS if 6 <= digits <= 8)  # others are no codes of RFC 4226
_CAPABILITIES = frozenset(
    {
        Capability.LIST,
        Capability.CLOCK_READ,
        Capability.CLOCK_SET,
        Capability.ADMIN_KEY,
        Capability.OWN_KEY,
        Capability.FACTORY_RESET,
        Capability.KEYLESS_RESET,
        Capability.BUTTON_CONFIRMS,
        Capability.SCREEN_LOCK,
    }
)
_ACCEPTED = (Sw.OK, molto2.QUEUED)  # to what waits for the button: the specification's word, and a device's
_DERIVATION = "hwtoken molto2 customer key v1"
_ERASED_TITLE = "-"  # a title can be replaced, not deleted


class Molto2Driver:
    name = _FAMILY
    usb = USB_IDENTITIES[_FAMILY]

    def probe(self, link: Link) -> TokenInfo | None:
        try:
            first = _public_data(link, 0)
        except WireError:
            return None
        return None if first is None else _info(link)

    def open(self, link: Link, clock: Clock, randbytes: Callable[[int], bytes]) -> Molto2Session:
        return Molto2Session(link, clock)


DRIVER = Molto2Driver()


class Molto2Session(Sm4Session):
    """A Session (families/driver.py). Its key stays in it until the session ends or the key proves wrong."""

    product = "a Molto2"

    def __init__(self, link: Link, clock: Clock) -> None:
        super().__init__(link, clock)
        self._serial: str | None = None
        self._profiles = molto2.PROFILES
        self._key: bytes | None = None
        self._timed: list[int] | None = None  # the profiles whose clock is to be set, while that is known

    # What it says to anyone

    def info(self) -> TokenInfo:
        info = _info(self._link)
        self._serial, self._who, self._profiles = info.serial, f"token {info.serial}", info.credentials_max
        return info

    def credentials(self) -> Sequence[CredentialInfo]:
        return [_credential(name, data) for name, (_, data) in self._held().items()]

    def read_clock(self) -> ClockReading:
        """Once authenticated it also finds out which profiles write_clock will write to, so that this does nothing
        else then."""
        reading = self._read_clock(molto2.info_command())
        if self._key is not None:
            self._to_be_timed()
        return reading

    # The administrator

    def authenticate(self, admin_key: Secret | None) -> None:
        self._authenticate(molto2.DEFAULT_CUSTOMER_KEY if admin_key is None else self._derived(admin_key))

    def authenticate_own(self, key: Secret) -> None:
        self._authenticate(customer_key(key))

    def change_admin_key(self, admin_key: Secret) -> None:
        """Asks for it; the token changes its key when its button is pressed."""
        new = molto2.sm4_key(self._derived(admin_key))
        response = self._exchange(molto2.customer_key_command(self._session_key(), new))
        if response.sw not in _ACCEPTED:
            raise refusal(response.sw, self._who, "change its customer key", _SESSION)

    def require_storable(self, credential: NewCredential) -> None:
        self._require_storable(credential, _DIGITS)
        self._title(credential.name)

    def assume(self, parameters: OtpParameters) -> None:
        """It lists its credentials."""

    def put(self, credential: NewCredential) -> None:
        self.require_storable(credential)
        key, held = self._session_key(), self._held()
        self._timed = None
        if credential.name in held:
            profile = held[credential.name][0]
            self._clear(profile)
        else:
            profile = self._free({number for number, _ in held.values()})
        parameters, what = credential.parameters, f"store the credential {credential.name!r}"
        config = molto2.Config(
            unix_time(round(self._clock.now())),  # there is no configuration without a time
            HASHES[parameters.algorithm],
            parameters.digits,
            parameters.time_step_s,
        )
        for command in (
            molto2.title_command(key, profile, credential.name),
            sm4_secure.secured(key, sm4_secure.Ins.CONFIG, molto2.CONFIG_P1, profile, config.encode()),
            sm4_secure.seed_command(key, profile, credential.secret.reveal()),
        ):
            self._send(command, what, _SESSION)

    def delete(self, name: str) -> None:
        self._session_key()
        self._erase(self._find(name))

    def rename(self, old: str, new: str) -> None:
        title = self._title(new)
        key, held = self._session_key(), self._held()
        if new in held and new != old:
            raise InputError(f"{self._who} has a credential {new!r} already", hint="choose another name")
        self._send(molto2.title_command(key, self._find(old, held), title), f"rename the credential {old!r}", _SESSION)

    def reset(self) -> None:
        self._session_key()
        for profile, _ in self._held().values():
            self._erase(profile)

    def write_clock(self, seconds: int) -> ClockReading:
        """Of every profile that holds a seed, one after the other: the specification speaks of the clock "on a single
        profile", so a token may keep one for each."""
        key, time = self._session_key(), molto2.TimeOnly(unix_time(seconds)).encode()
        profiles = self._to_be_timed()
        sent_s = self._clock.now()
        for profile in profiles:
            command = sm4_secure.secured(key, sm4_secure.Ins.CONFIG, molto2.CONFIG_P1, profile, time)
            self._send(command, "set its clock", _CLOCK)
        return ClockReading(float(seconds), sent_s, self._clock.now())

    def lock_screen(self, locked: bool) -> None:
        self._session_key()
        what = f"{'' if locked else 'un'}lock its screen"
        response = self._exchange(molto2.screen_command(locked=locked))
        if response.sw == Sw.INS_NOT_SUPPORTED:
            raise NotSupported(
                f"{self._who} cannot {what}: that came with firmware 2.1",
                capability=Capability.SCREEN_LOCK.value,
                hint="keep the token locked away",
            )
        if response.sw != Sw.OK:
            raise refusal(response.sw, self._who, what, _SESSION)

    def factory_reset(self) -> None:
        """Asks for it; the token resets itself when its button is pressed. It wants no key."""
        response = self._exchange(molto2.factory_reset_command())
        if response.sw not in _ACCEPTED:
            raise refusal(response.sw, self._who, "reset itself")
        self._key = self._timed = None

    # Keys

    def _authenticate(self, customer: bytes) -> None:
        """Once. Raises AdminKeyIncorrect with the tries that are left."""
        self._key = None
        key = molto2.sm4_key(customer)
        challenge = self._send(molto2.challenge_command(), "give a challenge")
        command = self._decoded(lambda data: molto2.authenticate_command(key, data), challenge)
        sw = self._exchange(command).sw
        if sw >> 8 == Sw.AUTHENTICATION_FAILED >> 8:
            raise self._wrong_key(tries_left(sw))
        if sw == Sw.AUTHENTICATION_BLOCKED:
            raise self._wrong_key(0)
        if sw != Sw.OK:
            raise refusal(sw, self._who, "accept a customer key")
        self._key = key

    def _wrong_key(self, left: int) -> AdminKeyIncorrect:
        if not left:
            return AdminKeyIncorrect(
                f"{self._who} is locked: too many wrong customer keys",
                attempts_remaining=0,
                hint="only a factory reset frees it, which erases everything: `provision token wipe`",
            )
        return AdminKeyIncorrect(
            f"the customer key is not the one of {self._who}: {left} {'try' if left == 1 else 'tries'} left",
            attempts_remaining=left,
            hint="do not try again unless you know the key: with no try left the token locks itself; "
            "`provision token wipe` wants none, brings the published key back, and erases everything",
        )

    def _session_key(self) -> bytes:
        if self._key is None:
            raise LocalProtocolError("authenticate() comes before an administrator's command")
        return self._key

    def _derived(self, admin_key: Secret) -> bytes:
        """The customer key of this token, of its own and from the organisation's master."""
        if self._serial is None:
            self.info()
        assert self._serial is not None
        return derive(admin_key, _DERIVATION, self._serial, sm4_secure.KEY_SIZE)

    # Profiles

    def _held(self) -> dict[str, tuple[int, molto2.PublicData]]:
        """The profiles that hold a seed, by name and in their order: number and what is public."""
        found = {}
        for number in range(self._profiles):
            data = _public_data(self._link, number, self._who)
            if data is None:
                raise RemoteProtocolError(f"{self._who} does not tell of its profile {number}")
            if data.has_seed:
                found[number] = data
        titles = {number: molto2.decode_title(data.title) for number, data in found.items()}
        common = Counter(titles.values())
        return {
            f"#{number}" if title is None or title[0] == "#" or common[title] > 1 else title: (number, found[number])
            for number, title in titles.items()
        }

    def _to_be_timed(self) -> list[int]:
        if self._timed is None:
            self._timed = [number for number, _ in self._held().values()] or [0]
        return self._timed

    def _find(self, name: str, held: dict[str, tuple[int, molto2.PublicData]] | None = None) -> int:
        held = self._held() if held is None else held
        if name not in held:
            raise NoSuchCredential(
                f"{self._who} has no credential {name!r}", hint="`provision token credentials` lists them"
            )
        return held[name][0]

    def _free(self, taken: set[int]) -> int:
        for number in range(self._profiles):
            if number not in taken:
                return number
        raise StorageFull(
            f"{self._who} is full: {self._profiles} credentials", hint="delete one first: `provision token delete`"
        )

    def _erase(self, profile: int) -> None:
        """Anybody could read the title that stays behind: it is overwritten."""
        self._timed = None
        self._clear(profile)
        self._send(molto2.title_command(self._session_key(), profile, _ERASED_TITLE), "forget a title", _SESSION)

    def _clear(self, profile: int) -> None:
        self._send(molto2.delete_command(profile), f"delete the seed of its profile {profile}", _DELETE)

    def _title(self, name: str) -> str:
        try:
            molto2.encode_title(name)
        except WireError as error:
            raise InputError(f"{name!r} is no title for a Molto2: {error}", hint=_TITLE_HINT) from None
        if name.startswith("#"):
            raise InputError(f"{name!r} is no title for a Molto2: # stands for a profile's number", hint=_TITLE_HINT)
        return name


_TITLE_HINT = "name the credential with --credential"

_SESSION: Reasons = {
    Sw.SECURITY_STATUS_NOT_SATISFIED: ("it has forgotten the customer key", "run the same command again"),
}
_CLOCK: Reasons = {
    **_SESSION,
    Sw.CONDITIONS_NOT_SATISFIED: ("its clock stands still", "its battery is empty: replace the token"),
}
_DELETE: Reasons = {**_SESSION, molto2.NO_SEED: ("it has none", "`provision token credentials` lists what it has")}


def customer_key(key: Secret) -> bytes:
    """As Token2's tool takes it: 32 hexadecimal digits are bytes (--key), anything else is text (--keyascii).

    Raises InputError if there is none.
    """
    raw = key.reveal()
    if not raw:
        raise InputError(
            "a customer key has at least one character", hint="give it as text or as 32 hexadecimal digits"
        )
    if len(raw) == 2 * sm4_secure.KEY_SIZE:
        with contextlib.suppress(ValueError):
            return bytes.fromhex(raw.decode("ascii"))
    return raw


def tries_left(status_word: int) -> int:
    """From 63Cx, as devices answer, or from 63NN, as the specification has it."""
    low = status_word & 0xFF
    return low & 0x0F if low & 0xF0 == Sw.PIN_INCORRECT & 0xF0 else low


def _public_data(link: Link, profile: int, who: str | None = None) -> molto2.PublicData | None:
    """None if the token refuses. Raises WireError, or RemoteProtocolError where `who` is known to be a Molto2."""
    response = asked(link, molto2.public_data_command(profile))
    if response.sw != Sw.OK:
        return None
    if who is None:
        return molto2.PublicData.decode(response.data)
    return decoded(molto2.PublicData.decode, response.data, who)


def _info(link: Link) -> TokenInfo:
    who = f"the token at {link.address}"
    response = asked(link, molto2.info_command())
    if response.sw != Sw.OK:
        raise refusal(response.sw, who, "tell who it is")
    info = decoded(sm4_secure.Info.decode, response.data, who)
    is_second = _public_data(link, molto2.PROFILES - 1, who) is not None
    return TokenInfo(
        family=_FAMILY,
        serial=info.serial,
        model=_MODEL if is_second else _FIRST_MODEL,
        firmware="",  # it does not tell
        label="",
        capabilities=_CAPABILITIES,
        clock_kind=ClockKind.FREE,
        pin_state=PinState.UNSET,
        attempts_remaining=None,
        factory_keys=None,  # to find out would cost a try
        credentials_used=None,  # to count them takes a question for each profile
        credentials_max=molto2.PROFILES if is_second else molto2.FIRST_PROFILES,
        recognised=is_second,
    )


def _credential(name: str, data: molto2.PublicData) -> CredentialInfo:
    known = data.hash in ALGORITHMS and data.digits in molto2.DIGITS and data.time_step_s in sm4_secure.TIME_STEPS
    if not known:
        raise RemoteProtocolError(
            f"the credential {name!r} has a hash {data.hash}, {data.digits} digits and steps of {data.time_step_s} s, "
            "which no Molto2 has"
        )
    parameters = OtpParameters(
        algorithm=ALGORITHMS[HashKind(data.hash)], digits=data.digits, time_step_s=data.time_step_s
    )
    return CredentialInfo(name, parameters, own_clock=True, pin=False, touch=False)
