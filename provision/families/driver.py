"""The seam to a token family: what a driver owes, by capability, and how the family at an address is found."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Protocol

from provision.clock import Clock
from provision.errors import RemoteProtocolError
from provision.families.identities import UsbIdentity
from provision.links.link import Link
from provision.model import ClockReading, Code, CredentialInfo, NewCredential, OtpParameters, Secret, TokenInfo


class Session(Protocol):
    """A conversation with one token, in the order of a token's life.

    Every method raises LinkError, ProtocolError or TokenError. What a family lacks raises NotSupported(capability) with
    a sentence that says why (`a YubiKey has no clock: its host sends the time`).

    always          info, require_storable, put, delete, reset, authenticate
    LIST            credentials, rename; without it a token does not tell what it holds, and wants `assume` before
                    write_clock if that leaves its seed alone
    CODE_READ       calculate; without it a token shows its codes, to people only
    CLOCK_READ      read_clock
    CLOCK_SET       write_clock
    PIN             set_pin, change_pin, verify_pin, unblock
    ADMIN_KEY       change_admin_key
    CHECK_VALUE     check_value
    RENAME_TOKEN    set_label
    FACTORY_RESET   factory_reset
    OWN_KEY         authenticate_own
    SCREEN_LOCK     lock_screen
    KEYLESS_RESET   factory_reset wants no `authenticate` before it
    READ_LOCK       credentials and calculate want it, once the token has no longer its factory keys
    BUTTON_CONFIRMS what change_admin_key and factory_reset ask for happens when its button is pressed, after they
                    returned

    `authenticate` or `authenticate_own` comes before put, delete, rename, reset, write_clock, unblock,
    change_admin_key, check_value, set_label and factory_reset. `verify_pin` stays good for this session; the driver
    never presents a PIN by itself.
    """

    def info(self) -> TokenInfo: ...

    def credentials(self) -> Sequence[CredentialInfo]: ...

    def calculate(self, name: str, *, step: int | None = None) -> Code:
        """The code of a credential: `step` for TOTP whose time the host gives, None for HOTP and own clock."""

    def authenticate(self, admin_key: Secret | None) -> None:
        """Become the administrator. `admin_key`: the organisation's master, from which the driver derives this
        token's own keys; None: the family's published factory keys. Raises AdminKeyIncorrect."""

    def authenticate_own(self, key: Secret) -> None:
        """The same with the token's own key or password: the text that its vendor's tool takes, in UTF-8. Raises
        AdminKeyIncorrect."""

    def change_admin_key(self, admin_key: Secret) -> None: ...

    def require_storable(self, credential: NewCredential) -> None:
        """Raise what `put` would raise for a credential that this family cannot hold. Nothing is sent.

        Raises InputError, NotSupported.
        """

    def put(self, credential: NewCredential) -> None: ...

    def assume(self, parameters: OtpParameters) -> None:
        """What the credential on a token without LIST is. Nothing is sent; a family with LIST does nothing."""

    def delete(self, name: str) -> None: ...

    def rename(self, old: str, new: str) -> None: ...

    def reset(self) -> None:
        """Erase all credentials; PIN and keys stay."""

    def check_value(self, name: str, secret: Secret) -> bool | None:
        """Whether the credential on the token has this secret; None when there is no credential of that name."""

    def read_clock(self) -> ClockReading: ...

    def write_clock(self, seconds: int) -> ClockReading:
        """Make the token's clock go on from `seconds` (whole Unix seconds) at receipt. The reading's device_s is
        `seconds`; sent_s and received_s bracket the instant at which it held."""

    def set_pin(self, pin: Secret) -> None: ...

    def change_pin(self, pin: Secret, new_pin: Secret) -> None: ...

    def verify_pin(self, pin: Secret) -> None: ...

    def unblock(self, new_pin: Secret | None) -> None:
        """Give the attempts back; with `new_pin`, also replace the PIN."""

    def set_label(self, label: str) -> None: ...

    def lock_screen(self, locked: bool) -> None:
        """A locked screen shows no codes."""

    def factory_reset(self) -> None: ...


class Driver(Protocol):
    """One family. `usb`: its entry in families/identities.py. `probe` tells whether the token at `link` is of this
    family, and spends nothing on it."""

    name: str
    usb: tuple[UsbIdentity, ...]

    def probe(self, link: Link) -> TokenInfo | None: ...

    def open(self, link: Link, clock: Clock, randbytes: Callable[[int], bytes]) -> Session: ...


# name -> "module:attribute", asked in this order.
DRIVERS = {
    "reference": "provision.families.reference:DRIVER",
    "yubikey": "provision.families.yubikey:DRIVER",
    "molto2": "provision.families.molto2:DRIVER",  # before token2, whose tokens answer what only a Molto2 understands
    "token2": "provision.families.token2:DRIVER",
}


def load(name: str) -> Driver:
    module, _, attribute = DRIVERS[name].partition(":")
    driver: Driver = getattr(importlib.import_module(module), attribute)
    return driver


def identify(link: Link) -> tuple[Driver, TokenInfo]:
    """The driver of the token at `link`. Raises RemoteProtocolError when no family claims it."""
    for name in DRIVERS:
        driver = load(name)
        if (info := driver.probe(link)) is not None:
            return driver, info
    raise RemoteProtocolError(
        f"the device at {link.address} answers, but is no token of a family known here ({', '.join(DRIVERS)})",
        hint="check the address with `provision list`",
    )
