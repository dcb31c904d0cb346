"""Tests marked `kernel` run inside a guest, and count here: each report that the guest's pytest makes is sent over a
serial line and becomes the report of the same test on the host. One guest is booted for all of them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.machine import Guest, GuestFailed

ROOT = Path(__file__).resolve().parents[2]
LANE = ROOT / ".lanes" / "kernel"
REPORT_LINE = os.environ.get("HWTOKEN_GUEST")  # the guest's serial line; None on the host


def pytest_configure(config: pytest.Config) -> None:
    # A plugin, and not hooks of this file: marked tests of other folders are meant too.
    config.pluginmanager.register(Relay(config) if REPORT_LINE is None else Reporter(config, Path(REPORT_LINE)))


class Reporter:
    """The guest's side."""

    def __init__(self, config: pytest.Config, line: Path) -> None:
        self._config = config
        self._line = line.open("wb", buffering=0)
        config.add_cleanup(self._line.close)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._line.write(json.dumps(data).encode() + b"\n")


class Relay:
    """The host's side: the guest's reports, as they come. It runs the tests in the host's order."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._guest: Guest | None = None
        self._lines: Iterator[bytes] = iter(())
        self._last = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        if not _is_ours(item):
            return None
        if self._guest is None:
            self._guest = self._boot(item.session)
            self._lines = self._guest.lines()
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self._reports(item, self._guest):
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show what the tests wrote down for whoever reads the lane's log: the kernel's own words of a token."""
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
            if "kernel" in report.keywords and report.when == "call":
                for name, text in report.user_properties:
                    terminalreporter.section(f"{name} of {report.nodeid.rpartition('::')[2]}")
                    terminalreporter.write_line(str(text))

    def _boot(self, session: pytest.Session) -> Guest:
        run = LANE / "run"
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
        node_ids = [item.nodeid for item in session.items if _is_ours(item)]
        self._last = node_ids[-1]
        guest = Guest(LANE / "image", run, ROOT, node_ids)
        self._config.add_cleanup(guest.close)
        return guest

    def _reports(self, item: pytest.Item, guest: Guest) -> Iterator[pytest.TestReport]:
        try:
            for line in self._lines:
                report = self._config.hook.pytest_report_from_serializable(config=self._config, data=json.loads(line))
                assert report.nodeid == item.nodeid
                yield report
                if report.when == "teardown" and item.nodeid != self._last:
                    return
            if item.nodeid == self._last:
                return
            words = f"the guest ended before this test\n{guest.last_words()}"
        except GuestFailed as error:
            words = str(error)
        yield pytest.TestReport(item.nodeid, item.location, {}, "failed", words, "call")


def _is_ours(item: pytest.Item) -> bool:
    return item.get_closest_marker("kernel") is not None
