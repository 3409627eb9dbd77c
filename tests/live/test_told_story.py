"""After a real escape, the commands tell a person what happened to which container, and whether it is contained."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.live.conftest import TIERS
from tests.support.acts.catalog import ACTS
from tests.support.patience import patient
from tests.support.running_agent import Alert, RunningAgent, find_command, settle
from tests.support.stage import Stage
from tests.support.terminal import Terminal, holds

pytestmark = pytest.mark.live

COMMAND_SECONDS = patient(30)
ESCAPE = next(each for each in ACTS if each.name == "enter_host_pid_mount_net")


def ask(agent: RunningAgent, *arguments: str) -> str:
    """What a command says on stdout; it must say it well."""
    command = (find_command(), *arguments, "--config", agent.config)
    done = subprocess.run(command, capture_output=True, timeout=COMMAND_SECONDS, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.mark.parametrize("agent", TIERS, indirect=True)
def test_an_alert_line_leads_to_the_story(agent: RunningAgent, stage: Stage, tmp_path: Path) -> None:
    mark = agent.mark()
    with ESCAPE.perform(stage) as outcome:
        alert = agent.wait_for("HW-101", container=outcome.container_id, pids=outcome.pids, since=mark)
        settle()
        _explained(agent, alert, outcome.pids)
        _listed(agent, alert)
        _told(agent, alert, outcome.pids)
        page = tmp_path / "incident.html"
        ask(agent, "incidents", alert["event"]["id"], "--html", str(page))
        assert outcome.container_id in page.read_text()
    settle(patient(1.0))
    after = ask(agent, "explain", alert["event"]["id"])
    assert "OUT:" not in after


def _explained(agent: RunningAgent, alert: Alert, pids: tuple[int, ...]) -> None:
    """One command with the event's id: what happened, to which container, and that it is not contained."""
    page = ask(agent, "explain", alert["event"]["id"])
    assert alert["container"]["id"][:12] in page
    assert "OUT:" in page
    assert any(f"pid {pid} " in page for pid in pids)


def _listed(agent: RunningAgent, alert: Alert) -> None:
    container = alert["container"]["id"]
    lines = ask(agent, "alerts", "--container", container, "--rule", "HW-101", "-o", "jsonl").splitlines()
    assert alert["event"]["id"] in {json.loads(each)["event"]["id"] for each in lines}
    assert ask(agent, "alerts", "--container", container, "--until", "1h", "-o", "jsonl") == ""
    listed = json.loads(ask(agent, "containers", "--container", container, "-o", "json"))
    assert [each["now"]["verdict"] for each in listed] == ["out"]
    assert ask(agent, "status").startswith("hullwatch ")


def _told(agent: RunningAgent, alert: Alert, pids: tuple[int, ...]) -> None:
    incident = alert["hullwatch"]["incident"]["id"]
    assert incident[:8] in ask(agent, "incidents")
    told = json.loads(ask(agent, "incidents", incident[:8], "-o", "json"))
    assert told["incident"]["id"] == incident
    assert told["now"]["verdict"] == "out"
    assert alert["event"]["id"] in {each["event"]["id"] for each in told["alerts"]}
    story = ask(agent, "incidents", incident[:8])
    assert any(f" {pid} " in line and "LIVES, outside" in line for line in story.splitlines() for pid in pids)


@pytest.mark.parametrize("agent", TIERS, indirect=True)
def test_commands_that_look_say_that_the_agent_answers(agent: RunningAgent, stage: Stage) -> None:
    with stage.container() as container:
        settle()
        scanned = json.loads(_looked(agent, "scan", "-o", "json").stdout)
        ours = [each for each in scanned if each.get("container", {}).get("id") == container.id]
        assert {each["rule"]["category"] for each in ours} <= {"exposure"}
        for arguments in (("ps", container.id), ("inspect", container.id), ("ways-out", container.id)):
            done = _looked(agent, *arguments)
            assert done.returncode == 0
            assert container.id[:12].encode() in done.stdout


def _looked(agent: RunningAgent, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """A command that could look by itself, and asks the agent."""
    command = (find_command(), *arguments, "--config", agent.config)
    done = subprocess.run(command, capture_output=True, timeout=COMMAND_SECONDS, check=False)
    assert b"the running agent answers" in done.stderr
    return done


@pytest.mark.parametrize("agent", TIERS, indirect=True)
def test_what_a_container_does_is_shown_live(agent: RunningAgent, stage: Stage) -> None:
    with stage.container() as container:
        settle()
        command = (find_command(), "events", container.id, "--limit", "1", "-o", "jsonl", "--config", agent.config)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watching:
            assert watching.stderr is not None
            assert b"watching" in watching.stderr.readline()
            stage.sleep_inside(container)
            out, _ = watching.communicate(timeout=COMMAND_SECONDS)
    event = json.loads(out)
    assert event["container"]["id"] == container.id
    assert event["kind"] in {"exec", "seen"}
    assert event["process"]["pid"] > 0


@pytest.mark.parametrize("agent", TIERS, indirect=True)
def test_top_shows_on_a_terminal_who_is_out(agent: RunningAgent, stage: Stage) -> None:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    terminal = Terminal()
    try:
        with ESCAPE.perform(stage) as outcome:
            agent.wait_for("HW-101", container=outcome.container_id, pids=outcome.pids)
            only = f"--container {outcome.container_id}"
            terminal.run(f"{find_command()} top {only} --interval 1 --config {agent.config}")
            lines = terminal.wait(holds("1 container, 1 out"))
            assert f", {agent.tier}" in lines[0]
            assert lines[2].startswith("OUT ")
            terminal.press("Enter", "Enter")
            assert terminal.wait(holds("WHAT HAPPENED"))[2].startswith("OUT: ")
            terminal.press("Escape", "Tab", "Tab", "Tab")
            lines = terminal.wait(holds("processes of"))
            assert any(line.split()[:2] == ["OUT", str(pid)] for line in lines for pid in outcome.pids)
        terminal.wait(holds("this container is gone"))
    finally:
        terminal.close()
