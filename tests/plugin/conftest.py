"""For runs of pytest inside this one."""

from __future__ import annotations

import importlib

import pytest


@pytest.fixture(scope="module", autouse=True)
def _loaded_once() -> None:
    """pytester forgets what a run has imported, and the compiled half of cryptography cannot be imported twice."""
    importlib.import_module("provision.wire.scp03")
