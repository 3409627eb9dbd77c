"""A real engine, an image, and the real agent of each sensor tier, once for all tests that use it.

Root only. Where something is missing the tests skip and say what.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from tests.support import host_state, image, running_agent, toolbox
from tests.support.engine import Engine, EngineUnavailableError, find_or_start
from tests.support.running_agent import SETTLE_SECONDS, AgentError, RunningAgent, shown
from tests.support.stage import Stage

SCHEMA = Path(__file__).parents[2] / "docs/alert.schema.json"
ORDER = ("poll", "netlink", "ebpf")
TIERS = ORDER[:2]


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
    """The agent of one tier at a time, started when a test first wants it, kept while the next one wants the same."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self._engine = engine
        self._directory = directory
        self._current: RunningAgent | None = None
        self._refused: dict[str, str] = {}

    def of_tier(self, tier: str) -> RunningAgent:
        """The running agent of a tier; one that does not start is waited for once, and fails each test of it."""
        if self._current is not None and self._current.tier == tier and self._current.is_running:
            return self._current
        self.stop()
        if tier in self._refused:
            pytest.fail(self._refused[tier])
        try:
            self._current = running_agent.start(self._engine, tier, self._directory)
        except AgentError as error:
            self._refused[tier] = str(error)
            raise
        return self._current

    def stop(self) -> None:
        """End the agent in order; AssertionError if it did not end so, or wrote what does not fit the schema."""
        ended, self._current = self._current, None
        if ended is not None:
            problems = ended.stop() + misfits(ended)
            assert not problems, "\n".join(problems)


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
    """Whatever a test changes on the machine it puts back."""
    before = host_state.read_host_state()
    yield
    left = host_state.differences(before, host_state.read_host_state())
    assert not left, "\n".join(left)
