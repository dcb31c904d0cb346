"""Which links tests ran on: counted from the reports, so that it is right under xdist too, and told at the end."""

from __future__ import annotations

from collections import Counter

import pytest

PROPERTY = "hwtoken_link"
IN_PROCESS, ON_HARDWARE = "inprocess", "hardware"
_NONE = "none"


def note(item: pytest.Item, link: str) -> None:
    """This test gets a token on that link. It stands in the test's report, and in a JUnit file as its property."""
    if (PROPERTY, link) not in item.user_properties:  # it may be there from a run before, of the same test
        item.user_properties.append((PROPERTY, link))


def note_skipped(item: pytest.Item) -> None:
    """This test was to have a token, and was skipped, perhaps before."""
    if not any(name == PROPERTY for name, _ in item.user_properties):
        note(item, _NONE)


class LinksRun:
    """A plugin of pytest. `required`: links without which the run is no success. `of_hardware`: the token's name, None
    for the simulator."""

    def __init__(self, required: tuple[str, ...], of_hardware: str | None) -> None:
        self._required = required
        self._of_hardware = of_hardware
        self._ran: Counter[str] = Counter()
        self._skipped = 0

    @property
    def missing(self) -> list[str]:
        return [link for link in self._required if not self._ran[link]]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        links = [str(value) for name, value in report.user_properties if name == PROPERTY]
        if not links or report.outcome not in ("passed", "failed", "skipped"):  # another one is to be run again
            return
        if report.skipped and not hasattr(report, "wasxfail"):
            self._skipped += 1
        elif report.when == "call":
            self._ran.update(links)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.config.option.collectonly or hasattr(session.config, "workerinput"):
            return
        if self.missing and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_report_header(self) -> str | None:
        return self._of_hardware and f"hwtoken: {self._of_hardware}"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        if config.option.collectonly or not (self._ran or self._skipped or self._required):
            return
        links = ", ".join(f"{link} {count}" for link, count in sorted(self._ran.items())) or "none"
        line = f"hwtoken: links run: {links}; skipped {self._skipped}"
        if self.missing:
            line += f"; required and not run: {', '.join(self.missing)}"
        terminalreporter.write_line(line, red=bool(self.missing))
