"""Whoever watches a container sees each program that it runs, and nobody pays for that when nobody watches."""

import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.live.conftest import Agents
from tests.support.acts.catalog import ACTS
from tests.support.engine import Container
from tests.support.patience import patient
from tests.support.running_agent import RunningAgent, find_command, rule, settle, start
from tests.support.stage import Stage

pytestmark = pytest.mark.live

COMMAND_SECONDS = patient(30)
PROGRAMS = 20
RUN = f'/bin/sleep {patient(1)}; i=0; while [ $i -lt 20 ]; do i=$((i + 1)); /bin/true "$1-$i"; done'
ESCAPE = next(each for each in ACTS if each.name == "enter_host_pid_mount_net")

Document = dict[str, Any]


class Watching:
    """``hullwatch events`` of one container, which watches already."""

    def __init__(self, agent: RunningAgent, *arguments: str) -> None:
        command = (find_command(), "events", *arguments, "-o", "jsonl", "--config", agent.config)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        self.first_line = self.process.stderr.readline()
        assert "watching" in self.first_line, self.first_line + self.process.stderr.read()

    def end(self, number: signal.Signals = signal.SIGINT) -> list[Document]:
        """What was shown until the signal."""
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=COMMAND_SECONDS)
        return [json.loads(line) for line in out.splitlines()]


@contextmanager
def watching(agent: RunningAgent, *arguments: str) -> Iterator[Watching]:
    """A watcher that is gone at the end, whatever happens."""
    made = Watching(agent, *arguments)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate(timeout=COMMAND_SECONDS)


def streamed(agent: RunningAgent) -> int:
    """How many records the kernel has sent for who watches, by the agent's own metrics."""
    settle(patient(0.6))  # they are read at each sweep
    return agent.metric('hullwatch_sensor_records_total{source="ebpf",kind="streamed"}')


def words(event: Document) -> str:
    """The command of the process that an event is of."""
    return str((event.get("process") or {}).get("command_line"))


def run_programs(stage: Stage, container: Container, word: str) -> set[str]:
    """Twenty programs, one after the other, each as short as a program can be; their commands.

    They come when the shell that was sent in has been judged: until then all that it does is told to detectors too.
    """
    stage.shell(container, RUN, word)
    return {f"/bin/true {word}-{number}" for number in range(1, PROGRAMS + 1)}


@pytest.fixture(scope="module")
def agent(agents: Agents, stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """An agent of the ebpf tier that is alone, so that what it counts is of its own stream."""
    agents.stop()
    running = start(stage.engine, "ebpf", tmp_path_factory.mktemp("stream"))
    yield running
    assert running.stop() == []


def test_every_program_of_the_chosen_container_is_shown_and_of_no_other(agent: RunningAgent, stage: Stage) -> None:
    with stage.container() as chosen, stage.container() as other:
        settle()
        before = streamed(agent)
        run_programs(stage, chosen, "early")
        assert streamed(agent) == before
        with watching(agent, chosen.id) as one:
            assert "sensor ebpf" in one.first_line
            wanted = run_programs(stage, chosen, "seen")
            run_programs(stage, other, "unseen")
            settle()
            shown = one.end()
        assert {event["container"]["id"] for event in shown} == {chosen.id}
        for kind in ("exec", "exit"):
            found = Counter(words(event) for event in shown if event["kind"] == kind and words(event) in wanted)
            assert found == dict.fromkeys(wanted, 1), kind
        pids = {event["process"]["pid"] for event in shown if event["kind"] == "exec" and words(event) in wanted}
        assert pids <= {event["process"]["pid"] for event in shown if event["kind"] == "exit"}
        order = [words(event) for event in shown if event["kind"] == "exec" and words(event) in wanted]
        assert order == sorted(order, key=lambda each: int(each.rpartition("-")[2]))
        after = streamed(agent)
        assert before + PROGRAMS < after < before + 4 * PROGRAMS  # not those of the other container
        run_programs(stage, chosen, "late")
        assert streamed(agent) == after


def test_one_that_is_killed_and_one_that_awaits_a_container_leave_nothing_behind(
    agent: RunningAgent, stage: Stage
) -> None:
    with watching(agent) as every, stage.container() as container:
        settle()
        wanted = run_programs(stage, container, "new")
        settle()
        seen = {words(event) for event in every.end(signal.SIGTERM) if event["kind"] == "exec"}
        assert wanted <= seen
        with watching(agent, container.id) as one:
            run_programs(stage, container, "killed")
            one.process.kill()
            one.process.wait(COMMAND_SECONDS)
        after = streamed(agent)
        run_programs(stage, container, "late")
        assert streamed(agent) == after


def test_findings_are_the_same_whether_somebody_watches_or_not(agent: RunningAgent, stage: Stage) -> None:
    told = []
    for is_watched in (False, True):
        mark = agent.mark()
        if is_watched:
            with watching(agent) as every:
                container = _escaped(agent, stage, mark)
                shown = [event for event in every.end() if (event["container"] or {}).get("id") == container]
            kinds = Counter(event["kind"] for event in shown)
            assert kinds["exec"] >= 2, kinds
        else:
            container = _escaped(agent, stage, mark)
        alerts = [each for each in agent.alerts_since(mark) if each.get("container", {}).get("id") == container]
        told.append(Counter((rule(each), each["process"].get("name")) for each in alerts if "process" in each))
    assert told[0] == told[1]
    assert told[0]


def _escaped(agent: RunningAgent, stage: Stage, mark: int) -> str:
    """A real escape in a container that also does honest work; its id, when all is told."""
    with ESCAPE.perform(stage) as outcome:
        agent.wait_for("HW-101", container=outcome.container_id, pids=outcome.pids, since=mark)
        settle()
    settle()
    return outcome.container_id


def test_a_tier_that_sees_less_says_so_and_shows_what_it_sees(stage: Stage, tmp_path: Path) -> None:
    agent = start(stage.engine, "netlink", tmp_path)
    try:
        _shows_what_it_sees(agent, stage)
    finally:
        assert agent.stop() == []


def _shows_what_it_sees(agent: RunningAgent, stage: Stage) -> None:
    lengths = [f"{patient(seconds):.2f}" for seconds in (0.31, 0.32, 0.33)]
    with stage.container() as container:
        settle()
        with watching(agent, container.id) as one:
            assert "sensor netlink: a program that ends before it is looked at is not seen" in one.first_line
            for each in lengths:
                stage.shell(container, f"/bin/sleep {each}")
            time.sleep(patient(0.5))
            shown = one.end()
        for kind in ("exec", "exit"):
            assert {f"/bin/sleep {each}" for each in lengths} <= {
                words(event) for event in shown if event["kind"] == kind
            }
