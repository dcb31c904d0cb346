"""Tokens for the tests in the guest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.guest.world import KernelLog, Token, running_token


@pytest.fixture(scope="session")
def token() -> Iterator[Token]:
    """A token, attached: for everybody who leaves it as it is."""
    with running_token() as token:
        yield token


@pytest.fixture
def kernel_log() -> Iterator[KernelLog]:
    log = KernelLog()
    yield log
    log.close()
