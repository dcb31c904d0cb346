"""A blank Molto2, a session with it, and one of its administrator."""

from __future__ import annotations

import pytest

from tests.families.molto2.bench import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def session(bench):
    return bench.session()


@pytest.fixture
def admin(session):
    session.authenticate(None)
    return session
