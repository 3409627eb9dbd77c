"""An escape from a container that is hostile in every name that it can give is told all the same."""

import pytest

from tests.live.conftest import TIERS, misfits
from tests.support.processes import unique_seconds, wait_for_process
from tests.support.running_agent import RunningAgent
from tests.support.stage import Stage

pytestmark = pytest.mark.live

AWKWARD = b'\x1b[2J\xff\xfe"\\\' \xe2\x80\xa8\x07\x7f\n{"rule":{"id":"HW-999"}}'
SCRIPT = 'cd /tmp; ln -s /opt/tools/churn x"$0"; ./x"$0" 1; chroot /host /bin/sleep "$1"; exit'


@pytest.mark.parametrize("agent", TIERS, indirect=True)
def test_escape_is_told_when_every_name_is_hostile(agent: RunningAgent, stage: Stage) -> None:
    seconds = unique_seconds()
    options = ("-v", "/:/host", "--label", b"awkward=" + AWKWARD, "-e", b"X=" + AWKWARD)
    container = stage.engine.run("sh", "-c", SCRIPT, AWKWARD, seconds, options=options)
    try:
        pid = wait_for_process(seconds, first="/bin/sleep")
        agent.wait_for("HW-103", container=container.id, pids=(pid,))
    finally:
        stage.engine.remove(container)
    assert not misfits(agent)
