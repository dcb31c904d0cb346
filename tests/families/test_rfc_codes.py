"""The RFCs' own tables over every wire: written by the secure channel, computed by the device on its own clock."""

from __future__ import annotations

import pytest

from provision.model import Algorithm, NewCredential, OathType, OtpParameters, Secret

ASCII = b"1234567890" * 7
RFC4226_D = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]
RFC6238_B = {
    59: ("94287082", "46119246", "90693936"),
    1111111109: ("07081804", "68084774", "25091201"),
    1111111111: ("14050471", "67062674", "99943326"),
    1234567890: ("89005924", "91819424", "93441116"),
    2000000000: ("69279037", "90698825", "38618901"),
    20000000000: ("65353130", "77737706", "47863826"),
}
SIZES = {Algorithm.SHA1: 20, Algorithm.SHA256: 32, Algorithm.SHA512: 64}


@pytest.fixture
def admin(target):
    session = target.session()
    session.authenticate(None)
    return session


def test_rfc_4226_appendix_d(admin):
    parameters = OtpParameters(OathType.HOTP)
    admin.put(NewCredential("rfc4226", Secret(ASCII[:20]), parameters, own_clock=False, pin=False))
    assert [admin.calculate("rfc4226").value for _ in RFC4226_D] == RFC4226_D


@pytest.mark.parametrize("algorithm", Algorithm)
def test_rfc_6238_appendix_b(admin, algorithm):
    parameters = OtpParameters(algorithm=algorithm, digits=8)
    admin.put(NewCredential("rfc6238", Secret(ASCII[: SIZES[algorithm]]), parameters, pin=False))
    column = list(Algorithm).index(algorithm)
    for unix_s, codes in RFC6238_B.items():
        # The first second of the step, so that the code is the table's for as long as the exchange takes.
        admin.write_clock(parameters.step_start(parameters.step_at(unix_s)))
        code = admin.calculate("rfc6238")
        assert code.value == codes[column], unix_s
        assert parameters.step_at(code.device_s) == parameters.step_at(unix_s)
