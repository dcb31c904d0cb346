"""wait_for_card.py READER present|absent: ends once pcscd says so, at most 20 s later.

vsmartcard's reader looks for a card about every 0.4 s.
"""

import sys

from smartcard import scard

WAIT_MS = 20_000


def main(reader: str, state: str) -> None:
    wanted = {"present": scard.SCARD_STATE_PRESENT, "absent": scard.SCARD_STATE_EMPTY}[state]
    code, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
    assert code == scard.SCARD_S_SUCCESS, scard.SCardGetErrorMessage(code)
    try:
        known = scard.SCARD_STATE_UNAWARE
        while not known & wanted or known & scard.SCARD_STATE_MUTE:
            code, [(_, known, _)] = scard.SCardGetStatusChange(context, WAIT_MS, [(reader, known)])
            assert code == scard.SCARD_S_SUCCESS, f"{reader}: {scard.SCardGetErrorMessage(code)}"
    finally:
        # pcscd has room for 200 of them, and whoever calls this in a process of many tests would use them up.
        scard.SCardReleaseContext(context)


if __name__ == "__main__":
    main(*sys.argv[1:])
