"""Drives the reference token: OATH applet and management applet of docs/PROTOCOL.md.

**The order of things.** The token forgets PIN and secure channel at every SELECT, and this session selects whenever a
method needs the other applet:

    OATH         credentials, calculate, put, delete, rename, reset, check_value, set_pin, change_pin, verify_pin
    management   info, read_clock, write_clock, set_label, unblock, change_admin_key, factory_reset

The secure channel is opened again by itself (`authenticate` keeps the keys until the session ends). The PIN is not:
it costs an attempt, so only `verify_pin` presents it. Do what management has to do first, then `verify_pin`, then
`calculate`; a management method between them costs the PIN mark, and `calculate` then raises PinRequired.

A link error loses all three as well; the next method selects and authenticates anew.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from provision.clock import Clock
from provision.errors import (
    AdminKeyIncorrect,
    InputError,
    LinkError,
    LocalProtocolError,
    NotSupported,
    RemoteProtocolError,
)
from provision.families.applets import decoded, select, transmit
from provision.families.identities import USB_IDENTITIES
from provision.families.oath_values import credential_info, encoded, put_message, stored_forms
from provision.families.refusal import Reasons, refusal
from provision.links.link import Link
from provision.model import (
    Capability,
    ClockKind,
    ClockReading,
    Code,
    CredentialInfo,
    NewCredential,
    OtpParameters,
    PinState,
    Secret,
    TokenInfo,
)
from provision.wire import oath, reference, reference_oath
from provision.wire.apdu import (
    CLA_PLAIN,
    MAX_SHORT,
    Command,
    Response,
    Sw,
)
from provision.wire.framing import MAX_PAYLOAD
from provision.wire.globalplatform import CHALLENGE_SIZE, FACTORY_KVN
from provision.wire.reference_oath import ChangePin, Pin

if TYPE_CHECKING:  # the secure channel loads `cryptography`, which only an administrator's command needs
    from provision.families.secure_channel import SecureChannel
    from provision.wire.scp03 import KeySet

_FAMILY = "reference"
_MAX_REPLY = MAX_PAYLOAD - 2  # an Le: what fits a frame beside the status word
_CAPABILITIES = frozenset(Capability) - {
    Capability.OWN_KEY,
    Capability.KEYLESS_RESET,
    Capability.READ_LOCK,
    Capability.SCREEN_LOCK,
    Capability.BUTTON_CONFIRMS,
}
_PIN_STATE = {
    reference.PinStatus.UNSET: PinState.UNSET,
    reference.PinStatus.SET: PinState.LOCKED,  # GET INFO comes after a SELECT, so nobody is verified
    reference.PinStatus.BLOCKED: PinState.BLOCKED,
}
_T = TypeVar("_T")


class ReferenceDriver:
    name = _FAMILY
    usb = USB_IDENTITIES[_FAMILY]

    def probe(self, link: Link) -> TokenInfo | None:
        if transmit(link, select(reference.MANAGEMENT_AID)).sw != Sw.OK:
            return None
        reply = transmit(link, _get_info())
        return _token_info(decoded(reference.Info.decode, reply.data, link.address)) if reply.sw == Sw.OK else None

    def open(self, link: Link, clock: Clock, randbytes: Callable[[int], bytes]) -> ReferenceSession:
        return ReferenceSession(link, clock, randbytes)


DRIVER = ReferenceDriver()


class ReferenceSession:
    """A Session (families/driver.py). `randbytes` gives the challenges of the secure channel and of CHECK VALUE."""

    def __init__(self, link: Link, clock: Clock, randbytes: Callable[[int], bytes]) -> None:
        self._link = link
        self._clock = clock
        self._randbytes = randbytes
        self._who = f"the token at {link.address}"
        self._serial: str | None = None
        self._selected: bytes | None = None
        self._channel: SecureChannel | None = None
        self._keys: KeySet | None = None

    # What a token says to anyone

    def info(self) -> TokenInfo:
        data = self._plain(reference.MANAGEMENT_AID, _get_info(), "tell who it is")
        info = _token_info(decoded(reference.Info.decode, data, self._who))
        self._serial = info.serial
        self._who = f"token {info.serial}"
        return info

    def credentials(self) -> Sequence[CredentialInfo]:
        command = Command(CLA_PLAIN, oath.Ins.LIST, 0, 0, b"", _MAX_REPLY)
        listing = decoded(oath.Listing.decode, self._plain(oath.OATH_AID, command, "list credentials"), self._who)
        return [credential_info(self._record(name)) for _, _, name in listing.entries]

    def calculate(self, name: str, *, step: int | None = None) -> Code:
        if step is not None and not 0 <= step < 1 << 64:
            raise InputError(f"step {step} is not a step of TOTP (0 to 2^64-1)")
        data = encoded(oath.Calculate(name, step).encode)
        command = Command(CLA_PLAIN, oath.Ins.CALCULATE, 0, 1, data, MAX_SHORT)
        reply = decoded(
            reference_oath.CalculateReply.decode,
            self._plain(oath.OATH_AID, command, f"give a code of {name!r}", _CALCULATE),
            self._who,
        )
        time_us = reply.device_time_us
        return Code(reply.code, None if time_us is None else time_us / 1e6)

    # The PIN

    def set_pin(self, pin: Secret) -> None:
        self._pin_command(oath.Ins.SET_PIN, Pin(pin.reveal()), "set its PIN", _SET_PIN)

    def verify_pin(self, pin: Secret) -> None:
        self._pin_command(oath.Ins.VERIFY_PIN, Pin(pin.reveal()), "accept the PIN", _PIN)

    def change_pin(self, pin: Secret, new_pin: Secret) -> None:
        both = ChangePin(pin.reveal(), new_pin.reveal())
        self._pin_command(oath.Ins.CHANGE_PIN, both, "change its PIN", _PIN)

    def unblock(self, new_pin: Secret | None) -> None:
        if new_pin is None:
            p2, data = reference.KEEP_PIN_P2, b""
        else:
            encoded(Pin(new_pin.reveal()).encode)
            p2, data = reference.NEW_PIN_P2, new_pin.reveal()
        command = Command(CLA_PLAIN, reference.Ins.RESET_RETRY_COUNTER, 0, p2, data)
        self._secured(reference.MANAGEMENT_AID, command, "unblock its PIN", _PIN)

    # The administrator

    def authenticate(self, admin_key: Secret | None) -> None:
        from provision.wire.scp03 import FACTORY_KEYS

        keys = FACTORY_KEYS if admin_key is None else self._derived(admin_key)
        self._keys, self._channel = keys, None
        try:
            self._open_channel(self._selected or oath.OATH_AID)
        except AdminKeyIncorrect:
            self._keys = None
            raise

    def authenticate_own(self, key: Secret) -> None:
        raise NotSupported(
            "a reference token's keys are derived from the organisation's master key: it has no password of its own",
            capability=Capability.OWN_KEY.value,
            hint="give the master key with --admin-key-file",
        )

    def change_admin_key(self, admin_key: Secret) -> None:
        from provision.families.secure_channel import FIRST_KVN
        from provision.wire import scp03

        new = self._derived(admin_key)
        keys, channel = self._open_channel(reference.MANAGEMENT_AID)
        data = scp03.encode_put_key(FIRST_KVN, new, keys.dek)
        command = Command(CLA_PLAIN, reference.Ins.PUT_KEY, channel.kvn, 0x81, data)
        receipt = self._secured(reference.MANAGEMENT_AID, command, "change its administrator key")
        if not hmac.compare_digest(receipt, scp03.put_key_receipt(FIRST_KVN, new)):
            raise RemoteProtocolError(f"{self._who} confirmed other keys than it was given")
        self._keys = new

    def require_storable(self, credential: NewCredential) -> None:
        encoded(put_message(credential).encode)

    def assume(self, parameters: OtpParameters) -> None:
        """It lists its credentials."""

    def put(self, credential: NewCredential) -> None:
        command = Command(CLA_PLAIN, oath.Ins.PUT, 0, 0, encoded(put_message(credential).encode))
        self._secured(oath.OATH_AID, command, f"store the credential {credential.name!r}")

    def delete(self, name: str) -> None:
        command = Command(CLA_PLAIN, oath.Ins.DELETE, 0, 0, encoded(oath.Name(name).encode))
        self._secured(oath.OATH_AID, command, f"delete the credential {name!r}")

    def rename(self, old: str, new: str) -> None:
        command = Command(CLA_PLAIN, oath.Ins.RENAME, 0, 0, encoded(oath.Rename(old, new).encode))
        self._secured(oath.OATH_AID, command, f"rename the credential {old!r}", _rename_reasons(new))

    def reset(self) -> None:
        command = Command(CLA_PLAIN, oath.Ins.RESET, *oath.RESET_P1_P2)
        self._secured(oath.OATH_AID, command, "erase its credentials")

    def check_value(self, name: str, secret: Secret) -> bool | None:
        nonce = self._randbytes(reference_oath.CHECK_NONCE_SIZE)
        data = encoded(reference_oath.CheckValue(name, nonce).encode)
        command = Command(CLA_PLAIN, oath.Ins.CHECK_VALUE, 0, 0, data)
        reply = self._secured(oath.OATH_AID, command, f"check the credential {name!r}")
        if not reply:
            return None
        # Which of them it is depends on the credential's hash, and whatever told that would come without MAC.
        matches = [hmac.compare_digest(reply, _check_reply(key, nonce)) for key in stored_forms(secret.reveal())]
        return any(matches)

    def set_label(self, label: str) -> None:
        data = encoded(lambda: reference.encode_label(label))
        self._secured(
            reference.MANAGEMENT_AID, Command(CLA_PLAIN, reference.Ins.SET_LABEL, 0, 0, data), "change its name"
        )

    def lock_screen(self, locked: bool) -> None:
        raise NotSupported(
            "a reference token guards its codes with a PIN: its screen has no lock",
            capability=Capability.SCREEN_LOCK.value,
            hint="program its credential with a PIN",
        )

    def factory_reset(self) -> None:
        command = Command(CLA_PLAIN, reference.Ins.FACTORY_RESET, *reference.FACTORY_RESET_P1_P2)
        self._secured(reference.MANAGEMENT_AID, command, "reset itself")
        self._selected = self._channel = self._keys = None

    # The clock. Once authenticated its readings come through the secure channel, so that nobody on the wire can
    # make a token look slow; and a reading before write_clock opens the channel that write_clock then finds open.

    def read_clock(self) -> ClockReading:
        command = Command(CLA_PLAIN, reference.Ins.GET_TIME, 0, 0, b"", MAX_SHORT)
        send: Callable[[bytes, Command, str, Reasons], bytes]
        if self._keys is None:
            self._select(reference.MANAGEMENT_AID)
            send = self._plain
        else:
            self._open_channel(reference.MANAGEMENT_AID)
            send = self._secured
        sent_s = self._clock.now()
        data = send(reference.MANAGEMENT_AID, command, "tell its time", _CLOCK)
        received_s = self._clock.now()
        time = decoded(reference.DeviceTime.decode, data, self._who)
        return ClockReading(time.microseconds / 1e6, sent_s, received_s)

    def write_clock(self, seconds: int) -> ClockReading:
        if not 0 <= seconds < 1 << 40:
            raise InputError(f"{seconds} is not a Unix time in seconds")
        command = Command(CLA_PLAIN, reference.Ins.SET_TIME, 0, 0, reference.SetTime(seconds).encode())
        self._open_channel(reference.MANAGEMENT_AID)
        sent_s = self._clock.now()
        self._secured(reference.MANAGEMENT_AID, command, "set its clock", _CLOCK)
        return ClockReading(float(seconds), sent_s, self._clock.now())

    # Between the methods and the wire

    def _record(self, name: str) -> reference_oath.CredentialRecord:
        command = Command(CLA_PLAIN, oath.Ins.GET_CREDENTIAL, 0, 0, encoded(oath.Name(name).encode), MAX_SHORT)
        data = self._plain(oath.OATH_AID, command, f"describe the credential {name!r}")
        return decoded(reference_oath.CredentialRecord.decode, data, self._who)

    def _pin_command(
        self, ins: oath.Ins, pins: reference_oath.Pin | reference_oath.ChangePin, what: str, reasons: Reasons
    ) -> None:
        self._plain(oath.OATH_AID, Command(CLA_PLAIN, ins, 0, 0, encoded(pins.encode)), what, reasons)

    def _derived(self, admin_key: Secret) -> KeySet:
        from provision.families.secure_channel import derive_keys

        if self._serial is None:
            self.info()
        assert self._serial is not None
        return derive_keys(admin_key, self._serial)

    def _select(self, aid: bytes) -> None:
        if self._selected == aid:
            return
        self._selected = self._channel = None
        response = self._exchange(select(aid))
        if response.sw != Sw.OK:
            raise refusal(response.sw, self._who, "select its applet")
        self._selected = aid

    def _open_channel(self, aid: bytes) -> tuple[KeySet, SecureChannel]:
        from provision.families.secure_channel import SecureChannel
        from provision.wire.scp03 import FACTORY_KEYS

        if self._keys is None:
            raise LocalProtocolError("authenticate() comes before an administrator's command")
        self._select(aid)
        if self._channel is None:
            self._channel = SecureChannel(
                self._exchange,
                self._keys,
                self._randbytes(CHALLENGE_SIZE),
                factory=self._keys == FACTORY_KEYS,
                who=self._who,
            )
        return self._keys, self._channel

    def _plain(self, aid: bytes, command: Command, what: str, reasons: Reasons | None = None) -> bytes:
        """Send a command; the data of its reply. Raises what its status word means."""
        self._select(aid)
        response = self._exchange(command)
        if response.sw != Sw.OK:
            raise refusal(response.sw, self._who, what, reasons)
        return response.data

    def _secured(self, aid: bytes, command: Command, what: str, reasons: Reasons | None = None) -> bytes:
        """As _plain, inside the secure channel."""
        _, channel = self._open_channel(aid)
        # Dropped until the answer is known to be good: a channel whose two ends disagree is of no more use.
        self._channel = None
        response = channel.unwrap(self._exchange(channel.wrap(command._replace(le=MAX_SHORT))))
        if response.sw != Sw.INCORRECT_SM_DATA:
            self._channel = channel
        if response.sw != Sw.OK:
            raise refusal(response.sw, self._who, what, reasons)
        return response.data

    def _exchange(self, command: Command) -> Response:
        try:
            return transmit(self._link, command)
        except LinkError:
            self._selected = self._channel = None
            raise


def _check_reply(key: bytes, nonce: bytes) -> bytes:
    mac = hmac.digest(key.ljust(oath.MIN_SECRET, b"\0"), b"check" + nonce, "sha256")
    return bytes((oath.Tag.CHECK, reference_oath.CHECK_VALUE_SIZE)) + mac[: reference_oath.CHECK_VALUE_SIZE]


_NO_PIN = ("no PIN is set", "set one with `provision token set-pin`")
_PIN: Reasons = {Sw.CONDITIONS_NOT_SATISFIED: _NO_PIN}
_SET_PIN: Reasons = {
    Sw.CONDITIONS_NOT_SATISFIED: ("a PIN is set already", "change it with `provision token change-pin`"),
}
_CLOCK: Reasons = {
    Sw.CONDITIONS_NOT_SATISFIED: ("its clock stands still", "its battery is empty: replace the token"),
}
_CALCULATE: Reasons = {
    Sw.CONDITIONS_NOT_SATISFIED: (
        "nobody touched it in time, its clock stands still, or the credential takes its time from elsewhere",
        (
            "touch the button when the token asks; a clock that stands still starts with `provision token set-time`; "
            "`provision token credentials` tells whose clock a credential uses"
        ),
    ),
}


def _rename_reasons(new: str) -> Reasons:
    return {Sw.CONDITIONS_NOT_SATISFIED: (f"it has a credential named {new!r} already", "choose another name")}


def _get_info() -> Command:
    return Command(CLA_PLAIN, reference.Ins.GET_INFO, 0, 0, b"", MAX_SHORT)


def _token_info(info: reference.Info) -> TokenInfo:
    return TokenInfo(
        family=_FAMILY,
        serial=info.serial,
        model=info.model,
        firmware=".".join(map(str, info.firmware)),
        label=info.label,
        capabilities=_CAPABILITIES,
        clock_kind=ClockKind.FREE,
        pin_state=_PIN_STATE[info.pin_status],
        attempts_remaining=None if info.pin_status is reference.PinStatus.UNSET else info.attempts_remaining,
        factory_keys=info.key_version == FACTORY_KVN,
        credentials_used=info.credentials_used,
        credentials_max=info.credentials_max,
    )
