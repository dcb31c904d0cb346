"""The ledger: its one table of states, its file, and a state machine against a plain model."""

from __future__ import annotations

import itertools
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from provision.clock import ManualClock
from provision.errors import Busy, InputError, LedgerError, SeedAuthentication
from provision.model import Algorithm, Capability, ClockKind, OtpParameters, PinState, Secret, TokenInfo
from provision.seeds.sealing import ScryptCost, create_key_pair
from provision.station import ledger_file
from provision.station.job import Escrow, Job, SeedOrigin
from provision.station.ledger import Ledger, record
from provision.station.lock import token_lock
from provision.station.states import TRANSITIONS, State, steps_for

PASSPHRASE, SEED = Secret(b"correct horse"), Secret(b"12345678901234567890")
PAIR = create_key_pair(PASSPHRASE, Random(1).randbytes, cost=ScryptCost(2, 1, 1))
JOB = Job(
    user="alice",
    name="desk token",
    server="embedded:/s",
    credential="hwtoken:alice",
    parameters=OtpParameters(algorithm=Algorithm.SHA256, digits=8, time_step_s=60, t0_s=5),
    origin=SeedOrigin.IMPORTED,
    pin=False,
    touch=True,
    escrow=Escrow.DIAGNOSE,
)


@pytest.fixture
def clock():
    return ManualClock(1000.5)


@pytest.fixture
def ledger(tmp_path, clock):
    with Ledger.create(tmp_path / "new" / "ledger", PAIR, clock) as ledger:
        yield ledger


def plan(ledger, serial="HT1", job=JOB):
    return ledger.plan(serial, "reference", job, os.urandom)


def test_what_is_planned_is_found_as_it_was(ledger, clock):
    entry = plan(ledger)
    assert (entry.job, entry.serial, entry.family, entry.state) == (JOB, "HT1", "reference", State.PLANNED)
    assert entry.created_s == entry.changed_s == 1000.5
    assert ledger.of_token("HT1") == ledger.last_of_token("HT1") == ledger.get(entry.uuid) == entry
    clock.advance(1)
    assert ledger.advance(entry, State.SEALED, "note", sealed=b"x").changed_s == 1001.5
    assert [(e.what, e.note, e.at_s) for e in ledger.events(entry.uuid)][1:] == [("SEALED", "note", 1001.5)]


def test_a_seed_is_sealed_to_its_job_and_token(ledger):
    first, second = plan(ledger, "HT1"), plan(ledger, "HT2")
    envelope = ledger.seal(first, SEED, os.urandom)
    first = ledger.advance(first, State.SEALED, sealed=envelope)
    second = ledger.advance(second, State.SEALED, sealed=envelope)
    assert ledger.unseal(first, PASSPHRASE) == SEED
    with pytest.raises(SeedAuthentication, match="belongs to another"):
        ledger.unseal(second, PASSPHRASE)
    assert SEED.reveal() not in ledger.path.read_bytes()


def test_every_family_has_a_way_through_the_table():
    for kind in ClockKind:
        for capabilities in (frozenset(), frozenset({Capability.ADMIN_KEY})):
            info = TokenInfo("f", "s", "m", "1", "", capabilities, kind, PinState.UNSET, None, True, 0, 1)
            steps = steps_for(info)
            assert all(after in TRANSITIONS[before] for before, after in itertools.pairwise(steps))


def test_no_state_is_a_dead_end_but_the_last():
    assert set(TRANSITIONS) == set(State)
    assert [state for state, after in TRANSITIONS.items() if not after] == [State.RETIRED]
    for state in State:
        seen, ahead = set(), {state}
        while ahead:
            seen |= ahead
            ahead = {after for before in ahead for after in TRANSITIONS[before]} - seen
        assert State.RETIRED in seen


def test_a_stale_view_changes_nothing(ledger):
    entry = plan(ledger)
    ledger.advance(entry, State.SEALED)
    with pytest.raises(LedgerError, match="another process"):
        ledger.advance(entry, State.SEALED)
    assert len(ledger.events(entry.uuid)) == 2


def test_history_is_only_ever_added_to(ledger):
    entry = plan(ledger)
    connection = sqlite3.connect(ledger.path)
    for statement in ("UPDATE event SET note = ''", "DELETE FROM event"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()
    assert len(ledger.events(entry.uuid)) == 1


def test_a_job_that_succeeds_another_does_so_at_once_or_not_at_all(ledger):
    first = ledger.advance(plan(ledger), State.RETIRING, "rotated")
    ledger.advance(first, State.RETIRED)
    with pytest.raises(LedgerError, match="another process"):
        ledger.succeed(first, JOB, "rotated", os.urandom)
    assert ledger.of_token("HT1") is None

    second = ledger.advance(ledger.advance(plan(ledger), State.SEALED, sealed=b"the sealed seed"), State.RETIRING)
    third = ledger.succeed(second, JOB, "rotated", os.urandom)
    assert (third.state, ledger.get(second.uuid).state) == (State.PLANNED, State.RETIRED)
    assert b"the sealed seed" not in ledger.path.read_bytes()
    assert [event.uuid for event in ledger.history("HT1")][-2:] == [second.uuid, third.uuid]


def test_a_record_has_no_secret(ledger):
    entry = plan(ledger)
    assert record(entry)["seed"] == "none"
    entry = ledger.advance(entry, State.SEALED, sealed=ledger.seal(entry, SEED, os.urandom))
    assert record(entry)["seed"] == "sealed"
    assert not any(isinstance(value, bytes) for value in record(entry).values())
    assert entry.sealed.hex() not in repr(entry)
    assert repr(entry.sealed) not in repr(entry)


def test_what_is_not_there(ledger):
    assert ledger.of_token("HT1") is None
    assert ledger.last_of_token("HT1") is None
    with pytest.raises(InputError):
        ledger.get(uuid4())
    with pytest.raises(LedgerError, match="holds no seed"):
        ledger.unseal(plan(ledger), PASSPHRASE)


# The file


def test_the_file_is_its_owners_alone(ledger):
    assert ledger.path.stat().st_mode & 0o777 == 0o600
    assert ledger.path.parent.stat().st_mode & 0o777 == 0o700
    plan(ledger)
    assert all(path.stat().st_mode & 0o077 == 0 for path in ledger.path.parent.iterdir())


def test_every_commit_is_durable_and_every_deletion_physical(ledger):
    [[synchronous]], [[mode]], [[secure]] = (
        ledger._file.read(f"PRAGMA {name}") for name in ("synchronous", "journal_mode", "secure_delete")
    )
    assert (synchronous, mode, secure) == (2, "wal", 1)


def test_the_default_place_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert ledger_file.default_path().is_relative_to(tmp_path) or sys.platform != "linux"


def refused(path, kind, match):
    with pytest.raises(kind, match=match) as caught:
        Ledger.open(path, ManualClock())
    assert str(path) in caught.value.message


def test_files_that_are_no_ledger_are_named(tmp_path, clock):
    path = tmp_path / "x"
    refused(path, InputError, "no ledger at")
    path.touch()
    refused(path, InputError, "interrupted")
    path.write_bytes(b"not a database" * 100)
    refused(path, InputError, "not a ledger, or is damaged")
    path.unlink()
    sqlite3.connect(path).execute("CREATE TABLE t (a)").connection.close()
    before = path.read_bytes()
    refused(path, InputError, "not a ledger of provision")
    assert path.read_bytes() == before
    refused(tmp_path, InputError, "no ledger at")


def test_a_newer_ledger_is_refused(ledger, clock):
    ledger.close()
    connection = sqlite3.connect(ledger.path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    refused(ledger.path, InputError, "has version 2")


def test_a_damaged_ledger_is_refused(ledger):
    plan(ledger)
    path = ledger.path
    ledger.close()
    content = bytearray(path.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    path.write_bytes(content)
    refused(path, InputError, "damaged")


def test_a_ledger_is_never_overwritten(ledger, clock):
    with pytest.raises(InputError, match="exists already"):
        Ledger.create(ledger.path, PAIR, clock)


def test_a_ledger_that_cannot_be_made_leaves_nothing(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(ledger_file, "_SCHEMA", "CREATE TABLE nonsense (;\n")
    path = tmp_path / "x"
    with pytest.raises(LedgerError):
        Ledger.create(path, PAIR, clock)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError):
        Ledger.create(tmp_path / "file" / "ledger", PAIR, clock)


def test_a_ledger_held_by_another_process(ledger, monkeypatch, clock):
    other = sqlite3.connect(ledger.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(ledger_file, "_BUSY_TIMEOUT_S", 0.01)
    with Ledger.open(ledger.path, clock) as mine, pytest.raises(LedgerError, match="another process holds"):
        plan(mine)
    other.close()


# The lock

HOLD = """
import sys
from pathlib import Path
from provision.station.lock import token_lock
with token_lock(Path(sys.argv[1]), "HT1"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_is_exclusive_and_dies_with_its_process(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Busy, match="HT1"), token_lock(tmp_path, "HT1"):
            pass
        with token_lock(tmp_path, "HT2"):
            pass
        holder.kill()
    with token_lock(tmp_path, "HT1"):
        pass


@pytest.mark.parametrize("serial", ["..", "/etc/passwd", "a/b", "\N{SNOWMAN}", "."])
def test_a_serial_is_no_path(tmp_path, serial):
    with token_lock(tmp_path / "locks", serial):
        pass
    [lock] = (tmp_path / "locks").iterdir()
    assert lock.name.endswith(".lock")


# The machine


class LedgerMachine(RuleBasedStateMachine):
    """A ledger that is closed and opened at any time, against a dictionary."""

    @initialize(seed=st.integers(0, 2**32))
    def make(self, seed):
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock(1.0)
        self.random = Random(seed)
        self.ledger = Ledger.create(Path(self.folder.name) / "ledger", PAIR, self.clock)
        self.states: dict[str, State] = {}
        self.retired = 0
        self.steps = 0

    serials = st.sampled_from(["HT1", "HT2", "HT3"])

    @rule(serial=serials)
    def plan(self, serial):
        if serial in self.states:
            with pytest.raises(LedgerError, match="has a job already"):
                plan(self.ledger, serial)
        else:
            plan(self.ledger, serial)
            self.states[serial] = State.PLANNED
            self.steps += 1

    @precondition(lambda self: self.states)
    @rule(serial=serials, state=st.sampled_from(State))
    def advance(self, serial, state):
        if serial not in self.states:
            return
        entry = self.ledger.of_token(serial)
        if state not in TRANSITIONS[self.states[serial]]:
            with pytest.raises(LedgerError, match="does not become"):
                self.ledger.advance(entry, state)
            return
        last = state in (State.DONE, State.RETIRED)
        (self.ledger.finish if last else self.ledger.advance)(entry, state, "")
        self.states[serial] = state
        self.steps += 1
        if state is State.RETIRED:
            del self.states[serial]
            self.retired += 1

    @rule(serial=serials)
    def succeed(self, serial):
        if serial not in self.states:
            return
        entry = self.ledger.of_token(serial)
        if self.states[serial] is not State.RETIRING:
            with pytest.raises(LedgerError, match="does not become"):
                self.ledger.succeed(entry, JOB, "", os.urandom)
            return
        assert self.ledger.succeed(entry, JOB, "rotated", os.urandom).uuid != entry.uuid
        self.states[serial] = State.PLANNED
        self.retired += 1
        self.steps += 2

    @rule()
    def reopen(self):
        self.ledger.close()
        self.ledger = Ledger.open(self.ledger.path, self.clock)

    @invariant()
    def agree(self):
        entries = self.ledger.entries()
        live = {entry.serial: entry.state for entry in entries if entry.state is not State.RETIRED}
        assert live == self.states
        assert len(entries) == len(live) + self.retired
        assert sum(len(self.ledger.events(entry.uuid)) for entry in entries) == self.steps
        assert sum(len(self.ledger.history(serial)) for serial in ("HT1", "HT2", "HT3")) == self.steps

    def teardown(self):
        self.ledger.close()
        self.folder.cleanup()


LedgerMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
TestLedgerMachine = LedgerMachine.TestCase
