"""A container goes for the agent: its files, its socket, its process. What the agent does itself stays silent.

Everything that is replaced is put back: nothing of what a container wrote outlives its test.
"""

import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.live.conftest import Agents
from tests.support import running_agent
from tests.support.acts.calls import call_once
from tests.support.engine import Container
from tests.support.processes import is_alive, stat_fields, wait_until
from tests.support.running_agent import RunningAgent, rule, settle, shown
from tests.support.stage import CRITICAL, HIGH, TOOLS, Stage

pytestmark = pytest.mark.live

HOST = ("-v", "/:/host")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where configuration, state and socket of the agents are."""
    return tmp_path_factory.mktemp("self")


@contextmanager
def agent_of(tier: str, stage: Stage, agents: Agents, home: Path) -> Iterator[RunningAgent]:
    agents.stop()
    if not running_agent.find_command():
        pytest.skip("hullwatch is not installed beside this Python")
    started = running_agent.start(stage.engine, tier, home)
    yield started
    problems = started.stop()
    assert not problems, "\n".join(problems)


@pytest.fixture(scope="module", params=["ebpf"])
def agent(request: pytest.FixtureRequest, stage: Stage, agents: Agents, home: Path) -> Iterator[RunningAgent]:
    with agent_of(request.param, stage, agents, home) as started:
        yield started


@pytest.fixture(scope="module")
def intruder(stage: Stage, agent: RunningAgent) -> Iterator[Container]:
    """A container with the host's files and pids, seen as it started."""
    assert agent.is_running
    with stage.capable("--pid=host", *HOST) as container:
        stage.let_it_be_seen()
        yield container


@pytest.mark.parametrize("what", ["config", "state", "programs", "library"])
def test_a_container_that_writes_a_file_of_the_agent_is_told(
    what: str, agent: RunningAgent, intruder: Container, stage: Stage, home: Path
) -> None:
    made = home / "ebpf.state/planted"
    target, named = {
        "config": (home / "ebpf.yaml", home / "ebpf.yaml"),
        "state": (made, home / "ebpf.state"),
        "programs": (_programs(), _programs().parents[1]),
        "library": (_library(agent.pid), _library(agent.pid)),
    }[what]
    mark = agent.mark()
    if what == "state":
        made.touch()
    result, error = call_once(stage, intruder, "write", f"/host{target}")  # opened, and nothing written
    made.unlink(missing_ok=True)
    assert result >= 0, os.strerror(error)
    told = agent.wait_for("HW-903", container=intruder.id, at_least=CRITICAL, since=mark)
    assert told["hullwatch"]["evidence"]["own_path"] == [str(named)]


def _programs() -> Path:
    from collectors.ebpf.sensor import OBJECT

    return OBJECT


def _library(pid: int) -> Path:
    mapped = {line.split()[-1] for line in Path(f"/proc/{pid}/maps").read_text().splitlines()}
    return Path(next(path for path in mapped if "/libbpf.so" in path))


def test_a_container_that_connects_to_the_control_socket_is_told(
    agent: RunningAgent, intruder: Container, stage: Stage, home: Path
) -> None:
    mark, path = agent.mark(), f"/host{home}/ebpf.state/control.sock"
    pid = stage.sleep_inside(intruder, f"{TOOLS}/hold", "unix", path)
    agent.wait_for("HW-903", container=intruder.id, pids=(pid,), at_least=CRITICAL, since=mark)
    os.kill(pid, signal.SIGKILL)


def test_a_container_that_takes_the_control_socket_away_is_told_and_the_agent_makes_it_anew(
    agent: RunningAgent, intruder: Container, stage: Stage, home: Path
) -> None:
    mark, path = agent.mark(), home / "ebpf.state/control.sock"
    before = path.stat().st_ino
    stage.shell(intruder, 'mv "/host$1" "/host$1.taken"', str(path))
    try:
        told = agent.wait_for("HW-903", container=intruder.id, at_least=CRITICAL, since=mark)
        assert set(told["hullwatch"]["evidence"]["own_path"]) <= {str(path), str(path.parent)}
        agent.wait_for("HW-903", container="", at_least=HIGH, since=mark)  # what every tier tells
        wait_until(path.is_socket, "a new socket")
        assert path.stat().st_ino != before
    finally:
        path.with_name(f"{path.name}.taken").unlink()


def test_a_container_that_stops_the_agent_is_told_once_it_goes_on(
    agent: RunningAgent, intruder: Container, stage: Stage
) -> None:
    mark = agent.mark()
    try:
        stage.shell(intruder, 'kill -STOP "$1"', str(agent.pid))
        wait_until(lambda: stat_fields(agent.pid)[0] == "T", "the agent to be stopped")
    finally:
        os.kill(agent.pid, signal.SIGCONT)
    told = agent.wait_for("HW-903", container=intruder.id, at_least=CRITICAL, since=mark)
    assert told["hullwatch"]["evidence"]["signal"] == str(int(signal.SIGSTOP))
    agent.wait_for("HW-214", container=intruder.id, at_least=CRITICAL, since=mark)


def test_a_container_that_opens_the_agents_memory_is_told(
    agent: RunningAgent, intruder: Container, stage: Stage
) -> None:
    mark = agent.mark()
    result, error = call_once(stage, intruder, "read", f"/proc/{agent.pid}/mem")
    assert result >= 0, os.strerror(error)
    agent.wait_for("HW-903", container=intruder.id, at_least=CRITICAL, since=mark)


def test_what_the_host_and_the_agent_do_themselves_is_silent(agent: RunningAgent, home: Path) -> None:
    mark, config = agent.mark(), home / "ebpf.yaml"
    settle()
    config.write_text(config.read_text() + "# edited\n")
    asked = subprocess.run(
        [running_agent.find_command(), "status", "--socket", str(home / "ebpf.state/control.sock"), "-o", "json"],
        check=True,
        capture_output=True,
    )
    assert b'"health"' in asked.stdout
    with sqlite3.connect(home / "ebpf.state/outbox.sqlite") as outbox:
        assert outbox.execute("pragma quick_check").fetchone() == ("ok",)
    settle()
    assert is_alive(agent.pid)
    said = [shown(alert) for alert in agent.alerts_since(mark) if rule(alert) in {"HW-903", "HW-219"}]
    assert said == []


@pytest.mark.parametrize("tier", ["poll", "netlink"])
def test_every_tier_tells_who_asks_the_socket_and_that_it_is_another_one(
    tier: str, stage: Stage, agents: Agents, tmp_path: Path
) -> None:
    path = tmp_path / f"{tier}.state/control.sock"
    with agent_of(tier, stage, agents, tmp_path) as agent, stage.capable("--pid=host", *HOST) as intruder:
        stage.let_it_be_seen()
        mark = agent.mark()
        pid = stage.sleep_inside(intruder, f"{TOOLS}/hold", "unix", f"/host{path}")
        agent.wait_for("HW-903", container=intruder.id, pids=(pid,), at_least=CRITICAL, since=mark)
        os.kill(pid, signal.SIGKILL)
        stage.shell(intruder, 'rm "/host$1"', str(path))
        told = agent.wait_for("HW-903", container="", at_least=HIGH, since=mark)
        assert "control socket" in told["message"]
