"""Jobs that a crash left in the middle, and what an administrator does behind their back."""

from __future__ import annotations

import pytest

from provision.model import Secret
from provision.station.program import Phase

PIN, WRONG_PIN = Secret(b"123456"), Secret(b"654321")
MASTER, OTHER_MASTER = Secret(bytes(range(32))), Secret(bytes(32))
SEED, OTHER_SEED = Secret(b"12345678901234567890"), Secret(b"09876543210987654321")


class Killed(BaseException):
    pass


def stop_after(step):
    def observer(at, phase, note):
        if (at, phase) == (step, Phase.AFTER):
            raise Killed

    return observer


def begun(world, step, **job):
    """Leave the token where a run stopped after `step`."""
    with pytest.raises(Killed):
        world.run(world.job(**job), observer=stop_after(step))


def as_administrator(world, act):
    with world.session() as session:
        info = session.info()
        session.authenticate(None if info.factory_keys else MASTER)
        act(session)
