"""What the agent tells of its node and of itself: weak settings, a tracer, an absence, a sink that is away."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.live.conftest import TIERS, Agents
from tests.support import running_agent
from tests.support.patience import patient
from tests.support.processes import end, find_processes, unique_seconds, wait_for_process
from tests.support.running_agent import RunningAgent, settle
from tests.support.stage import TOOLS, Stage

pytestmark = pytest.mark.live

# No one listens on the discard port of this machine.
AWAY = "output: {sinks: [{type: http, name: nobody, url: 'http://127.0.0.1:9/'}]}\n"


@pytest.mark.parametrize("agent", TIERS, indirect=True)
def test_the_node_is_told_as_it_is(agent: RunningAgent) -> None:
    assert agent.wait_for("HW-351", container=None)["hullwatch"]["evidence"]


@pytest.mark.parametrize("agent", TIERS, indirect=True)
def test_a_container_that_traces_the_agent_is_told(agent: RunningAgent, stage: Stage) -> None:
    mark, seconds = agent.mark(), unique_seconds()
    with stage.capable("--pid=host") as container:
        command = (f"{TOOLS}/hold", "ptrace", str(agent.pid), "sleep", seconds)
        stage.engine.execute(container, *command, options=("-d",))
        pid = wait_for_process(seconds, first="sleep")
        try:
            agent.wait_for("HW-903", container=container.id, pids=(pid,), at_least=90, since=mark)
        finally:
            for left in find_processes(seconds):
                end(left)


def test_an_absence_and_a_sink_that_is_away_are_told(agents: Agents, stage: Stage, tmp_path: Path) -> None:
    agents.stop()
    first = running_agent.start(stage.engine, "netlink", tmp_path)
    assert not first.stop()
    long_ago = time.time() - 600
    os.utime(tmp_path / "netlink.state/heartbeat", (long_ago, long_ago))
    again = running_agent.start(stage.engine, "netlink", tmp_path, more=AWAY)
    try:
        again.wait_for("HW-904", container=None)
        again.wait_for("HW-905", container=None, timeout_seconds=patient(90))
    finally:
        again.stop()


def test_health_is_ok_where_nothing_is_missing(agents: Agents, stage: Stage, tmp_path: Path) -> None:
    """Also where process 1 is closed to everybody, and with the few rights that the agent keeps."""
    agents.stop()
    agent = running_agent.start(stage.engine, "netlink", tmp_path)
    try:
        settle(patient(3))
        socket = str(tmp_path / "netlink.state/control.sock")
        command = [running_agent.find_command(), "status", "--socket", socket, "-o", "json"]
        health = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["health"]
    finally:
        assert not agent.stop()
    assert health == {"status": "ok", "is_ready": True, "reasons": []}
