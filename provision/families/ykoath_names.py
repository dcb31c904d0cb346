"""Where YKOATH keeps a time step: in front of the name. `60/vpn` on the token is `vpn` with steps of 60 s here.

developers.yubico.com/OATH/YKOATH_Protocol.html: a token without clock knows nothing of time; whoever asks for codes
reads the step from the name, and takes 30 s where there is none. HOTP names are what they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from provision.errors import InputError
from provision.wire.oath import OathKind

DEFAULT_STEP_S = 30
MAX_STEP_S = 3600

_STEP = re.compile(r"([0-9]{1,4})/(.+)", re.DOTALL)


def stored(name: str, kind: OathKind, step_s: int) -> str:
    """The name on the token of a credential called `name`. Raises InputError."""
    if kind is OathKind.HOTP:
        return name
    if not 1 <= step_s <= MAX_STEP_S:
        raise InputError(f"a time step of {step_s} s, not in 1..{MAX_STEP_S}")
    if told(name, kind) != (name, DEFAULT_STEP_S):
        raise InputError(
            f"the name {name!r} begins like a time step, and would be read as one",
            hint="choose a name that does not begin with a number and a slash",
        )
    return name if step_s == DEFAULT_STEP_S else f"{step_s}/{name}"


def told(on_token: str, kind: OathKind) -> tuple[str, int]:
    """The name and the step that a name on the token says."""
    prefix = _STEP.fullmatch(on_token) if kind is OathKind.TOTP else None
    if prefix is None or not 1 <= int(prefix[1]) <= MAX_STEP_S:
        return on_token, DEFAULT_STEP_S
    return prefix[2], int(prefix[1])


def called(kinds: Mapping[str, OathKind]) -> dict[str, tuple[str, int]]:
    """What to call each credential of a token, and its step, by its name there.

    Where two would be called the same, only the one whose name that is gets it; the other keeps its prefix.
    """
    plain = {name: told(name, kind) for name, kind in kinds.items()}
    taken: dict[str, int] = {}
    for name, _ in plain.values():
        taken[name] = taken.get(name, 0) + 1
    return {
        on_token: (name if taken[name] == 1 and (name == on_token or name not in kinds) else on_token, step_s)
        for on_token, (name, step_s) in plain.items()
    }
