"""A mount is one alert of HW-112, though in the ebpf tier the call tells of it and then the table does."""

import pytest

from tests.live.conftest import Agents
from tests.support.running_agent import RunningAgent, container_id, settle, shown
from tests.support.running_agent import rule as rule_of
from tests.support.stage import TOOLS, Stage

pytestmark = pytest.mark.live

WAYS = {
    "by-the-old-call": "mount -t proc none /mnt",
    "by-the-new-calls": f"{TOOLS}/evade fsmount proc none /mnt",
    "below-another": "mount -t tmpfs none /mnt; mkdir /mnt/p; mount -t sysfs none /mnt/p",
    "in-a-namespace-of-its-own": "unshare -m sh -c 'mount -t proc none /mnt; sleep 2'",
}


@pytest.mark.parametrize("script", WAYS.values(), ids=WAYS)
def test_a_mount_is_told_once(agents: Agents, stage: Stage, script: str) -> None:
    watching = agents.that_see()
    with stage.capable() as container:
        stage.let_it_be_seen()
        stage.shell(container, script)
        settle()

        def check(agent: RunningAgent, mark: int) -> None:
            told = [
                shown(each)
                for each in agent.alerts_since(mark)
                if rule_of(each) == "HW-112" and container_id(each) == container.id
            ]
            assert len(told) == 1, "\n".join(told) or f"{agent.tier} told nothing"

        watching.each(check)
