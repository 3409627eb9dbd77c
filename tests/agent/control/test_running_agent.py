"""A real agent and real commands: they find it, it may be killed under them, and a stranger may not ask."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.running_agent import RunningAgent, find_command

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not find_command(), reason="needs root and an installed hullwatch")

COMMAND_SECONDS = 30
STRANGER = 4_000_002


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """An agent that sweeps, keeps to itself and tells nobody else."""
    lines = (
        "sensor: poll",
        f"state: {{directory: {json.dumps(str(tmp_path / 'state'))}}}",
        "metrics: {address: null}",
        "containers: {docker: {enabled: false}}",
        "log: {format: json}",
    )
    path = tmp_path / "agent.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


def started(config: Path) -> RunningAgent:
    agent = RunningAgent((find_command(), "run", "--config", str(config)), "poll")
    agent.wait_until_ready()
    return agent


@pytest.fixture
def agent(config: Path) -> Iterator[RunningAgent]:
    running = started(config)
    yield running
    assert running.stop() == []


def ask(config: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = (find_command(), *arguments, "--config", str(config))
    return subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)  # noqa: S603


def test_commands_find_the_agent(agent: RunningAgent, config: Path, tmp_path: Path) -> None:
    path = tmp_path / "state/control.sock"
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    found = json.loads(ask(config, "status", "-o", "json").stdout)
    assert (found["pid"], found["sensor"]["tier"], found["socket"]) == (agent.pid, "poll", str(path))
    assert found["cost"]["rss_bytes"] > 1 << 20
    for command, status in (("ps", {0}), ("scan", {0, 1})):
        done = ask(config, command)
        assert done.returncode in status
        assert "the running agent answers (hullwatch " in done.stderr
    done = ask(config, "ps", "--no-agent")
    assert "agent answers" not in done.stderr
    done = ask(config, "inspect", f"pid:{agent.pid}", "-o", "json")
    assert json.loads(done.stdout)["process"]["pid"] == agent.pid


def test_alerts_outlive_the_agent_that_told_them(config: Path) -> None:
    """HW-351 is told of any node of ours; the next agent knows it from the outbox."""
    told: list[set[str]] = []
    for _ in range(2):
        agent = started(config)
        lines = ask(config, "alerts", "-o", "jsonl").stdout.splitlines()
        told.append({json.loads(line)["event"]["id"] for line in lines})
        assert agent.stop() == []
    assert told[0]
    assert told[0] <= told[1]


def test_a_stream_ends_with_a_word_when_the_agent_is_killed(config: Path, tmp_path: Path) -> None:
    agent = started(config)
    command = (find_command(), "events", "--host", "--config", str(config))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:  # noqa: S603
        assert watching.stderr is not None
        assert "watching" in watching.stderr.readline()
        os.kill(agent.pid, signal.SIGKILL)
        _, said = watching.communicate(timeout=COMMAND_SECONDS)
    agent.stop()
    assert (watching.returncode, "went away" in said) == (3, True)
    assert (tmp_path / "state/control.sock").exists()  # left behind ...
    done = ask(config, "status")
    assert (done.returncode, "nobody listens" in done.stderr) == (3, True)
    assert "no agent answers" in ask(config, "ps").stderr
    successor = started(config)
    assert ask(config, "status").returncode == 0  # ... and replaced
    assert successor.stop() == []
    assert not (tmp_path / "state/control.sock").exists()


def test_a_socket_in_the_way_is_left_alone_and_the_agent_watches_all_the_same(config: Path, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state/control.sock").symlink_to("/etc/passwd")
    agent = started(config)
    assert any(each["event"] == "control_unavailable" and "symbolic link" in each["why"] for each in agent.log)
    assert ask(config, "status").returncode == 4
    assert agent.stop() == []
    assert (tmp_path / "state/control.sock").is_symlink()


def test_a_stranger_may_not_ask(agent: RunningAgent, tmp_path: Path) -> None:
    """Also where the file lets it connect: the agent asks the kernel who is there."""
    path = tmp_path / "state/control.sock"
    opened = [each for each in (path.parent, *path.parent.parents) if each != Path("/") and each.stat().st_uid == 0]
    modes = {each: stat.S_IMODE(each.stat().st_mode) for each in opened}
    program = (
        "import sys, socket; s = socket.socket(socket.AF_UNIX); s.settimeout(9)\n"
        f"s.connect({str(path)!r}); sys.stdout.buffer.write(s.recv(4096))"
    )
    stranger = ("setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups")
    python = (
        ("/usr/bin/python3", "-I", "-c", program)
        if Path("/usr/bin/python3").exists()
        else (sys.executable, "-c", program)
    )
    try:
        for each in opened:
            each.chmod(modes[each] | 0o011)
        kept_out = subprocess.run((*stranger, *python), capture_output=True, timeout=COMMAND_SECONDS, check=False)  # noqa: S603
        path.chmod(0o666)
        let_in = subprocess.run((*stranger, *python), capture_output=True, timeout=COMMAND_SECONDS, check=False)  # noqa: S603
    finally:
        for each, mode in modes.items():
            each.chmod(mode)
    assert b"PermissionError" in kept_out.stderr
    assert let_in.returncode == 0, let_in.stderr
    assert b"denied" in let_in.stdout
    assert b"hello" not in let_in.stdout
    assert agent.is_running
