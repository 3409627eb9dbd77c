from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.cli.capture import capture
from agent.cli.replay import replay
from tests.agent.capture.test_replay import CAPTURE, EVENTS, live
from tests.support import captures


def run(*arguments: str) -> Result:
    return CliRunner().invoke(replay, arguments)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "node.capture"
    file.write_bytes(CAPTURE)
    return file


def test_shows_a_line_an_alert(file: Path) -> None:
    shown = run(str(file))
    assert shown.exit_code == 1
    assert len(shown.stdout.splitlines()) == len(live())
    assert "critical HW-101 Container web-1 (debian:12), process nsenter" in shown.stdout
    assert shown.stderr == f"hullwatch: {file}: {len(EVENTS)} events, {len(live())} alerts\n"


def test_shows_the_alerts_as_the_agent_writes_them(file: Path) -> None:
    assert run(str(file), "-o", "ecs").stdout_bytes.splitlines() == live()
    falco = [json.loads(line) for line in run(str(file), "-o", "falco").stdout.splitlines()]
    assert {each["priority"] for each in falco} >= {"Critical"}
    only = run(str(file), "-o", "ecs", "--min-severity", "critical").stdout.splitlines()
    assert {json.loads(line)["event"]["severity"] for line in only} == {90}


def test_says_where_a_file_is_cut(file: Path) -> None:
    file.write_bytes(captures.written(EVENTS[:3], is_finished=False))
    shown = run(str(file))
    size = file.stat().st_size
    assert shown.exit_code == 0
    assert shown.stdout == ""
    assert shown.stderr.splitlines() == [
        f"hullwatch: {file}: the file is cut at byte {size}: its end is missing; replayed up to there",
        f"hullwatch: {file}: 3 events, 0 alerts",
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\x1b[2J" * 9, "it is no capture of hullwatch"),
        (CAPTURE[:9] + b"\x09" + CAPTURE[10:], "it is a capture of version 9; this hullwatch reads version 1"),
        (CAPTURE[:-40] + b"\xff" + CAPTURE[-39:], "it is damaged at byte"),
    ],
)
def test_says_what_is_wrong_with_a_file(file: Path, content: bytes, problem: str) -> None:
    file.write_bytes(content)
    shown = run(str(file))
    assert shown.exit_code == 2
    assert shown.stderr.startswith(f"hullwatch: {file}: {problem}")
    assert "\x1b" not in shown.output


def test_says_that_there_is_no_file(tmp_path: Path) -> None:
    assert run(str(tmp_path / "none")).stderr == f"hullwatch: {tmp_path / 'none'}: No such file or directory\n"
    assert run(str(tmp_path)).stderr == f"hullwatch: {tmp_path}: it is no regular file\n"
    os.mkfifo(tmp_path / "pipe")
    assert run(str(tmp_path / "pipe")).stderr.endswith("it is no regular file\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="a capture wants root")
def test_writes_over_no_file(file: Path) -> None:
    shown = CliRunner().invoke(capture, [str(file), "--seconds", "1"])
    assert shown.exit_code == 2
    assert "File exists" in shown.stderr
    assert file.read_bytes() == CAPTURE
