"""For pytest in the virtual machine: tells each test's outcome as it comes, and begins none when the time is over.

A line of JSON a test goes to HULLWATCH_VM_REPORT, so that a machine that is cut off has told what it got to; after
HULLWATCH_VM_STEP_SECONDS what has begun ends in order, agents and engine included.
"""

import json
import os
import time
from pathlib import Path

import pytest

ENDS = time.monotonic() + float(os.environ["HULLWATCH_VM_STEP_SECONDS"])
REPORT = Path(os.environ["HULLWATCH_VM_REPORT"])


def pytest_collection_finish(session: pytest.Session) -> None:
    """How many there are to run."""
    tell(selected=len(session.items))


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop before the next test when the time is over."""
    if nextitem is not None and time.monotonic() > ENDS:
        item.session.shouldstop = "no time left"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """An outcome; of setting up and tidying up only where that went wrong."""
    if report.when == "call" or not report.passed:
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        tell(name=report.nodeid, outcome=report.outcome, why=why[-3000:])
        if report.failed:
            print(f"\n{why[-3000:]}")


def tell(**what: object) -> None:
    """Add a line to the report."""
    with REPORT.open("a") as file:
        file.write(json.dumps(what) + "\n")
