"""Schemathesis reads the OpenAPI page and asks what it can think of: every answer is as told, none a defect."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from provision.clock import SystemClock
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.roles import Role
from tests.servers.live import ROOT, serving

PROGRAM = ROOT / ".lanes" / "schemathesis" / "bin" / "schemathesis"
SEED = 20_261_124
# Not looked at, because a schema cannot say it:
EXCLUDED = (
    # what a name may hold, which times are past, and that codes are two or three: refused, in words
    "positive_data_acceptance",
)

pytestmark = pytest.mark.service


def asked(
    folder: Path, role: Role, examples: int, alter: Callable[[dict[str, Any]], None] = lambda page: None
) -> tuple[int, str]:
    """Exit code and report of a run against a new server in the name of `role`. `alter`: its page, beforehand."""
    path = folder / "server.db"
    with EmbeddedServer.init(path, SystemClock(), os.urandom) as server:
        _, api_token = server.create_api_token("tester", role, user="anna" if role is Role.USER else None)
    config = folder / "schemathesis.toml"
    config.touch(mode=0o600)
    config.write_text(f'[headers]\nAuthorization = "Bearer {api_token.reveal().decode()}"\n')
    with serving(path) as running:
        with urlopen(f"{running.url}/openapi.json") as told:
            page = json.load(told)
        alter(page)
        (folder / "openapi.json").write_text(json.dumps(page))
        ran = subprocess.run(
            [
                *(PROGRAM, "--config-file", config, "run", folder / "openapi.json", "--url", running.url),
                *("--max-examples", str(examples), "--seed", str(SEED), "--exclude-checks", ",".join(EXCLUDED)),
                *("--no-color", "--generation-database", "none"),
            ],
            capture_output=True,
            text=True,
            timeout=500,
            cwd=folder,
        )
        assert running.process.poll() is None, "the server is still there"
    return ran.returncode, ran.stdout + ran.stderr


def cases(report: str) -> int:
    found = re.search(r"(\d[\d,]*) generated", report)
    assert found is not None, report
    return int(found[1].replace(",", ""))


def test_a_thousand_requests_of_an_administrator(tmp_path: Path) -> None:
    code, report = asked(tmp_path, Role.ADMINISTRATOR, 40)
    assert code == 0, report
    assert cases(report) >= 1000
    print(f"seed {SEED}: {cases(report)} requests")


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMINISTRATOR])
def test_the_other_roles(tmp_path: Path, role: Role) -> None:
    code, report = asked(tmp_path, role, 5)
    assert code == 0, report
    assert cases(report) >= 100


def test_a_page_that_promises_something_else_is_caught(tmp_path: Path) -> None:
    def promise(page: dict[str, Any]) -> None:
        page["components"]["schemas"]["Expected"]["properties"]["now_s"]["type"] = "string"

    code, report = asked(tmp_path, Role.ADMINISTRATOR, 1, promise)
    assert code != 0
    assert "/v1/expected" in report
