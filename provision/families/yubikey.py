"""Drives a YubiKey's OATH applet: YKOATH, a password where others have a PIN and an administrator's keys, no clock.

**The password.** YKOATH knows an access key of 16 bytes, and no attempts to count. The organisation's master gives each
YubiKey its own (`access_key_of`); a person's password becomes one as in Yubico's tools (PBKDF2 over the device id).
While one is set the token tells nothing, not even names, to whoever has not proved it. It forgets the proof at every
SELECT; this session keeps the key until it ends and proves it again by itself, since nothing is spent by that.

**The wire** carries seeds in the clear, as Yubico's tools send them: SCP03 under keys that everybody knows would only
look like secrecy, and a YubiKey's own keys are its security domain's, which is not driven here.

**Names** carry the time step: ykoath_names.py.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from typing import TypeVar

from provision.clock import Clock
from provision.errors import (
    AdminKeyIncorrect,
    InputError,
    LinkError,
    LocalProtocolError,
    NoSuchCredential,
    NotSupported,
    RemoteProtocolError,
    TokenError,
)
from provision.families import ykoath_names as names
from provision.families.applets import decoded, select, transmit
from provision.families.identities import USB_IDENTITIES
from provision.families.oath_values import ALGORITHMS, TYPES, encoded, ykoath_put
from provision.families.refusal import Reasons, refusal
from provision.families.yubikey_access import access_key_of, access_key_of_password, response_to
from provision.families.yubikey_firmware import (
    RENAME_SINCE,
    SHA512_SINCE,
    TOUCH_SINCE,
    Version,
    is_known,
    model_name,
    room,
    text,
)
from provision.families.yubikey_lacks import LackingSession, no_clock, no_pin
from provision.links.link import Link
from provision.model import (
    Algorithm,
    Capability,
    ClockKind,
    Code,
    CredentialInfo,
    NewCredential,
    OathType,
    OtpParameters,
    PinState,
    Secret,
    TokenInfo,
)
from provision.wire import WireError, oath, oath_password, tlv, yubikey
from provision.wire.apdu import CLA_PLAIN, MAX_SHORT, Command, Response, Sw
from provision.wire.oath import OathKind, Tag

_FAMILY = "yubikey"
_CAPABILITIES = frozenset(
    {
        Capability.LIST,
        Capability.CODE_READ,
        Capability.ADMIN_KEY,
        Capability.OWN_KEY,
        Capability.FACTORY_RESET,
        Capability.KEYLESS_RESET,
        Capability.READ_LOCK,
    }
)

_T = TypeVar("_T")


class YubikeyDriver:
    name = _FAMILY
    usb = USB_IDENTITIES[_FAMILY]

    def probe(self, link: Link) -> TokenInfo | None:
        greeting = transmit(link, select(yubikey.MANAGEMENT_AID))
        if greeting.sw != Sw.OK:
            return None
        try:
            yubikey.Greeting.decode(greeting.data)
        except WireError:
            return None
        return YubikeySession(link, _no_challenge).info()

    def open(self, link: Link, clock: Clock, randbytes: Callable[[int], bytes]) -> YubikeySession:
        return YubikeySession(link, randbytes)


def _no_challenge(size: int) -> bytes:
    raise AssertionError("a probe proves nothing")


DRIVER = YubikeyDriver()


class YubikeySession(LackingSession):
    """A Session (families/driver.py). `randbytes` gives the challenges by which the token proves its key to us."""

    def __init__(self, link: Link, randbytes: Callable[[int], bytes]) -> None:
        self._link = link
        self._randbytes = randbytes
        self._who = f"the token at {link.address}"
        self._serial: str | None = None
        self._version: Version | None = None
        self._oath: oath.SelectReply | None = None  # of the OATH applet, while it is selected
        self._unlocked = False
        self._is_administrator = False
        self._access_key: bytes | None = None  # None: the token is taken to have no password

    # What a token says

    def info(self) -> TokenInfo:
        config = self._read_config()
        used = None
        has_password = self._select_oath().challenge is not None
        if not has_password or self._unlocked:
            used = len(self._listing())
        version = self._known_version()
        return TokenInfo(
            family=_FAMILY,
            serial=self._known_serial(),
            model=model_name(version, config),
            firmware=text(version),
            label="",
            capabilities=_CAPABILITIES,
            clock_kind=ClockKind.NONE,
            pin_state=PinState.UNSET,
            attempts_remaining=None,
            factory_keys=not has_password,
            credentials_used=used,
            credentials_max=room(version),
            recognised=is_known(version),
        )

    def credentials(self) -> Sequence[CredentialInfo]:
        """A YubiKey does not tell the counter of a HOTP credential (0 here), nor whether one demands a touch."""
        listing = self._listing()
        command = Command(CLA_PLAIN, oath.Ins.CALCULATE_ALL, 0, 1, oath.AllChallenge(0).encode(), MAX_SHORT)
        answers = decoded(oath.AllAnswers.decode, self._send(command, "describe its credentials"), self._who).answers
        answer_of = {answer.name: answer for answer in answers}
        called = names.called({name: kind for kind, _, name in listing})
        found = []
        for kind, digest, on_token in listing:
            answer = answer_of.get(on_token)
            if answer is None:
                raise RemoteProtocolError(f"{self._who} lists {on_token!r} and says nothing of it")
            name, step_s = called[on_token]
            parameters = OtpParameters(TYPES[kind], ALGORITHMS[digest], answer.digits, step_s)
            touch = answer.tag is Tag.TOUCH_NEEDED
            found.append(CredentialInfo(name, parameters, own_clock=False, pin=False, touch=touch))
        return found

    def calculate(self, name: str, *, step: int | None = None) -> Code:
        if step is not None and not 0 <= step < 1 << 64:
            raise InputError(f"step {step} is not a step of TOTP (0 to 2^64-1)")

        def ask(on_token: str) -> bytes:
            data = encoded(oath.Calculate(on_token, step).encode)
            return self._send(
                Command(CLA_PLAIN, oath.Ins.CALCULATE, 0, 1, data, MAX_SHORT), f"give a code of {name!r}", _CALCULATE
            )

        return Code(decoded(oath.CalculateReply.decode, self._by_name(name, ask), self._who).code)

    # The password

    def authenticate(self, admin_key: Secret | None) -> None:
        self._drop_key()
        if admin_key is None:
            if self._select_oath().challenge is not None:
                raise AdminKeyIncorrect(
                    f"{self._who} has a password",
                    hint="give the organisation's key with --admin-key-file, or the password with --token-key-file",
                )
            self._is_administrator = True
            return
        self._open(access_key_of(admin_key, self._known_serial()), "give the key with which it was programmed")

    def authenticate_own(self, key: Secret) -> None:
        self._drop_key()
        self._open(access_key_of_password(key, self._select_oath().device_id), "type the password again with care")

    def change_admin_key(self, admin_key: Secret) -> None:
        self._require_administrator()
        new = access_key_of(admin_key, self._known_serial())
        challenge = self._randbytes(oath.CHALLENGE_SIZE)
        data = oath_password.SetCode(new, challenge, response_to(new, challenge)).encode()
        self._send(Command(CLA_PLAIN, oath.Ins.SET_CODE, 0, 0, data), "change its password")
        self._access_key = new

    # The administrator

    def require_storable(self, credential: NewCredential) -> None:
        self._to_be_put(credential)

    def assume(self, parameters: OtpParameters) -> None:
        """It lists its credentials."""

    def put(self, credential: NewCredential) -> None:
        self._require_administrator()
        on_token, data = self._to_be_put(credential)
        replaced = self._find(credential.name)
        self._send(Command(CLA_PLAIN, oath.Ins.PUT, 0, 0, data), f"store the credential {credential.name!r}")
        if replaced is not None and replaced != on_token:
            self._delete(replaced, credential.name)  # the same name, with another step in front of it

    def delete(self, name: str) -> None:
        self._require_administrator()
        self._by_name(name, lambda on_token: self._delete(on_token, name))

    def rename(self, old: str, new: str) -> None:
        self._require_administrator()
        self._require_firmware(RENAME_SINCE, "rename credentials", "rename-credential")
        kinds = {name: kind for kind, _, name in self._listing()}
        called = {name: on_token for on_token, (name, _) in names.called(kinds).items()}
        on_token = old if old in kinds else called.get(old)
        encoded(oath.Name(new).encode)
        if on_token is None:
            raise refusal(Sw.NO_SUCH_OBJECT, self._who, f"rename the credential {old!r}")
        if new in called or new in kinds:
            raise TokenError(f"{self._who} has a credential named {new!r} already", hint="choose another name")
        kind = kinds[on_token]
        renamed = names.stored(new, kind, names.told(on_token, kind)[1])
        data = encoded(oath.Rename(on_token, renamed).encode)
        self._send(Command(CLA_PLAIN, oath.Ins.RENAME, 0, 0, data), f"rename the credential {old!r}")

    def reset(self) -> None:
        """One by one: YKOATH's RESET takes the password away, too."""
        self._require_administrator()
        for _, _, on_token in self._listing():
            self._delete(on_token, on_token)

    def factory_reset(self) -> None:
        self._drop_key()
        self._send(Command(CLA_PLAIN, oath.Ins.RESET, *oath.RESET_P1_P2), "reset itself")
        self._oath = None

    # Between the methods and the wire

    def _require_administrator(self) -> None:
        if not self._is_administrator:
            raise LocalProtocolError("authenticate() comes before an administrator's command")

    def _to_be_put(self, credential: NewCredential) -> tuple[str, bytes]:
        """The name on the token, and PUT's data. Raises InputError, NotSupported."""
        parameters = credential.parameters
        if credential.pin:
            raise no_pin()
        if parameters.oath_type is OathType.TOTP:
            if credential.own_clock:
                raise no_clock()
            if parameters.t0_s:
                raise NotSupported(
                    "a YubiKey counts its steps from 1970",
                    capability="t0",
                    hint="use a T0 of 0, as every authenticator app does",
                )
        if parameters.algorithm is Algorithm.SHA512:
            self._require_firmware(SHA512_SINCE, "compute SHA512 codes", "sha512")
        if credential.touch:
            self._require_firmware(TOUCH_SINCE, "demand a touch", "touch")
        kind = OathKind.TOTP if parameters.oath_type is OathType.TOTP else OathKind.HOTP
        on_token = names.stored(credential.name, kind, parameters.time_step_s)
        return on_token, encoded(ykoath_put(credential, on_token).encode)

    def _require_firmware(self, since: Version, what: str, capability: str) -> None:
        mine = self._known_version()
        if mine < since:
            raise NotSupported(
                f"{self._who} has firmware {text(mine)}, which cannot {what}",
                capability=capability,
                hint=f"YubiKeys can since firmware {text(since)}; a YubiKey's firmware is never updated",
            )

    def _read_config(self) -> yubikey.Config:
        self._oath = None
        response = self._exchange(select(yubikey.MANAGEMENT_AID))
        if response.sw != Sw.OK:
            raise refusal(response.sw, self._who, "select its management applet")
        greeting = decoded(yubikey.Greeting.decode, response.data, self._who)
        response = self._exchange(Command(CLA_PLAIN, yubikey.Ins.READ_CONFIG, 0, 0, b"", MAX_SHORT))
        if response.sw != Sw.OK:
            raise refusal(response.sw, self._who, "tell who it is")
        config = decoded(yubikey.Config.decode, response.data, self._who)
        if config.serial is None:
            raise TokenError(
                f"{self._who} does not tell its serial, and nothing can go on record without",
                hint="make it readable: Yubico's `ykman otp settings SLOT` does by default, for a slot that is in use",
            )
        self._version = config.version or greeting.version
        self._serial = str(config.serial)
        self._who = f"token {self._serial}"
        return config

    def _known_serial(self) -> str:
        if self._serial is None:
            self._read_config()
        assert self._serial is not None
        return self._serial

    def _known_version(self) -> Version:
        if self._version is None:
            self._read_config()
        assert self._version is not None
        return self._version

    def _select_oath(self) -> oath.SelectReply:
        """The applet selected, and unlocked if we have the key. Raises AdminKeyIncorrect."""
        if self._oath is None:
            self._unlocked = False
            response = self._exchange(select(oath.OATH_AID))
            if response.sw != Sw.OK:
                raise refusal(response.sw, self._who, "select its OATH applet")
            reply = decoded(oath.SelectReply.decode, response.data, self._who)
            self._oath = reply
            if self._access_key is not None and reply.challenge is not None:
                self._validate(self._access_key, reply.challenge)
        return self._oath

    def _validate(self, key: bytes, challenge: bytes) -> None:
        ours = self._randbytes(oath.CHALLENGE_SIZE)
        data = oath_password.Validate(response_to(key, challenge), ours).encode()
        response = self._exchange(Command(CLA_PLAIN, oath.Ins.VALIDATE, 0, 0, data, MAX_SHORT))
        if response.sw == Sw.WRONG_DATA:
            raise AdminKeyIncorrect(f"the key or password is not the one of {self._who}")
        if response.sw != Sw.OK:
            raise refusal(response.sw, self._who, "accept its password")
        if not hmac.compare_digest(response.data, tlv.encode(Tag.FULL_CODE, response_to(key, ours))):
            raise RemoteProtocolError(f"{self._who} accepted a password that it does not know itself")
        self._unlocked = True

    def _drop_key(self) -> None:
        self._access_key = self._oath = None
        self._is_administrator = self._unlocked = False

    def _open(self, key: bytes, hint: str) -> None:
        challenge = self._select_oath().challenge
        if challenge is None:
            raise AdminKeyIncorrect(
                f"{self._who} has no password yet",
                hint="leave the key away, or give the token one first with `provision token set-admin-key`",
            )
        try:
            self._validate(key, challenge)
        except AdminKeyIncorrect as error:
            self._oath = None  # its challenge is spent
            error.hint = hint
            raise
        self._access_key = key
        self._is_administrator = True

    def _listing(self) -> tuple[tuple[OathKind, oath.HashKind, str], ...]:
        command = Command(CLA_PLAIN, oath.Ins.LIST, 0, 0, b"", MAX_SHORT)
        return decoded(oath.Listing.decode, self._send(command, "list its credentials"), self._who).entries

    def _find(self, name: str) -> str | None:
        """What the token calls the credential that is called `name` here."""
        kinds = {on_token: kind for kind, _, on_token in self._listing()}
        if name in kinds:
            return name
        return next((on_token for on_token, (told, _) in names.called(kinds).items() if told == name), None)

    def _by_name(self, name: str, run: Callable[[str], _T]) -> _T:
        """`run` with the name on the token. Most have their name there, so that is tried first."""
        try:
            return run(name)
        except NoSuchCredential:
            on_token = self._find(name)
            if on_token is None:
                raise
        return run(on_token)

    def _delete(self, on_token: str, name: str) -> bytes:
        data = encoded(oath.Name(on_token).encode)
        return self._send(Command(CLA_PLAIN, oath.Ins.DELETE, 0, 0, data), f"delete the credential {name!r}")

    def _send(self, command: Command, what: str, reasons: Reasons | None = None) -> bytes:
        """Send a command to the OATH applet; the data of its reply. Raises what its status word means."""
        has_password = self._select_oath().challenge is not None
        response = self._exchange(command)
        if response.sw == Sw.SECURITY_STATUS_NOT_SATISFIED and has_password and not self._unlocked:
            raise AdminKeyIncorrect(
                f"{self._who} did not {what}: it wants its password first",
                hint="give the organisation's key with --admin-key-file, or the password with --token-key-file",
            )
        if response.sw != Sw.OK:
            raise refusal(response.sw, self._who, what, reasons)
        return response.data

    def _exchange(self, command: Command) -> Response:
        try:
            return transmit(self._link, command)
        except LinkError:
            self._oath = None
            raise


_CALCULATE: Reasons = {
    Sw.SECURITY_STATUS_NOT_SATISFIED: ("nobody touched it in time", "touch it while it blinks"),
    Sw.CONDITIONS_NOT_SATISFIED: ("its counter is at its end", "give it another seed"),
}
