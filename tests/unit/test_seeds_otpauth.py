"""otpauth URIs: written, read back, read as pyotp reads them, and refused by name."""

from __future__ import annotations

import contextlib

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.errors import InputError, LossyExport, SeedSyntax
from provision.model import Algorithm, OathType, OtpParameters, Secret
from provision.otp import code_at
from provision.otpauth import OtpAuth, format_otpauth
from provision.seeds.otpauth import parse_otpauth

SEED = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
# What servers put into names: anything that shows, but no colon and no space at an end.
names = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"), exclude_characters=":"), max_size=20).map(
    str.strip
)
totp = st.builds(
    OtpParameters,
    oath_type=st.just(OathType.TOTP),
    algorithm=st.sampled_from(Algorithm),
    digits=st.integers(6, 8),
    time_step_s=st.integers(1, 3600),
)
hotp = st.builds(
    OtpParameters,
    oath_type=st.just(OathType.HOTP),
    algorithm=st.sampled_from(Algorithm),
    digits=st.integers(6, 8),
    counter=st.integers(0, 2**64 - 1),
)
uris = st.builds(
    OtpAuth,
    account=names.filter(bool),
    issuer=names,
    secret=st.binary(min_size=14, max_size=64).map(Secret),
    parameters=st.one_of(totp, hotp),
)


@given(uri=uris)
def test_what_is_written_is_read_back(uri):
    text = format_otpauth(uri)
    assert text.isascii()
    assert "=" not in text.split("secret=")[1].split("&")[0]
    assert parse_otpauth(f" {text}\n") == uri


@given(uri=uris.filter(lambda uri: uri.parameters.oath_type is OathType.TOTP and uri.parameters.time_step_s <= 120))
def test_pyotp_reads_the_same(uri):
    """As far as it goes: its TOTP has no steps over 120 s."""
    theirs = pyotp.parse_uri(format_otpauth(uri))
    assert isinstance(theirs, pyotp.TOTP)
    assert theirs.generate_otp(58_907_520) == code_at(uri.secret, uri.parameters, 58_907_520)
    assert theirs.interval == uri.parameters.time_step_s
    assert theirs.name == uri.account


@given(text=st.text(max_size=60) | st.text(max_size=40).map(lambda rest: f"otpauth://totp/{rest}"))
def test_anything_else_is_refused_and_nothing_worse(text):
    with contextlib.suppress(SeedSyntax):
        parse_otpauth(text)


def test_the_usual_defaults():
    uri = parse_otpauth(f"otpauth://totp/Example:%20alice%40example.org?secret={SEED.lower()}&issuer=Example")
    assert uri == OtpAuth("alice@example.org", "Example", Secret(b"12345678901234567890"), OtpParameters())


@pytest.mark.parametrize("label", ["Example:alice", "Example%3Aalice", "alice"])
def test_labels_as_they_are_written(label):
    assert parse_otpauth(f"otpauth://totp/{label}?secret={SEED}&issuer=Example").account == "alice"


def test_pictures_are_ignored():
    assert (
        parse_otpauth(f"otpauth://TOTP/alice?secret={SEED}&image=https%3A%2F%2Fx&algorithm=sha256").account == "alice"
    )


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("", "not an otpauth URI"),
        ("http://totp/a?secret=" + SEED, "not an otpauth URI"),
        ("otpauth://[/a", "not a URI"),
        ("otpauth://steam/a?secret=" + SEED, "neither totp nor hotp"),
        ("otpauth://totp/?secret=" + SEED, "label"),
        ("otpauth://totp/a:b:c?secret=" + SEED, "label"),
        ("otpauth://totp/%ff?secret=" + SEED, "UTF-8"),
        ("otpauth://totp/a", "no secret"),
        ("otpauth://totp/a?secret", "name=value"),
        ("otpauth://totp/a?secret=%ff", "name=value"),
        (f"otpauth://totp/a?secret={SEED}&secret={SEED}", "says secret twice"),
        (f"otpauth://totp/a?secret={SEED}&encoder=steam", "unknown parameter 'encoder'"),
        (f"otpauth://totp/a?secret={SEED}#fragment", "# sign"),
        (f"otpauth://totp/x:a?secret={SEED}&issuer=y", "two different issuers"),
        (f"otpauth://totp/a?secret={SEED}&issuer=y:z", "issuer holds a colon"),
        (f"otpauth://totp/a?secret={SEED}&digits=9", "digits is not a number from 6 to 8"),
        (f"otpauth://totp/a?secret={SEED}&digits=six", "digits is not a number"),
        (f"otpauth://totp/a?secret={SEED}&period=0", "period is not a number from 1 to 3600"),
        (f"otpauth://totp/a?secret={SEED}&period=\N{SUPERSCRIPT TWO}", "period is not a number"),
        (f"otpauth://totp/a?secret={SEED}&algorithm=MD5", "algorithm"),
        (f"otpauth://totp/a?secret={SEED}&counter=1", "has a counter"),
        (f"otpauth://hotp/a?secret={SEED}", "no counter"),
        (f"otpauth://hotp/a?secret={SEED}&counter=1&period=30", "has a period"),
        (f"otpauth://hotp/a?secret={SEED}&counter={2**64}", "counter is not a number"),
        ("otpauth://totp/a?secret=3132333435363738393031323334353637383930", "base32 expected, but this is hex"),
        ("otpauth://totp/a?secret=GEZDGNBVGY3TQOJQ", "under the 112"),
    ],
)
def test_each_rule_is_named(uri, message):
    with pytest.raises(SeedSyntax) as caught:
        parse_otpauth(uri)
    assert message in caught.value.message
    assert SEED not in str(caught.value)


def test_what_the_format_cannot_say():
    secret = Secret(bytes(20))
    with pytest.raises(LossyExport) as caught:
        format_otpauth(OtpAuth("a", "", secret, OtpParameters(t0_s=1)))
    assert caught.value.fields == ("t0_s",)
    for account, issuer in (("a:b", ""), ("a", "b:c"), ("", "b")):
        with pytest.raises(InputError):
            format_otpauth(OtpAuth(account, issuer, secret, OtpParameters()))


def test_a_uri_does_not_print_its_seed():
    assert SEED not in repr(parse_otpauth(f"otpauth://totp/a?secret={SEED}"))
