"""The agent as a DaemonSet runs it: root with four capabilities. It finds what it finds with all of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.capabilities import mask
from tests.support import running_agent
from tests.support.acts.catalog import ACTS
from tests.support.running_agent import RunningAgent
from tests.support.stage import Act, CannotHereError, Stage, needs_program

pytestmark = pytest.mark.live

CAPABILITIES = ("bpf", "perfmon", "sys_ptrace", "dac_read_search")
NAMES = (
    "enter_host_mount",
    "thread_enters_host_net",
    "chroot_into_host_volume",
    "hold_passed_directory",
    "move_to_root_cgroup",
    "leave_by_double_fork",
    "gain_user_namespace",
)
CHOSEN = [act for act in ACTS if act.name in NAMES]


@pytest.fixture(scope="module")
def agent(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    """An agent of the ebpf tier with a bounding set of four."""
    if not running_agent.find_command():
        pytest.skip("hullwatch is not installed beside this Python")
    try:
        program = needs_program("setpriv")
    except CannotHereError as error:
        pytest.skip(str(error))
    few = ",".join(f"+{name}" for name in CAPABILITIES)
    through = (program, f"--bounding-set=-all,{few}", "--inh-caps=-all", "--")
    started = running_agent.start(stage.engine, "ebpf", tmp_path_factory.mktemp("least"), through=through)
    yield started
    problems = started.stop()
    assert not problems, "\n".join(problems)


def test_it_has_four_capabilities_and_the_best_tier(agent: RunningAgent) -> None:
    status = Path(f"/proc/{agent.pid}/status").read_text()
    (effective,) = (line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    kept = set(CAPABILITIES) - {"perfmon"}  # which only the loading of the programs needs
    assert int(effective, 16) == mask(f"CAP_{name.upper()}" for name in kept)
    assert [record["sensor"] for record in agent.log if record.get("event") == "starting"] == ["ebpf"]


@pytest.mark.parametrize("act", CHOSEN, ids=lambda act: act.name)
def test_alerts_on(agent: RunningAgent, act: Act, stage: Stage) -> None:
    mark = agent.mark()
    with act.perform(stage) as outcome:
        for expected in act.expected:
            agent.wait_for(
                expected.rule,
                container=outcome.container_id,
                pids=outcome.pids,
                at_least=expected.severity,
                since=mark,
            )
