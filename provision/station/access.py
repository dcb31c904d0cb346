"""What opens doors: keys, the token's PIN, the ledger's passphrase, and a person at the token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from provision.model import Secret
from provision.station.person import NOBODY, Person


@dataclass(frozen=True, slots=True)
class Access:
    """`admin_key`: the organisation's master. `pin` and `passphrase` are asked for if they are needed, before anything
    is changed: the token's PIN, and the passphrase of the ledger's key to go on with a sealed seed. `token_key`: the
    key or password that a token has before it gets the organisation's, if it is not the factory's. `person`: reads
    screens and presses buttons, where a family needs it.
    """

    admin_key: Secret | None
    pin: Callable[[], Secret]
    passphrase: Callable[[], Secret]
    token_key: Secret | None = None
    person: Person = NOBODY
