"""What a token should hold, without flash, channels or cryptography."""

from __future__ import annotations

import copy
import hmac
from dataclasses import dataclass, field

from firmware_sim.core.token import Token
from provision.wire import globalplatform, reference_oath, scp03
from provision.wire.oath import OathKind
from provision.wire.reference_oath import Flag


@dataclass
class ModelCredential:
    put: reference_oath.Put
    counter: int

    @property
    def own_clock(self) -> bool:
        return self.put.timing is not None and Flag.OWN_CLOCK in self.put.timing.flags

    @property
    def host_gives_the_time(self) -> bool:
        return self.put.kind is OathKind.TOTP and not self.own_clock

    @property
    def needs_pin(self) -> bool:
        return self.put.timing is not None and Flag.PIN in self.put.timing.flags

    def check_value(self, nonce: bytes) -> bytes:
        return hmac.digest(self.put.secret, b"check" + nonce, "sha256")[: reference_oath.CHECK_VALUE_SIZE]

    def value(self, moving_factor: int) -> int:
        """RFC 4226's Snum."""
        digest = hmac.digest(self.put.secret, moving_factor.to_bytes(8, "big"), self.put.hash.name)
        offset = digest[-1] & 15
        return int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF


@dataclass
class Model:
    """What a token should hold: nothing of it is lost with the power."""

    credentials: dict[str, ModelCredential] = field(default_factory=dict)
    pin: str | None = None
    attempts: int = reference_oath.PIN_ATTEMPTS
    label: str = ""
    keys: scp03.KeySet = scp03.FACTORY_KEYS
    kvn: int = globalplatform.FACTORY_KVN

    def charged(self) -> Model:
        """The state in the middle of a PIN's comparison."""
        model = copy.deepcopy(self)
        model.attempts -= 1
        return model

    def visible(self) -> object:
        """What `Token.inspect` should tell."""
        pin = "unset" if self.pin is None else "set" if self.attempts else "blocked"
        return (
            [
                (name, c.put.kind.name.lower(), c.put.hash.name, c.put.digits, c.own_clock, c.needs_pin)
                + ((c.counter,) if c.put.kind is OathKind.HOTP else (None,))
                for name, c in self.credentials.items()
            ],
            pin,
            None if self.pin is None else self.attempts,
            self.label,
            self.kvn,
        )


def visible(token: Token) -> object:
    view = token.inspect()
    return (
        [
            (c["name"], c["type"], c["algorithm"], c["digits"], c["own_clock"], c["pin"], c["counter"])
            for c in view["credentials"]
        ],
        view["pin"],
        view["attempts_remaining"],
        view["label"],
        view["key_version"],
    )
