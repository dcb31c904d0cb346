"""For runs of pytest inside this one."""

from __future__ import annotations

import importlib

import pytest


@pytest.fixture(scope="module", autouse=True)
def _loaded_once() -> None:
    """pytester forgets what a run has imported, and the compiled half of cryptography cannot be imported twice. Ours
    import it where they use it, so this is not left to the tests that ran before."""
    for name in ("ciphers.aead", "cmac", "hashes", "kdf.hkdf", "twofactor.hotp"):
        importlib.import_module(f"cryptography.hazmat.primitives.{name}")
