"""Containers that were escaped before the agent started: the first sweep finds them."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.live.conftest import TIERS
from tests.support import running_agent
from tests.support.acts.catalog import ACTS
from tests.support.running_agent import RunningAgent
from tests.support.stage import Act, Outcome, Stage

pytestmark = pytest.mark.live

NAMES = (
    "enter_host_mount",
    "enter_host_net",
    "thread_enters_host_mount",
    "enter_other_container",
    "chroot_into_host_volume",
    "work_in_host_root",
    "hold_passed_directory",
    "move_to_root_cgroup",
    "gain_user_namespace",
)
CHOSEN = [act for act in ACTS if act.name in NAMES]
Late = tuple[RunningAgent, dict[str, Outcome]]


@pytest.fixture(scope="module")
def late(request: pytest.FixtureRequest, stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Late]:
    """All chosen acts done and standing, and only then an agent of one tier."""
    if not running_agent.find_command():
        pytest.skip("hullwatch is not installed beside this Python")
    with ExitStack() as stack:
        outcomes = {act.name: stack.enter_context(act.perform(stage)) for act in CHOSEN}
        started = running_agent.start(stage.engine, request.param, tmp_path_factory.mktemp("late"))
        try:
            yield started, outcomes
        finally:
            problems = started.stop()
        assert not problems, "\n".join(problems)


@pytest.mark.parametrize("late", TIERS, indirect=True)
@pytest.mark.parametrize("act", CHOSEN, ids=lambda act: act.name)
def test_finds_what_was_done_before(late: Late, act: Act) -> None:
    agent, outcomes = late
    outcome = outcomes[act.name]
    for expected in act.expected:
        agent.wait_for(expected.rule, container=outcome.container_id, pids=outcome.pids, at_least=expected.severity)
