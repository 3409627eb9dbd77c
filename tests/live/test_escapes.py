"""Every escape of the catalogue is performed, and the agents tell it: rule, severity, container and process."""

import pytest

from tests.live.conftest import TIERS, Agents, sees
from tests.support.acts.catalog import ACTS
from tests.support.running_agent import Alert, RunningAgent, severity
from tests.support.running_agent import rule as rule_of
from tests.support.stage import INFO, Act, CannotHereError, Outcome, Stage

pytestmark = pytest.mark.live

EXPOSURE = "HW-3"  # what a control was given to do its work with is told, and is no alarm
# Alerts that are about one process; the others are about a container and its mounts, whoever made them.
OF_A_PROCESS = frozenset(f"HW-{number}" for number in (101, 102, 103, 104, 105, 106, 110, 111, 114, 115, 208, 222, 223))
ESCAPES = [act for act in ACTS if act.expected and sees(TIERS[-1], act.weakest)]
CONTROLS = [act for act in ACTS if not act.expected]


def told_of(act: Act, outcome: Outcome, agent: RunningAgent, mark: int) -> list[Alert]:
    """The alerts that an act must give, once the agent has raised them all."""
    return [
        agent.wait_for(
            expected.rule,
            container=outcome.container_id if expected.names_container else None,
            pids=outcome.pids if expected.rule in OF_A_PROCESS else (),
            at_least=expected.severity,
            since=mark,
        )
        for expected in act.expected
    ]


@pytest.mark.parametrize("act", ESCAPES, ids=lambda act: act.name)
def test_alerts_on(agents: Agents, act: Act, stage: Stage) -> None:
    watching = agents.that_see(act.weakest)
    try:
        with act.perform(stage) as outcome:
            watching.each(lambda agent, mark: told_of(act, outcome, agent, mark))
    except CannotHereError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("act", CONTROLS, ids=lambda act: act.name)
def test_silent_on(agents: Agents, act: Act, stage: Stage) -> None:
    watching = agents.that_see()
    with act.perform(stage):
        watching.settle()
    said = watching.said(lambda alert: severity(alert) > INFO and not rule_of(alert).startswith(EXPOSURE))
    assert not said, "\n".join(said)
