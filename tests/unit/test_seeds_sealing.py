"""The envelope and the wrapped key: what goes in comes out, and nothing else does."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from provision.errors import SeedAuthentication
from provision.model import Secret
from provision.seeds.sealing import KeyPair, ScryptCost, create_key_pair, seal, unseal, unwrap

CHEAP = ScryptCost(log2_n=2, r=1, p=1)
PASSPHRASE = Secret("pass\N{LATIN SMALL LETTER E WITH ACUTE}".encode())
PAIR = create_key_pair(PASSPHRASE, Random(1).randbytes, cost=CHEAP)
PRIVATE = unwrap(PAIR, PASSPHRASE)
CONTEXT = b"uuid|serial"
SECRET = Secret(b"12345678901234567890")
ENVELOPE = seal(SECRET, PAIR.public, CONTEXT, Random(2).randbytes)


def test_the_formats_are_the_documented_ones():
    assert ENVELOPE[:5] == b"HWSE\x01"
    assert len(ENVELOPE) == 4 + 1 + 32 + 20 + 16
    assert PAIR.wrapped[:8] == b"HWPK\x01\x02\x01\x01"
    assert len(PAIR.wrapped) == 4 + 1 + 3 + 16 + 12 + 32 + 16
    assert len(PAIR.public) == 32


@settings(max_examples=30, deadline=None)
@given(secret=st.binary(max_size=128), context=st.binary(max_size=40), seed=st.integers(0, 2**32))
def test_what_is_sealed_comes_out(secret, context, seed):
    envelope = seal(Secret(secret), PAIR.public, context, Random(seed).randbytes)
    assert unseal(envelope, PRIVATE, context) == Secret(secret)
    assert len(secret) < 8 or secret not in envelope


def test_no_two_envelopes_are_alike():
    random = Random(3)
    assert seal(SECRET, PAIR.public, CONTEXT, random.randbytes) != seal(SECRET, PAIR.public, CONTEXT, random.randbytes)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, len(ENVELOPE) - 1), bit=st.integers(0, 7))
def test_every_bit_of_the_envelope_counts(at, bit):
    """Even the top one of the public key, which X25519 ignores (RFC 7748 section 5): the derivation covers it."""
    altered = bytearray(ENVELOPE)
    altered[at] ^= 1 << bit
    with pytest.raises(SeedAuthentication):
        unseal(bytes(altered), PRIVATE, CONTEXT)


@pytest.mark.parametrize("size", [0, 4, 5, 37, 52, len(ENVELOPE) - 1])
def test_a_truncated_envelope(size):
    with pytest.raises(SeedAuthentication):
        unseal(ENVELOPE[:size], PRIVATE, CONTEXT)


def test_a_point_of_low_order():
    with pytest.raises(SeedAuthentication):
        unseal(ENVELOPE[:5] + bytes(32) + ENVELOPE[37:], PRIVATE, CONTEXT)


def test_another_context_or_key():
    other = create_key_pair(PASSPHRASE, Random(4).randbytes, cost=CHEAP)
    with pytest.raises(SeedAuthentication):
        unseal(ENVELOPE, PRIVATE, CONTEXT + b"x")
    with pytest.raises(SeedAuthentication):
        unseal(ENVELOPE, unwrap(other, PASSPHRASE), CONTEXT)


def test_the_passphrase_in_either_unicode_form():
    assert unwrap(PAIR, Secret("passe\N{COMBINING ACUTE ACCENT}".encode())) == PRIVATE


@pytest.mark.parametrize("passphrase", [b"", b"passe", b"\xff", b"pass\xc3\xa9 "])
def test_a_wrong_passphrase(passphrase):
    with pytest.raises(SeedAuthentication) as caught:
        unwrap(PAIR, Secret(passphrase))
    assert "passe" not in str(caught.value)


@settings(max_examples=60, deadline=None)
@example(at=5, bit=4)  # a work factor that RFC 7914 forbids
@given(at=st.integers(0, len(PAIR.wrapped) - 1), bit=st.integers(0, 7))
def test_every_bit_of_the_wrapped_key_counts(at, bit):
    altered = bytearray(PAIR.wrapped)
    altered[at] ^= 1 << bit
    with pytest.raises(SeedAuthentication):
        unwrap(KeyPair(PAIR.public, bytes(altered)), PASSPHRASE)


def test_the_public_half_belongs_to_the_private_one():
    with pytest.raises(SeedAuthentication):
        unwrap(KeyPair(bytes(32), PAIR.wrapped), PASSPHRASE)


def test_a_truncated_wrapped_key():
    with pytest.raises(SeedAuthentication):
        unwrap(KeyPair(PAIR.public, PAIR.wrapped[:-1]), PASSPHRASE)


def test_a_work_factor_that_would_tie_up_the_machine():
    dear = PAIR.wrapped[:5] + bytes((30, 255, 255)) + PAIR.wrapped[8:]
    with pytest.raises(SeedAuthentication, match="work factor"):
        unwrap(KeyPair(PAIR.public, dear), PASSPHRASE)


def test_a_key_pair_does_not_show_its_private_half() -> None:
    assert repr(PAIR) == f"KeyPair(public={PAIR.public!r})"
