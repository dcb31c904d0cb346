"""Who is signed in, and for how long."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, rule

from provision.clock import ManualClock
from provision.model import Secret
from provision.servers.embedded.api_tokens import ApiToken
from provision.servers.roles import Role
from provision.servers.web import sessions
from provision.servers.web.sessions import IDLE_S, LIFE_S, Sessions

HOLDER = ApiToken("anna", Role.USER, "anna", 0.0, None)
API_TOKEN = Secret(b"hwt_planted")


class SessionMachine(RuleBasedStateMachine):
    """Against a model that holds for each id when it began and was last seen."""

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.sessions = Sessions(self.clock, random.Random(0).randbytes)
        self.model: dict[str, tuple[float, float]] = {}

    @rule(target=ids)
    def begin(self) -> str:
        session_id = self.sessions.begin(API_TOKEN, HOLDER)
        assert session_id not in self.model
        self.model[session_id] = self.clock.monotonic(), self.clock.monotonic()
        return session_id

    @rule(session_id=ids)
    def find(self, session_id: str) -> None:
        now_s = self.clock.monotonic()
        begun_s, seen_s = self.model.get(session_id, (-LIFE_S, -IDLE_S))
        is_open = now_s < begun_s + LIFE_S and now_s < seen_s + IDLE_S
        assert (self.sessions.find(session_id) is not None) == is_open
        self.model.pop(session_id, None)
        if is_open:
            self.model[session_id] = begun_s, now_s

    @rule(target=ids, session_id=consumes(ids))
    def end(self, session_id: str) -> object:
        self.sessions.end(session_id)
        self.model.pop(session_id, None)
        assert self.sessions.find(session_id) is None
        return multiple()

    @rule(seconds=st.sampled_from([1.0, IDLE_S - 1, IDLE_S, LIFE_S]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)


TestSessions = SessionMachine.TestCase


def test_a_session_that_is_used_ends_all_the_same() -> None:
    clock = ManualClock()
    table = Sessions(clock, random.Random(0).randbytes)
    session_id = table.begin(API_TOKEN, HOLDER)
    while clock.monotonic() + IDLE_S / 2 < LIFE_S:
        clock.advance(IDLE_S / 2)
        assert table.find(session_id) is not None
    clock.advance(IDLE_S / 2)
    assert table.find(session_id) is None


def test_when_there_are_too_many_the_one_idle_longest_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 3)
    table = Sessions(ManualClock(), random.Random(0).randbytes)
    ids = [table.begin(API_TOKEN, HOLDER) for _ in range(3)]
    table.find(ids[0])
    table.begin(API_TOKEN, HOLDER)
    assert [table.find(session_id) is not None for session_id in ids] == [True, False, True]


def test_nothing_that_lets_in_is_in_a_repr() -> None:
    table = Sessions(ManualClock(), random.Random(0).randbytes)
    session = table.find(table.begin(API_TOKEN, HOLDER))
    assert session is not None
    assert session.form_token not in repr(session)
    assert "planted" not in repr(session)


@given(st.text())
def test_another_form_token_is_not_its_own(text: str) -> None:
    table = Sessions(ManualClock(), random.Random(0).randbytes)
    session = table.find(table.begin(API_TOKEN, HOLDER))
    assert session is not None
    assert session.is_own_form(session.form_token)
    assert not session.is_own_form(text)
    assert not session.is_own_form(session.form_token + text) or not text


def test_an_id_that_no_header_could_hold_is_nobodys() -> None:
    assert Sessions(ManualClock(), random.Random(0).randbytes).find("\ud800") is None
