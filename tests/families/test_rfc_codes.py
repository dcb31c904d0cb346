"""The RFCs' own tables over every wire: written by the secure channel, computed by the device on its own clock."""

from __future__ import annotations

import pytest

from provision.model import Algorithm, NewCredential, OathType, OtpParameters, Secret
from tests.vectors.rfc import RFC4226_D, RFC6238_B, SECRET_SHA1, SECRET_SHA256, SECRET_SHA512

SECRETS = dict(zip(Algorithm, (SECRET_SHA1, SECRET_SHA256, SECRET_SHA512), strict=True))


@pytest.fixture
def admin(target):
    session = target.session()
    session.authenticate(None)
    return session


def test_rfc_4226_appendix_d(admin):
    parameters = OtpParameters(OathType.HOTP)
    admin.put(NewCredential("rfc4226", Secret(SECRET_SHA1), parameters, own_clock=False, pin=False))
    assert [admin.calculate("rfc4226").value for _ in RFC4226_D] == RFC4226_D


@pytest.mark.parametrize("algorithm", Algorithm)
def test_rfc_6238_appendix_b(admin, algorithm):
    parameters = OtpParameters(algorithm=algorithm, digits=8)
    admin.put(NewCredential("rfc6238", Secret(SECRETS[algorithm]), parameters, pin=False))
    column = list(Algorithm).index(algorithm)
    for unix_s, codes in RFC6238_B.items():
        # The first second of the step, so that the code is the table's for as long as the exchange takes.
        admin.write_clock(parameters.step_start(parameters.step_at(unix_s)))
        code = admin.calculate("rfc6238")
        assert code.value == codes[column], unix_s
        assert parameters.step_at(code.device_s) == parameters.step_at(unix_s)
