"""All honest work of the catalogue is done while the agents watch, and they raise no alarm."""

import pytest

from tests.live.conftest import Agents
from tests.support.honest.catalog import WORKLOADS
from tests.support.running_agent import rule, severity
from tests.support.stage import CannotHereError, Stage, Workload

pytestmark = pytest.mark.live


@pytest.mark.parametrize("work", WORKLOADS, ids=lambda work: work.name)
def test_no_alarm_on(agents: Agents, work: Workload, stage: Stage) -> None:
    watching = agents.that_see()
    try:
        with work.perform(stage):
            watching.settle()
        watching.settle()
    except CannotHereError as error:
        pytest.skip(str(error))
    said = watching.said(lambda alert: severity(alert) > work.worst and rule(alert) not in work.declared)
    assert not said, "\n".join(said)
