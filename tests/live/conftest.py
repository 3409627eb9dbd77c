"""A real engine, an image, and the real agents of all sensor tiers, once for all tests that use them.

The agents run side by side, so that each act is done once and seen by all. `HULLWATCH_LIVE_TIERS` (names with commas
between them) leaves tiers out. Root only. Where something is missing the tests skip and say what.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jsonschema
import pytest

from tests.support import host_state, image, running_agent, toolbox
from tests.support.engine import Engine, EngineUnavailableError, find_or_start
from tests.support.running_agent import SETTLE_SECONDS, AgentError, Alert, RunningAgent, settle_all, shown
from tests.support.stage import Stage

SCHEMA = Path(__file__).parents[2] / "docs/alert.schema.json"
RESTORED_SECONDS = 3.0
ORDER = ("poll", "netlink", "ebpf")
TIERS = tuple(tier for tier in ORDER if tier in os.environ.get("HULLWATCH_LIVE_TIERS", ",".join(ORDER)).split(","))


def sees(tier: str, weakest: str) -> bool:
    """Whether a tier is at least the weakest one that an act needs."""
    return ORDER.index(tier) >= ORDER.index(weakest)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A Docker engine."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    try:
        found = find_or_start()
    except EngineUnavailableError as error:
        pytest.skip(f"no Docker engine: {error}")
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(scope="session")
def stage(engine: Engine) -> Stage:
    """The engine with the test image, and the tools; it has run a container, so its cgroups are there."""
    try:
        tools = toolbox.build()
    except toolbox.ToolboxUnavailableError as error:
        pytest.skip(f"no tools: {error}")
    image.import_into(engine, tools)
    made = Stage(engine, tools, seen_after_seconds=SETTLE_SECONDS / 2)
    with made.container():
        return made


def misfits(agent: RunningAgent) -> list[str]:
    """Where alerts that the agent wrote do not fit the published schema, a line each."""
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    return [f"{shown(alert)}: {error.message}" for alert in agent.alerts for error in validator.iter_errors(alert)]


class Agents:
    """The agents of the tiers, each started when a test first wants it, and kept."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self._engine = engine
        self._directory = directory
        self._running: dict[str, RunningAgent] = {}
        self._refused: dict[str, str] = {}

    def of_tier(self, tier: str) -> RunningAgent:
        """The running agent of a tier; one that does not start is waited for once, and fails each test of it."""
        current = self._running.get(tier)
        if current is not None and current.is_running:
            return current
        if tier in self._refused:
            pytest.fail(self._refused[tier])
        try:
            self._running[tier] = running_agent.start(self._engine, tier, self._directory)
        except AgentError as error:
            self._refused[tier] = str(error)
            raise
        return self._running[tier]

    def that_see(self, weakest: str = ORDER[0]) -> "Watching":
        """The running agents of all tiers from the weakest on."""
        return Watching([self.of_tier(tier) for tier in TIERS if sees(tier, weakest)])

    def stop(self) -> None:
        """End the agents in order; AssertionError if one did not end so, or wrote what does not fit the schema."""
        ended, self._running = self._running, {}
        problems = [f"{tier}: {each}" for tier, agent in ended.items() for each in agent.stop() + misfits(agent)]
        assert not problems, "\n".join(problems)


class Watching:
    """Agents that watch the same act, and how far each had told when it began."""

    def __init__(self, agents: Sequence[RunningAgent]) -> None:
        self._marks = [(agent, agent.mark()) for agent in agents]

    def each(self, check: Callable[[RunningAgent, int], object]) -> None:
        """Hold every agent, and its mark, against a check; AssertionError tells what failed in which tiers."""
        failed = []
        for agent, mark in self._marks:
            try:
                check(agent, mark)
            except AssertionError as error:
                failed.append(str(error))
        assert not failed, "\n".join(failed)

    def settle(self) -> None:
        """Give the agents the time in which each has read everything anew at least once."""
        settle_all([agent for agent, _ in self._marks])

    def said(self, is_alarm: Callable[[Alert], bool]) -> list[str]:
        """The alerts since the marks that are alarms, a line each with its tier."""
        return [
            f"{agent.tier}: {shown(alert)}"
            for agent, mark in self._marks
            for alert in agent.alerts_since(mark)
            if is_alarm(alert)
        ]


@pytest.fixture(scope="session")
def agents(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agents]:
    """Who starts and ends the agents."""
    if not running_agent.find_command():
        pytest.skip("hullwatch is not installed beside this Python")
    made = Agents(stage.engine, tmp_path_factory.mktemp("agent"))
    yield made
    made.stop()


@pytest.fixture
def agent(request: pytest.FixtureRequest, agents: Agents) -> RunningAgent:
    """The agent of one tier (`request.param`)."""
    return agents.of_tier(request.param)


@pytest.fixture(autouse=True)
def _machine_as_before() -> Iterator[None]:
    """Whatever a test changes on the machine it puts back; the kernel lets go of a disk's file in its own time."""
    before = host_state.read_host_state()
    yield
    ends = time.monotonic() + RESTORED_SECONDS
    while (left := host_state.differences(before, host_state.read_host_state())) and time.monotonic() < ends:
        time.sleep(0.05)
    assert not left, "\n".join(left)
