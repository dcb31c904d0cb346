"""Who may play the token in the demo, and what that changes in the story."""

from __future__ import annotations

from provision.cli.demo_stage import Cast
from provision.errors import UsageError

_CASTS = (
    # The first thing that programming does after WRITTEN is to read the clock.
    Cast("reference", None, pin=True, own_keys=True, shows=False, rotates=False, pulled_after="get-time"),
    Cast("molto2", None, pin=False, own_keys=True, shows=True, rotates=False, pulled_after="seed"),
    Cast("token2", "OTPC-P2-i", pin=False, own_keys=False, shows=True, rotates=True, pulled_after="seed"),
    Cast("token2", "C302-i", pin=False, own_keys=False, shows=True, rotates=False, pulled_after="seed"),
)
FAMILIES = tuple(dict.fromkeys(cast.family for cast in _CASTS))


def cast_of(family: str, model: str | None) -> Cast:
    """Raises UsageError."""
    for cast in _CASTS:
        if cast.family == family and model in (None, cast.model):
            return cast
    models = ", ".join(cast.model for cast in _CASTS if cast.family == family and cast.model)
    raise UsageError(f"no {family} {model} plays in the demo", hint=f"there are: {models}" if models else None)
