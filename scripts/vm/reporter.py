"""For pytest in the virtual machine: tells each test's outcome as it comes, and begins none when the time is over.

A line of JSON a test goes to HULLWATCH_VM_REPORT, and to the disk, so that a machine that is cut off has told what it
got to; after HULLWATCH_VM_STEP_SECONDS what has begun ends in order, agents and engine included. What the report
tells already of an earlier run is not run again, unless it failed.
"""

import json
import os
import time
from pathlib import Path

import pytest

ENDS = time.monotonic() + float(os.environ["HULLWATCH_VM_STEP_SECONDS"])
REPORT = Path(os.environ["HULLWATCH_VM_REPORT"])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """How many there are to run in all, and only those that are still to be run."""
    settled = settled_before()
    if REPORT.exists() and not REPORT.read_bytes().endswith(b"\n"):
        with REPORT.open("a") as file:
            file.write("\n")  # the machine was cut off in a line
    tell(selected=len(items), revision=os.environ["HULLWATCH_VM_REVISION"])
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in settled])
    items[:] = [item for item in items if item.nodeid not in settled]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """That an earlier run left nothing to do is no failure."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and settled_before():
        session.exitstatus = pytest.ExitCode.OK


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop before the next test when the time is over."""
    if nextitem is not None and time.monotonic() > ENDS:
        item.session.shouldstop = "no time left"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """An outcome; of setting up and tidying up only where that went wrong."""
    if report.when == "call" or not report.passed:
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        seconds = round(report.duration, 1)
        tell(name=report.nodeid, outcome=report.outcome, seconds=seconds, why=why[-3000:])
        if report.failed:
            print(f"\n{why[-3000:]}")


def settled_before() -> set[str]:
    """The tests whose last outcome in the report is no failure; of a machine that was cut off a line may be half."""
    outcomes: dict[str, str] = {}
    for line in REPORT.read_text().splitlines() if REPORT.exists() else ():
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if "name" in told:
            outcomes[told["name"]] = told["outcome"]
    return {name for name, outcome in outcomes.items() if outcome != "failed"}


def tell(**what: object) -> None:
    """Add a line to the report."""
    with REPORT.open("a") as file:
        file.write(json.dumps(what) + "\n")
        file.flush()
        os.fsync(file.fileno())
