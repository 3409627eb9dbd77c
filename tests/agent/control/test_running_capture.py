"""``hullwatch capture`` of a real agent: how it ends, well and badly, and that the agent is no worse for it."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.capture.file import CaptureReader
from collectors.events import Event, Seen, SweepDone
from tests.support.running_agent import RunningAgent, find_command

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not find_command(), reason="needs root and an installed hullwatch")

COMMAND_SECONDS = 30


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """An agent that sweeps, and keeps to itself."""
    lines = (
        "sensor: poll",
        "sweep: {interval_seconds: 0.2}",
        f"state: {{directory: {json.dumps(str(tmp_path / 'state'))}}}",
        "metrics: {address: null}",
        "containers: {docker: {enabled: false}}",
        "log: {format: json}",
    )
    path = tmp_path / "agent.yaml"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def agent(config: Path) -> Iterator[RunningAgent]:
    running = RunningAgent((find_command(), "run", "--config", str(config)), "poll")
    running.wait_until_ready()
    yield running
    running.stop()


def command(config: Path, *arguments: str) -> tuple[str, ...]:
    return (find_command(), "capture", "--config", str(config), *arguments)


def begun(config: Path, *arguments: str) -> subprocess.Popen[str]:
    """A capture that records already."""
    running = subprocess.Popen(command(config, *arguments), stderr=subprocess.PIPE, text=True)  # noqa: S603
    assert running.stderr is not None
    assert "records through the running agent" in running.stderr.readline()
    return running


def read(data: bytes) -> tuple[CaptureReader, list[Event]]:
    reader = CaptureReader(io.BytesIO(data))
    return reader, list(reader.events())


def replayed(file: Path, config: Path) -> subprocess.CompletedProcess[str]:
    done = (find_command(), "replay", str(file), "--config", str(config))
    return subprocess.run(done, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)  # noqa: S603


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, None], ids=["ctrl-c", "sigterm", "seconds"])
def test_ends_whole(agent: RunningAgent, config: Path, tmp_path: Path, number: signal.Signals | None) -> None:
    file = tmp_path / "node.capture"
    running = begun(config, str(file), "--since", "1h", *(("--seconds", "1.5") if number is None else ()))
    assert running.stderr is not None
    assert "reaches no further back" in running.stderr.readline()
    if number is not None:
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(1.5)
        running.send_signal(number)
    _, said = running.communicate(timeout=COMMAND_SECONDS)
    assert (running.returncode, said) == (0, f"hullwatch: {file}: {file.stat().st_size} bytes\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    reader, events = read(file.read_bytes())
    assert reader.cut is None
    assert reader.ending is not None
    assert reader.ending.lost == 0
    assert sum(isinstance(event, SweepDone) for event in events) >= 3
    assert agent.pid in {event.process.key.pid for event in events if isinstance(event, Seen)}
    assert replayed(file, config).returncode in {0, 1}


def test_an_agent_that_goes_away_leaves_a_file_that_can_be_read_to_there(
    agent: RunningAgent, config: Path, tmp_path: Path
) -> None:
    file = tmp_path / "node.capture"
    running = begun(config, str(file))
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(2)
    os.kill(agent.pid, signal.SIGKILL)
    _, said = running.communicate(timeout=COMMAND_SECONDS)
    assert (running.returncode, "went away" in said, "can be replayed up to here" in said) == (3, True, True)
    reader, events = read(file.read_bytes())
    assert reader.cut is not None
    assert any(isinstance(event, SweepDone) for event in events)
    assert "its end is missing; replayed up to there" in replayed(file, config).stderr


def test_a_disk_that_is_full_ends_it_with_a_file_that_can_be_read_to_there(
    agent: RunningAgent, config: Path, tmp_path: Path
) -> None:
    file = tmp_path / "node.capture"

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))

    done = subprocess.run(  # noqa: S603
        command(config, str(file)),
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
        preexec_fn=limited,
    )
    assert (done.returncode, "File too large; what was written can be replayed" in done.stderr) == (2, True)
    reader, _ = read(file.read_bytes())
    assert reader.cut is not None
    with open("/dev/full", "wb") as full:
        done = subprocess.run(  # noqa: S603
            command(config, "-"), stdout=full, stderr=subprocess.PIPE, text=True, timeout=COMMAND_SECONDS, check=False
        )
    assert (done.returncode, "No space left on device" in done.stderr) == (2, True)
    assert agent.is_running


def test_to_stdout_until_nobody_reads(agent: RunningAgent, config: Path) -> None:
    running = subprocess.Popen(command(config, "-"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: S603
    assert running.stdout is not None
    assert running.stderr is not None
    assert running.stdout.read(8) == b"\x89HWC\r\n\x1a\n"
    running.stdout.close()
    assert running.wait(COMMAND_SECONDS) == 141
    assert b"Traceback" not in running.stderr.read()
    running.stderr.close()
    assert agent.is_running


def test_refuses_what_it_can_not_do(agent: RunningAgent, config: Path, tmp_path: Path) -> None:
    file = tmp_path / "there"
    file.write_text("kept")
    for arguments, why in (
        ((str(file),), "File exists"),
        ((str(tmp_path / "a"), "--container", "nobody"), "nobody"),
        ((str(tmp_path / "a"), "--since", "yesterday"), "--since is 'yesterday'"),
        ((str(tmp_path / "a"), "--since", "1m", "--no-agent"), "--since wants a running agent"),
        ((str(tmp_path / "no/such/place"),), "No such file or directory"),
    ):
        done = subprocess.run(  # noqa: S603
            command(config, *arguments), capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
        assert (done.returncode, why in done.stderr) == (2, True), done.stderr
    assert file.read_text() == "kept"
    assert not (tmp_path / "a").exists()
    assert agent.is_running
