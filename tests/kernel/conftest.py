"""The tests of this folder run inside a guest, and count here: each report that the guest's pytest makes is sent over a
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


class Relay:
    """The host's side: the guest's reports, as they come."""

    def __init__(self, session: pytest.Session) -> None:
        self._config = session.config
        run = LANE / "run"
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
        node_ids = [item.nodeid for item in session.items if _is_ours(item)]
        self._last = node_ids[-1]
        self._guest = Guest(LANE / "image", run, ROOT, node_ids)
        session.config.add_cleanup(self._guest.close)
        self._lines = self._guest.lines()

    def reports(self, item: pytest.Item) -> Iterator[pytest.TestReport]:
        """This test's reports; the guest runs the tests in the order of the host."""
        try:
            for line in self._lines:
                report = self._config.hook.pytest_report_from_serializable(config=self._config, data=json.loads(line))
                assert report.nodeid == item.nodeid
                yield report
                if report.when == "teardown" and item.nodeid != self._last:
                    return
            if item.nodeid == self._last:
                return
            words = f"the guest ended before this test\n{self._guest.last_words()}"
        except GuestFailed as error:
            words = str(error)
        yield pytest.TestReport(item.nodeid, item.location, {}, "failed", words, "call")


_RELAY = pytest.StashKey[Relay]()


def _is_ours(item: pytest.Item) -> bool:
    return item.get_closest_marker("kernel") is not None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    if REPORT_LINE is not None or not _is_ours(item):
        return None
    stash = item.session.stash
    if _RELAY not in stash:
        stash[_RELAY] = Relay(item.session)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in stash[_RELAY].reports(item):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_configure(config: pytest.Config) -> None:
    if REPORT_LINE is not None:
        config.pluginmanager.register(_Reporter(config, Path(REPORT_LINE)))


class _Reporter:
    """The guest's side."""

    def __init__(self, config: pytest.Config, line: Path) -> None:
        self._config = config
        self._line = line.open("wb", buffering=0)
        config.add_cleanup(self._line.close)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._line.write(json.dumps(data).encode() + b"\n")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what the guest's kernel and udev said of a token, for whoever reads the lane's log."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, text in report.user_properties if report.when == "call" else ():
            terminalreporter.section(f"{name} of {report.nodeid.rpartition('::')[2]}")
            terminalreporter.write_line(str(text))
