"""What pytest tells in the virtual machine, and what it does not run again."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PLACE = Path(__file__).parents[2] / "scripts/vm"
TESTS = """
import pytest

def test_good(): pass
def test_bad(): assert 1 == 2
def test_away(): pytest.skip("not here")
"""


def run(directory: Path, *, seconds: int = 600) -> int:
    """Run them as the virtual machine does; the exit status."""
    (directory / "test_three.py").write_text(TESTS)
    environment = os.environ | {
        "PYTHONPATH": str(PLACE),
        "HULLWATCH_VM_REPORT": str(directory / "report.jsonl"),
        "HULLWATCH_VM_STEP_SECONDS": str(seconds),
        "HULLWATCH_VM_REVISION": "abc1",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "reporter", "-p", "no:cacheprovider", "--rootdir", "."]
    finished = subprocess.run(command, cwd=directory, env=environment, capture_output=True, check=False)  # noqa: S603
    return finished.returncode


def told(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "report.jsonl").read_text().splitlines()]


def outcomes(lines: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(line["name"].split("::")[1], line["outcome"]) for line in lines if "name" in line]


def test_tells_every_outcome(tmp_path: Path) -> None:
    assert run(tmp_path) == 1
    first, *others = told(tmp_path)
    assert first == {"selected": 3, "revision": "abc1"}
    assert outcomes(others) == [("test_good", "passed"), ("test_bad", "failed"), ("test_away", "skipped")]
    assert "assert 1 == 2" in others[1]["why"]


def test_runs_again_only_what_failed_or_was_not_told(tmp_path: Path) -> None:
    run(tmp_path)
    good, bad, away = (json.dumps(line) for line in told(tmp_path)[1:])
    (tmp_path / "report.jsonl").write_text(f"{good}\n{bad}\n{away[:20]}")
    assert run(tmp_path) == 1
    lines = (tmp_path / "report.jsonl").read_text().splitlines()[3:]
    assert json.loads(lines[0])["selected"] == 3
    assert outcomes([json.loads(line) for line in lines[1:]]) == [("test_bad", "failed"), ("test_away", "skipped")]


def test_that_nothing_is_left_is_no_failure(tmp_path: Path) -> None:
    run(tmp_path)
    lines = [line | {"outcome": "passed"} if "name" in line else line for line in told(tmp_path)]
    (tmp_path / "report.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run(tmp_path) == 0


def test_begins_no_test_when_the_time_is_over(tmp_path: Path) -> None:
    run(tmp_path, seconds=0)
    assert outcomes(told(tmp_path)) == [("test_good", "passed")]
