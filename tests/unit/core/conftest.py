"""A token with power, and a host in its OATH applet, inside the secure channel."""

from __future__ import annotations

import pytest

from firmware_sim.testing import Bench, Host, make_bench


@pytest.fixture
def bench() -> Bench:
    bench = make_bench()
    bench.token.power_on()
    return bench


@pytest.fixture
def host(bench: Bench) -> Host:
    host = Host(bench.token.open_channel())
    host.open()
    return host
