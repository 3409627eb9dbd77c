"""For pytest in the virtual machine: no test is begun after HULLWATCH_VM_STEP_SECONDS, and a failure is told at once.

What has begun ends in order, agents and engine included, and the report tells of all that ran.
"""

import os
import time

import pytest

ENDS = time.monotonic() + float(os.environ["HULLWATCH_VM_STEP_SECONDS"])


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop before the next test when the time is over."""
    if nextitem is not None and time.monotonic() > ENDS:
        item.session.shouldstop = "no time left"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A run of hours may be cut off before pytest tells."""
    if report.failed:
        print(f"\n{report.longreprtext[-3000:]}")
