"""What the tests of whole runs of pytest share."""

from __future__ import annotations

import pytest

# A conftest that runs again what failed, as pytest-rerunfailures does it: the same item, set up once more.
RERUNS = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    first = runtestprotocol(item, nextitem=nextitem, log=False)
    if any(report.failed for report in first):
        for report in first:
            report.outcome = "rerun" if report.failed else report.outcome
            item.ihook.pytest_runtest_logreport(report=report)
        item._initrequest()
        first = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in first:
        item.ihook.pytest_runtest_logreport(report=report)
    return True

def pytest_report_teststatus(report):
    if report.outcome == "rerun":
        return "rerun", "R", "RERUN"
"""


def last_line(result: pytest.RunResult) -> str:
    (line,) = [line for line in result.outlines if line.startswith("hwtoken: links run")]
    return line
