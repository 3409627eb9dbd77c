"""Detection depends on no program's name: the acts again, with every shell and tool of the image under a random one."""

from collections.abc import Iterator
from dataclasses import fields

import pytest

from tests.live.conftest import TIERS, Agents, sees
from tests.live.test_escapes import told_of
from tests.support import image
from tests.support.acts.catalog import ACTS
from tests.support.engine import Engine
from tests.support.renamed import RenamedEngine, known_by, make_names
from tests.support.running_agent import RunningAgent, process_names
from tests.support.stage import Act, CannotHereError, Stage

pytestmark = pytest.mark.live

# Those in which no program of the host has to be started by its name: from there on it is the host's own.
NAMES = frozenset(
    {
        *("enter_host_net", "enter_host_ipc_uts", "thread_enters_host_mount", "thread_enters_host_net"),
        *("go_out_and_back", "enter_other_container", "move_to_root_cgroup"),
        *("gain_user_namespace", "mount_in_user_namespace", "run_from_memory", "core_pattern_binary"),
        *("release_agent_binary", "hold_host_namespace", "hold_disk", "hold_kernel_memory", "hold_runtime"),
        *("hold_bpf_map", "hold_userfaultfd", "hold_host_memory", "trace_host_process", "shell_on_connection"),
        *("use_engine_socket_through_proc", "open_packet_socket", "set_release_agent", "replace_core_pattern"),
    }
)
FILES_OF_ACTS = frozenset({"payload"})  # what an act calls a file that it makes
CHOSEN = [act for act in ACTS if act.name in NAMES and sees(TIERS[-1], act.weakest)]


@pytest.fixture(scope="module")
def renamed(stage: Stage) -> Iterator[Stage]:
    """The stage again, in whose image nothing is called what it is."""
    names = make_names(stage.tools)
    known = {each.name: getattr(stage.engine, each.name) for each in fields(Engine)}
    engine = RenamedEngine(**known, names=names)
    image.import_into(engine, stage.tools, names.of, names.busybox)
    with known_by(names):
        yield Stage(engine, stage.tools, seen_after_seconds=stage.seen_after_seconds)


def test_every_act_that_is_named_is_there() -> None:
    assert {act.name for act in ACTS} >= NAMES


@pytest.mark.parametrize("act", CHOSEN, ids=lambda act: act.name)
def test_alerts_on_an_act_without_a_name(agents: Agents, act: Act, renamed: Stage) -> None:
    assert isinstance(renamed.engine, RenamedEngine)
    known_names = renamed.engine.names.of.keys() - FILES_OF_ACTS
    watching = agents.that_see(act.weakest)
    try:
        with act.perform(renamed) as outcome:

            def is_told(agent: RunningAgent, mark: int) -> None:
                for alert in told_of(act, outcome, agent, mark):
                    assert not process_names(alert) & known_names

            watching.each(is_told)
    except CannotHereError as error:
        pytest.skip(str(error))
