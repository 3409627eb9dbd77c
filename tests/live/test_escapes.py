"""Every escape of the catalogue is performed, and the agent tells it: rule, severity, container and process."""

import pytest

from tests.live.conftest import TIERS, sees
from tests.support.acts.catalog import ACTS
from tests.support.running_agent import RunningAgent, severity, shown
from tests.support.running_agent import rule as rule_of
from tests.support.stage import INFO, Act, CannotHereError, Stage

pytestmark = pytest.mark.live

EXPOSURE = "HW-3"  # what a control was given to do its work with is told, and is no alarm
# Alerts that are about one process; the others are about a container and its mounts, whoever made them.
OF_A_PROCESS = frozenset(f"HW-{number}" for number in (101, 102, 103, 104, 105, 106, 110, 111, 114, 115, 208, 222, 223))
ESCAPES = [
    pytest.param(tier, act, id=f"{tier}-{act.name}")
    for tier in TIERS
    for act in ACTS
    if act.expected and sees(tier, act.weakest)
]
CONTROLS = [pytest.param(tier, act, id=f"{tier}-{act.name}") for tier in TIERS for act in ACTS if not act.expected]


@pytest.mark.parametrize(("agent", "act"), ESCAPES, indirect=["agent"])
def test_alerts_on(agent: RunningAgent, act: Act, stage: Stage) -> None:
    mark = agent.mark()
    try:
        with act.perform(stage) as outcome:
            for expected in act.expected:
                agent.wait_for(
                    expected.rule,
                    container=outcome.container_id if expected.names_container else None,
                    pids=outcome.pids if expected.rule in OF_A_PROCESS else (),
                    at_least=expected.severity,
                    since=mark,
                )
    except CannotHereError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("agent", "act"), CONTROLS, indirect=["agent"])
def test_silent_on(agent: RunningAgent, act: Act, stage: Stage) -> None:
    mark = agent.mark()
    with act.perform(stage):
        agent.settle()
    said = [
        alert
        for alert in agent.alerts_since(mark)
        if severity(alert) > INFO and not rule_of(alert).startswith(EXPOSURE)
    ]
    assert not said, "\n".join(shown(alert) for alert in said)
