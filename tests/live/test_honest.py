"""All honest work of the catalogue is done while the agent watches, and it raises no alarm."""

import pytest

from tests.live.conftest import TIERS
from tests.support.honest.catalog import WORKLOADS
from tests.support.running_agent import RunningAgent, rule, severity, shown
from tests.support.stage import CannotHereError, Stage, Workload

pytestmark = pytest.mark.live

CASES = [pytest.param(tier, work, id=f"{tier}-{work.name}") for tier in TIERS for work in WORKLOADS]


@pytest.mark.parametrize(("agent", "work"), CASES, indirect=["agent"])
def test_no_alarm_on(agent: RunningAgent, work: Workload, stage: Stage) -> None:
    mark = agent.mark()
    try:
        with work.perform(stage):
            agent.settle()
        agent.settle()
    except CannotHereError as error:
        pytest.skip(str(error))
    said = [
        alert for alert in agent.alerts_since(mark) if severity(alert) > work.worst and rule(alert) not in work.declared
    ]
    assert not said, "\n".join(shown(alert) for alert in said)
