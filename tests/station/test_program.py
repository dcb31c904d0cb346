"""`program` over a simulated token and an embedded server: what it does, and what it never does."""

from __future__ import annotations

import base64

import pytest

from provision.errors import (
    LedgerError,
    OutOfWindow,
    PinIncorrect,
    Quarantined,
    SeedAuthentication,
    StorageFull,
    UsageError,
)
from provision.model import Algorithm, NewCredential, OtpParameters, Secret
from provision.station import ledger_file
from provision.station.job import Escrow, SeedOrigin
from provision.station.lock import token_lock
from provision.station.program import Phase
from provision.station.states import State
from tests.station.begun import MASTER, OTHER_SEED, PIN, SEED, WRONG_PIN, as_administrator, begun


def test_a_token_out_of_its_box_becomes_a_second_factor(world):
    seen = []
    outcome = world.run(observer=lambda step, phase, note: seen.append((step, phase)))
    assert seen == [
        (step, phase)
        for step in State
        if step not in (State.QUARANTINED, State.RETIRING, State.RETIRED)
        for phase in Phase
    ]
    assert outcome.entry.state is State.DONE
    assert not outcome.already_done
    assert (world.pins_asked, world.passphrases_asked) == (1, 0)
    [device] = world.devices()
    assert (device.user, device.name, device.serial) == ("alice", "desk token", "HT000001")
    assert device.device_id == outcome.entry.device_id
    world.clock.advance(30)
    assert world.login(world.code()).device_id == device.device_id


@pytest.mark.parametrize(
    "parameters",
    [
        OtpParameters(algorithm=Algorithm.SHA256, digits=8, time_step_s=60),
        OtpParameters(algorithm=Algorithm.SHA512, digits=7, time_step_s=3600, t0_s=1_700_000_000),
    ],
)
def test_other_parameters_hold_on_both_sides(world, parameters):
    world.run(world.job(parameters=parameters))
    world.clock.advance(parameters.time_step_s)
    assert world.devices()[0].parameters == parameters
    world.login(world.code())


def test_without_pin_nobody_asks_for_one(make_world):
    world = make_world(pin=False)
    world.run(world.job(pin=False))
    assert world.pins_asked == 0


def test_a_touch_is_demanded_once(world):
    touches = []
    world.run(world.job(touch=True), wrap=lambda link: _Pressed(link, world, touches))
    assert len(touches) == 1


class _Pressed:
    """A link beside which somebody presses the button whenever a code is awaited."""

    def __init__(self, link, world, touches):
        self.link, self.world, self.touches = link, world, touches

    def __getattr__(self, name):
        return getattr(self.link, name)

    def exchange(self, command):
        if command[1] != 0xA2:
            return self.link.exchange(command)
        self.touches.append(command)
        poll = self.world.device.poll
        self.world.device.poll = lambda: (self.world.token.press_button(), poll())[1]
        try:
            return self.link.exchange(command)
        finally:
            self.world.device.poll = poll


def test_what_is_done_is_said_to_be_done(world):
    world.run()
    before = world.entry()
    assert world.run().already_done
    assert world.run(world.job(), admin_key=None).already_done
    assert world.entry() == before


def test_done_with_the_seed_that_was_given_again(world):
    world.run(world.job(seed=SEED, origin=SeedOrigin.IMPORTED))
    assert world.run(world.job(seed=SEED, origin=SeedOrigin.IMPORTED)).already_done
    with pytest.raises(UsageError, match="another seed"):
        world.run(world.job(seed=OTHER_SEED, origin=SeedOrigin.IMPORTED))


@pytest.mark.parametrize("step", [State.WRITTEN, State.DONE])
@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("user", {"user": "bob"}),
        ("name", {"name": "other token"}),
        ("credential", {"credential": "x"}),
        ("server", {"server": "embedded:/elsewhere"}),
        ("digits", {"parameters": OtpParameters(digits=8)}),
        ("time_step_s", {"parameters": OtpParameters(time_step_s=60)}),
        ("algorithm", {"parameters": OtpParameters(algorithm=Algorithm.SHA512)}),
        ("pin", {"pin": False}),
        ("touch", {"touch": True}),
        ("escrow", {"escrow": Escrow.DIAGNOSE}),
        ("origin", {"seed": SEED, "origin": SeedOrigin.IMPORTED}),
    ],
)
def test_another_job_for_the_same_token_is_refused_by_the_field(world, step, field, change):
    begun(world, step)
    with pytest.raises(UsageError, match=f"{field}: ") as refused:
        world.run(world.job(**change))
    assert ("ledger resume" in str(refused.value)) is (step is not State.DONE)  # where there is nothing to resume
    world.run()


def test_another_seed_for_a_sealed_job_is_refused(world):
    begun(world, State.SEALED, seed=SEED, origin=SeedOrigin.IMPORTED)
    with pytest.raises(UsageError, match="another seed"):
        world.run(world.job(seed=OTHER_SEED, origin=SeedOrigin.IMPORTED))
    world.run(world.job(seed=SEED, origin=SeedOrigin.IMPORTED))


def test_a_seed_that_was_never_sealed_has_to_be_given_again(world):
    begun(world, State.PLANNED, seed=SEED, origin=SeedOrigin.IMPORTED)
    with pytest.raises(UsageError, match="never sealed"):
        world.run(world.job(origin=SeedOrigin.IMPORTED))
    world.run(world.job(seed=SEED, origin=SeedOrigin.IMPORTED))


def test_a_wrong_passphrase_changes_nothing(world, monkeypatch):
    begun(world, State.WRITTEN)
    monkeypatch.setattr(world, "ask_passphrase", lambda: Secret(b"wrong"))
    with pytest.raises(SeedAuthentication):
        world.run()
    assert world.entry().state is State.WRITTEN
    monkeypatch.undo()
    world.run()


def test_a_wrong_pin_is_charged_once_and_the_job_goes_on(world):
    with pytest.raises(PinIncorrect) as caught:
        world.run(pin=lambda: WRONG_PIN)
    assert caught.value.attempts_remaining == 7
    assert world.entry().state is State.TIME_SET
    world.run()


def test_a_full_token(world):
    def fill(session):
        for number in range(64):
            session.put(NewCredential(f"other {number}", OTHER_SEED))

    as_administrator(world, fill)
    with pytest.raises(StorageFull):
        world.run()
    as_administrator(world, lambda session: session.delete("other 1"))
    world.run()


def test_an_unknown_credential_of_that_name_is_not_overwritten(world):
    as_administrator(world, lambda session: session.put(NewCredential("hwtoken:alice", OTHER_SEED)))
    with pytest.raises(Quarantined, match="not overwritten"):
        world.run()
    entry = world.entry()
    assert (entry.state, entry.cause) == (State.QUARANTINED, "credential hwtoken:alice has another seed")
    with world.session() as session:
        session.authenticate(MASTER)
        assert session.check_value("hwtoken:alice", OTHER_SEED) is True
    with pytest.raises(Quarantined, match="in quarantine"):
        world.run()
    assert world.devices() == []


def test_a_credential_exchanged_behind_our_back_is_quarantined(world):
    begun(world, State.VERIFIED)
    as_administrator(world, lambda session: session.put(NewCredential("hwtoken:alice", OTHER_SEED)))
    with pytest.raises(Quarantined):
        world.run()


def test_our_seed_written_by_another_hand_is_quarantined(world):
    mine = world.job(seed=SEED, origin=SeedOrigin.IMPORTED)
    as_administrator(world, lambda session: session.put(NewCredential("hwtoken:alice", SEED, pin=False)))
    with pytest.raises(Quarantined, match="other parameters"):
        world.run(mine)


def test_our_seed_on_the_token_already_is_taken_as_it_is(world):
    mine = world.job(seed=SEED, origin=SeedOrigin.IMPORTED)
    as_administrator(world, lambda session: session.put(NewCredential("hwtoken:alice", SEED)))
    world.run(mine)


def test_a_token_that_computes_wrongly_is_quarantined(world):
    class Wrong:
        def __init__(self, link):
            self.link = link

        def __getattr__(self, name):
            return getattr(self.link, name)

        def exchange(self, command):
            reply = self.link.exchange(command)
            # 76 05 {digits, value u32}: one off
            return reply[:6] + bytes((reply[6] ^ 1,)) + reply[7:] if command[1] == 0xA2 else reply

    with pytest.raises(Quarantined, match="another code"):
        world.run(wrap=Wrong)
    assert world.entry().cause.startswith("wrong code at step ")


def test_a_token_reset_meanwhile_gets_its_seed_again(world):
    begun(world, State.REGISTERED)
    as_administrator(world, lambda session: session.factory_reset())
    with world.session() as session:
        session.set_pin(PIN)
    world.run()
    world.clock.advance(30)
    world.login(world.code())


def test_a_clock_that_ran_away_meanwhile_is_set_again(world):
    begun(world, State.VERIFIED)
    world.clock.advance(86_400)
    world.oscillator.offset_us -= 90_000_000
    world.run()
    assert abs(world.oscillator.offset_us) < 1000


def test_a_clock_that_does_not_keep_what_it_was_given(world):
    def observer(step, phase, note):
        if (step, phase) == (State.TIME_SET, Phase.AFTER):
            world.oscillator.offset_us += 61_000_000

    with pytest.raises(OutOfWindow) as caught:
        world.run(observer=observer)
    assert caught.value.drift_steps == 2
    world.run()


def test_the_sealed_seed_is_destroyed_with_the_last_step(world):
    """In the file and in its log, while the ledger is open: closing it would empty the log anyway."""
    envelopes, on_disk = [], {}

    def observer(step, phase, note):
        if (step, phase) == (State.SEALED, Phase.AFTER):
            envelopes.append(world.entry().sealed)
        if phase is Phase.AFTER:
            files = (path for path in world.path.glob("ledger.sqlite*") if path.is_file())
            on_disk[step] = b"".join(path.read_bytes() for path in files)

    world.run(observer=observer)
    ciphertext = envelopes[0][40:]
    assert ciphertext in on_disk[State.SERVER_VERIFIED]
    assert ciphertext not in on_disk[State.DONE]


def test_escrow_keeps_the_seed_sealed(world):
    world.run(world.job(escrow=Escrow.DIAGNOSE))
    entry = world.entry()
    with world.ledger() as ledger:
        secret = ledger.unseal(entry, world.ask_passphrase())
    with world.session() as session:
        session.authenticate(MASTER)
        assert session.check_value("hwtoken:alice", secret) is True


def test_no_secret_in_the_clear_on_the_disk_or_in_what_is_told(world):
    notes = []
    begun(world, State.SERVER_VERIFIED, seed=SEED, origin=SeedOrigin.IMPORTED)
    world.run(world.job(seed=SEED, origin=SeedOrigin.IMPORTED), observer=lambda step, phase, note: notes.append(note))
    raw = SEED.reveal()
    spelled = [raw, raw.hex().encode(), raw.hex().upper().encode(), base64.b32encode(raw), base64.b64encode(raw)]
    spelled += [str(list(raw)).encode(), PIN.reveal(), MASTER.reveal(), MASTER.reveal().hex().encode()]
    with world.ledger() as ledger:
        told = repr([ledger.entries(), ledger.events(world.entry().uuid), notes]).encode()
    for secret in spelled:
        assert secret not in told
        for path in world.path.iterdir():
            if path.is_file():
                assert secret not in path.read_bytes(), path


def test_a_full_disk_under_the_ledger_loses_nothing(world, monkeypatch):
    begun(world, State.KEYS_CHANGED)
    prepared = ledger_file._prepared

    def cramped(connection):
        prepared(connection)
        connection.execute("PRAGMA max_page_count = 1")  # SQLite takes the present size: not one page more
        connection.execute(
            "CREATE TEMP TRIGGER greedy AFTER INSERT ON main.event BEGIN "
            "UPDATE job SET cause = hex(zeroblob(100000)) WHERE uuid = NEW.uuid; END"
        )
        return connection

    monkeypatch.setattr(ledger_file, "_prepared", cramped)
    with pytest.raises(LedgerError, match="full"):
        world.run()
    monkeypatch.undo()
    assert world.entry().state is State.KEYS_CHANGED
    world.run()
    assert len(world.devices()) == 1


@pytest.mark.parametrize("serial", ["HT000001", "X" * 300])
def test_a_lock_that_cannot_be_kept_is_no_defect(tmp_path, serial):
    """Something else stands where the locks go, or the token calls itself what no file can be called."""
    directory = tmp_path / "locks"
    if len(serial) < 200:
        directory.touch()
    with pytest.raises(LedgerError, match="beside the ledger"), token_lock(directory, serial):
        raise AssertionError("nobody holds a lock that is not there")
