"""The fastest `Scanner` that is installed. All of them find the same."""

from __future__ import annotations

from provision.drift.search import Scan, scan_plainly
from provision.model import OtpParameters, Secret


def scan_fastest(secret: Secret, parameters: OtpParameters) -> Scan:
    """Compiled (extra `drift-fast`), else in NumPy (extra `drift`), else in plain Python."""
    try:
        from provision.drift.search_numba import scan_with_numba
    except ImportError:
        pass
    else:
        return scan_with_numba(secret, parameters)
    try:
        from provision.drift.search_numpy import scan_with_numpy
    except ImportError:
        return scan_plainly(secret, parameters)
    return scan_with_numpy(secret, parameters)
