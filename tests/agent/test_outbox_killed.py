from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

KILLS = 100
LONGEST_LIFE_SECONDS = 0.15


@pytest.fixture
def forker() -> Iterator[subprocess.Popen[str]]:
    command = (sys.executable, "-m", "tests.support.killed_agent")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        yield process
        process.kill()


def ask(forker: subprocess.Popen[str], line: str) -> int:
    assert forker.stdin is not None
    forker.stdin.write(line + "\n")
    forker.stdin.flush()
    return answer(forker)


def answer(forker: subprocess.Popen[str]) -> int:
    assert forker.stdout is not None
    return int(forker.stdout.readline())


def delivered(path: Path) -> tuple[dict[str, bytes], int, int]:
    """The document by its id, and how many lines are duplicates, and how many torn."""
    documents: dict[str, bytes] = {}
    duplicates = torn = 0
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            name = json.loads(line)["event"]["id"]
        except ValueError:
            torn += 1
            continue
        duplicates += name in documents
        assert documents.setdefault(name, line) == line
    return documents, duplicates, torn


@pytest.mark.slow
def test_every_alert_that_was_raised_arrives_though_the_agent_is_killed_a_hundred_times(
    forker: subprocess.Popen[str], tmp_path: Path
) -> None:
    chance = random.Random(5)  # noqa: S311 (no secret)
    for _ in range(KILLS):
        pid = ask(forker, f"run {tmp_path}")
        time.sleep(chance.random() * LONGEST_LIFE_SECONDS)
        os.kill(pid, signal.SIGKILL)
        assert answer(forker) == -signal.SIGKILL
    ask(forker, f"drain {tmp_path}")
    assert answer(forker) == 0
    raised = (tmp_path / "raised").read_text().split("\n")[:-1]
    assert len(raised) > KILLS
    assert len(set(raised)) == len(raised)
    for sink in ("file", "flaky"):
        documents, duplicates, torn = delivered(tmp_path / sink)
        assert set(raised) <= set(documents)
        assert len(documents) - len(raised) <= KILLS * 10  # committed, and killed before it could be noted
        sequences = [json.loads(document)["sequence"] for document in documents.values()]
        assert len(set(sequences)) == len(sequences)
        assert torn <= KILLS
        assert duplicates < len(raised)
