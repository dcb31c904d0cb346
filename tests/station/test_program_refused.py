"""What keeps `program` from its end is found out before anything is on record, and before a PIN is asked for."""

from __future__ import annotations

from uuid import uuid4

import pytest

from provision.errors import (
    AdminKeyIncorrect,
    AlreadyRegistered,
    Busy,
    InputError,
    PinBlocked,
    PinIncorrect,
    PinRequired,
    Rejected,
    SeedError,
    UsageError,
)
from provision.model import OathType, OtpParameters, Secret
from provision.servers.backend import Registration, ServerCapability
from provision.station.job import SeedOrigin
from provision.station.lock import token_lock
from tests.station.begun import OTHER_MASTER, OTHER_SEED, SEED, WRONG_PIN, as_administrator


def refused_without_a_trace(world, kind, match, **options):
    job = options.pop("job", None)
    with pytest.raises(kind, match=match):
        world.run(job, **options)
    assert world.entry() is None
    assert world.pins_asked == 0


def test_a_token_without_pin_is_refused(make_world):
    refused_without_a_trace(make_world(pin=False), PinRequired, "no PIN yet")


def test_a_blocked_token_is_refused(world):
    with world.session() as session:
        for _ in range(8):
            with pytest.raises((PinIncorrect, PinBlocked)):
                session.verify_pin(WRONG_PIN)
    refused_without_a_trace(world, PinBlocked, "blocked")


def test_factory_keys_are_not_kept(world):
    refused_without_a_trace(world, UsageError, "factory keys", admin_key=None)


def test_another_organisations_token_is_refused(world):
    as_administrator(world, lambda session: session.change_admin_key(OTHER_MASTER))
    refused_without_a_trace(world, AdminKeyIncorrect, "HT000001")


def test_a_server_that_cannot_check_is_refused(world):
    class NoCheck:
        capabilities = frozenset(ServerCapability) - {ServerCapability.CHECK}

    refused_without_a_trace(world, UsageError, "cannot check", wrap_server=lambda server: NoCheck())


def test_a_name_that_the_user_has_already_is_refused(world):
    with world.server() as server:
        other = Registration(uuid4(), "alice", "Desk Token", None, OTHER_SEED, OtpParameters())
        server.register(other)
    refused_without_a_trace(world, AlreadyRegistered, "desk token")


def test_a_seed_that_the_server_gave_must_be_known_there(world):
    job = world.job(seed=SEED, origin=SeedOrigin.SERVER)
    refused_without_a_trace(world, Rejected, "no device named", job=job)


def test_a_seed_that_the_server_gave_with_other_parameters_is_refused(world):
    with world.server() as server:
        server.register(Registration(uuid4(), "alice", "desk token", None, SEED, OtpParameters(digits=8)))
    job = world.job(seed=SEED, origin=SeedOrigin.SERVER)
    refused_without_a_trace(world, UsageError, "other parameters", job=job)


def test_two_programs_on_one_token(world):
    with world.ledger() as ledger, token_lock(ledger.locks, "HT000001"):
        refused_without_a_trace(world, Busy, "another provision process")


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (InputError, {"user": ""}),
        (InputError, {"user": "a\nb"}),
        (InputError, {"name": "a\N{RIGHT-TO-LEFT OVERRIDE}b"}),
        (InputError, {"name": " desk"}),
        (InputError, {"name": "\N{SNOWMAN}" * 22}),
        (InputError, {"name": "e\N{COMBINING ACUTE ACCENT}"}),
        (InputError, {"user": "\ud800"}),
        (InputError, {"parameters": OtpParameters(digits=9)}),
        (InputError, {"parameters": OtpParameters(time_step_s=0)}),
        (InputError, {"parameters": OtpParameters(t0_s=-1)}),
        (InputError, {"parameters": OtpParameters(oath_type=OathType.HOTP)}),
        (SeedError, {"seed": Secret(bytes(13))}),
    ],
)
def test_a_job_that_no_token_or_server_would_take_is_not_made(world, kind, change):
    with pytest.raises(kind):
        world.job(**change)


def test_a_short_seed_needs_leave(world):
    world.run(world.job(seed=Secret(b"0123456789"), origin=SeedOrigin.IMPORTED, allow_short_seed=True))
    world.clock.advance(30)
    world.login(world.code())
