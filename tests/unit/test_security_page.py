"""SECURITY.md: what it points at exists, and the versions in it are those of the code."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest

from firmware_sim import tokenimage
from provision.model import Secret
from provision.seeds import sealing
from provision.servers.embedded import schema
from provision.servers.service.permissions import ROUTES
from provision.station import ledger_file
from provision.wire import framing

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "SECURITY.md").read_text("utf-8")
VERSIONS = {
    "state file of a simulated token": tokenimage.VERSION,
    "frames on a serial line": framing.PROTOCOL_VERSION,
    "ledger": ledger_file.SCHEMA_VERSION,
    "database of the embedded server": schema.VERSION,
}
POINTED_AT = sorted(set(re.findall(r"(?:`|\]\()((?:tests|docs|provision|firmware_sim)/[^`)#]*)", PAGE)))


def test_its_list_of_versions_is_whole_and_true() -> None:
    table = PAGE.partition("\n## Versions of what is stored and spoken\n")[2]
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \|", table, flags=re.MULTILINE)
    randbytes = Random(1).randbytes
    pair = sealing.create_key_pair(Secret(b"x"), randbytes, cost=sealing.ScryptCost(1, 1, 1))
    sealed = sealing.seal(Secret(bytes(20)), pair.public, b"", randbytes)
    assert (sealed[:4], pair.wrapped[:4]) == (b"HWSE", b"HWPK")
    told = {what: int(version) for what, version in rows}
    (paths,) = {re.fullmatch(r"/v(\d+)/.+", route.path)[1] for route in ROUTES}
    assert told == {
        **VERSIONS,
        "requests over HTTP": int(paths),
        "sealed seed": sealed[4],
        "the ledger's wrapped private key": pair.wrapped[4],
    }


@pytest.mark.parametrize("path", POINTED_AT)
def test_what_it_points_at_exists(path: str) -> None:
    assert (ROOT / path).exists()
