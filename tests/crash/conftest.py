"""Adds the campaigns' counts to the end of the run: what was survived, how often, and from which seeds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


def _properties(reporter: pytest.TerminalReporter, name: str) -> Iterator[int]:
    for report in reporter.getreports("passed"):
        yield from (int(str(value)) for key, value in report.user_properties if key == name and report.when == "call")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if cuts := list(_properties(terminalreporter, "power_cuts")):
        terminalreporter.write_line(f"{sum(cuts):,} power cuts survived in {len(cuts)} scenarios")
    for what, name in (("token program", "kill_seed"), ("token rotate", "rotation_kill_seed")):
        if seeds := list(_properties(terminalreporter, name)):
            terminalreporter.write_line(
                f"{len(seeds)} runs of `{what}` with SIGKILL converged, seeds {min(seeds)} to {max(seeds)}"
            )
