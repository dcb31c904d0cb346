"""The tables of the RFCs, once for every test that holds something against them.

RFC 4226 appendix D: the codes of counters 0 to 9. RFC 6238 appendix B: Unix time to the codes of 8 digits for SHA-1,
SHA-256 and SHA-512, with the erratum's secrets of 20, 32 and 64 bytes.
"""

RFC4226_D = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]
RFC6238_B = {
    59: ("94287082", "46119246", "90693936"),
    1111111109: ("07081804", "68084774", "25091201"),
    1111111111: ("14050471", "67062674", "99943326"),
    1234567890: ("89005924", "91819424", "93441116"),
    2000000000: ("69279037", "90698825", "38618901"),
    20000000000: ("65353130", "77737706", "47863826"),
}
_DIGITS = b"1234567890" * 7
SECRET_SHA1, SECRET_SHA256, SECRET_SHA512 = _DIGITS[:20], _DIGITS[:32], _DIGITS[:64]
