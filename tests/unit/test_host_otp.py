"""The host's oracle for codes, against the tables of the RFCs and against itself on short seeds."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision import otp
from provision.errors import SeedError
from provision.model import Algorithm, Code, OathType, OtpParameters, Secret
from tests.vectors.rfc import RFC4226_D, RFC6238_B, SECRET_SHA1, SECRET_SHA256, SECRET_SHA512

SECRETS = dict(zip(Algorithm, (SECRET_SHA1, SECRET_SHA256, SECRET_SHA512), strict=True))


@pytest.mark.parametrize(("counter", "code"), list(enumerate(RFC4226_D)))
def test_rfc_4226_appendix_d(counter: int, code: str) -> None:
    assert otp.code_at(Secret(SECRET_SHA1), OtpParameters(OathType.HOTP), counter) == code


@pytest.mark.parametrize("unix_s", RFC6238_B)
def test_rfc_6238_appendix_b(unix_s: int) -> None:
    for algorithm, code in zip(Algorithm, RFC6238_B[unix_s], strict=True):
        parameters = OtpParameters(algorithm=algorithm, digits=8)
        assert otp.code_at(Secret(SECRETS[algorithm]), parameters, parameters.step_at(unix_s)) == code


@given(st.binary(min_size=14, max_size=64), st.sampled_from(Algorithm), st.integers(6, 8), st.integers(0, 2**40))
def test_both_ways_to_a_code_agree(key: bytes, algorithm: Algorithm, digits: int, counter: int) -> None:
    parameters = OtpParameters(algorithm=algorithm, digits=digits)
    assert otp.code_at(Secret(key), parameters, counter) == otp._short_source(Secret(key), parameters)(counter)


def test_a_short_seed_is_refused_unless_allowed() -> None:
    with pytest.raises(SeedError, match="80 bits"):
        otp.code_at(Secret(b"x" * 10), OtpParameters(), 1)
    assert len(otp.code_at(Secret(b"x" * 10), OtpParameters(), 1, allow_short_seed=True)) == 6


@given(st.integers(1, 3600), st.integers(0, 10**9), st.integers(0, 2**32))
def test_a_step_starts_where_it_starts(step_s: int, t0_s: int, step: int) -> None:
    parameters = OtpParameters(time_step_s=step_s, t0_s=t0_s)
    start = parameters.step_start(step)
    assert parameters.step_at(start) == step
    assert parameters.step_at(start - 1) == step - 1


def test_codes_are_right_in_the_autumn_hour_that_comes_twice() -> None:
    # pyotp up to 2.10 gave a wrong code here, depending on what was asked before.
    program = (
        "from provision import otp; from provision.model import *;"
        "s, p = Secret(b'12345678901234567890'), OtpParameters();"
        "print(otp.code_at(s, p, p.step_at(1783843800)), otp.code_at(s, p, p.step_at(1792890600)))"
    )
    codes = {
        zone: subprocess.run(
            [sys.executable, "-c", program], env={"TZ": zone}, capture_output=True, text=True, check=True
        ).stdout
        for zone in ("UTC", "Europe/London", "America/New_York")
    }
    assert len(set(codes.values())) == 1
    assert codes["UTC"].split()[1] == "155061"


def test_a_code_does_not_show_itself() -> None:
    assert "755224" not in repr(Code("755224", 59.0))


def test_a_secret_never_shows_itself() -> None:
    secret = Secret(b"planted-secret-value")
    assert repr(secret) == str(secret) == f"{secret}" == "Secret(20 bytes)"
    with pytest.raises(TypeError):
        hash(secret)
    with pytest.raises(TypeError, match="pickled"):
        secret.__reduce__()
    assert secret == Secret(b"planted-secret-value")
    assert secret != Secret(b"planted-secret-valuf")
