"""A rule of the configuration is told of real containers like any detector's, in each tier."""

from collections.abc import Iterator

import pytest

from tests.live.conftest import TIERS, misfits
from tests.support import running_agent
from tests.support.processes import unique_seconds, wait_for_process
from tests.support.running_agent import RunningAgent, rule, settle
from tests.support.stage import Stage

pytestmark = pytest.mark.live

RULES = """
rules:
  - id: OPS-1
    name: root_program_from_tmp
    severity: high
    events: [exec, seen]
    when: process.uid == 0 && process.executable.startsWith("/tmp/") && container.labels["tier"] == "db"
    message: "root runs {process.executable}, below {parent.name}"
    once_per: [container.id, process.executable]
  - id: OPS-2
    name: breaks
    severity: low
    events: [exec, seen]
    when: process.args[200] == "never"
    message: never
"""


@pytest.fixture
def ruled(
    request: pytest.FixtureRequest, stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningAgent]:
    """An agent of one tier with rules of its own."""
    if not running_agent.find_command():
        pytest.skip("hullwatch is not installed beside this Python")
    started = running_agent.start(stage.engine, request.param, tmp_path_factory.mktemp("rules"), more=RULES)
    try:
        yield started
    finally:
        problems = started.stop() + misfits(started)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("ruled", TIERS, indirect=True)
def test_a_rule_of_the_configuration_is_told(ruled: RunningAgent, stage: Stage) -> None:
    with stage.container("--label", "tier=db") as database, stage.container("--label", "tier=web") as web:
        pids = {}
        for container in (database, web):
            stage.shell(container, "cp /bin/busybox /tmp/busybox")
            seconds = unique_seconds()
            stage.engine.execute(container, "/tmp/busybox", "sleep", seconds, options=("-d",))
            pids[container.id] = wait_for_process(seconds, first="/tmp/busybox")
        alert = ruled.wait_for("OPS-1", container=database.id, pids=(pids[database.id],), at_least=70)
        settle()
    assert alert["rule"]["ruleset"] == "operator"
    assert "root runs /tmp/busybox, below " in alert["message"]
    assert [each["container"]["id"] for each in ruled.alerts if rule(each) == "OPS-1"] == [database.id]
    # The rule that cannot work is told, and stops nothing.
    assert "OPS-2" in ruled.wait_for("HW-906", container=None)["message"]
