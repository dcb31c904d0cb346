"""A blank YubiKey 5.7.4: as a card, behind a driver, and with its administrator."""

from __future__ import annotations

import pytest

from tests.families.targets import InProcess
from tests.families.yubikey.card import Card, yubikey_of


@pytest.fixture
def card() -> Card:
    return Card()


@pytest.fixture
def target() -> InProcess:
    return yubikey_of()


@pytest.fixture
def admin(target):
    session = target.session()
    session.authenticate(None)
    return session
