from __future__ import annotations

from dataclasses import replace
from typing import Any

from agent.cli.verdict import lines, verdict
from agent.state import NodeState
from collectors.events import Event, Exec, Seen
from collectors.facts import Process, Unknown
from detectors.base import Tier
from tests.agent.cli.nodes import escaped, sleeping
from tests.support import build

CONTAINER = build.container_id(1)


def state_of(*events: Event) -> NodeState:
    state = NodeState(build.host_baseline(), Tier.NETLINK, max_processes=1000, max_containers=100)
    for event in (Seen(build.NOW_NS, build.host_process(900)), *sleeping(1), *events):
        state.apply(event)
    return state


def session(**confined: Any) -> Process:
    """A process that the host sent into the container, as the agent first met it."""
    return build.process(5000, parent_pid=900, confinement=build.confinement(**confined))


def test_contained_while_nobody_is_wider() -> None:
    found = verdict(state_of(Exec(build.NOW_NS, session())), CONTAINER)
    assert (found.word, len(found.live), found.wide) == ("contained", 2, ())
    assert lines(found)[0].startswith("CONTAINED: no live process of this container (2 processes) is wider than it")


def test_out_when_a_process_is_elsewhere() -> None:
    found = verdict(state_of(Seen(build.NOW_NS, escaped())), CONTAINER)
    assert found.word == "out"
    assert lines(found)[1].startswith("  pid 4242 sh -c id: mnt_namespace, root, cwd, ")


def test_out_also_when_it_was_first_met_outside() -> None:
    """``docker exec ... nsenter`` in the poll tier: its first observation is that of a process that has left."""
    outside = session(namespaces=build.namespaces(mnt=build.HOST_MNT), root=build.HOST_ROOT_PLACE)
    found = verdict(state_of(Seen(build.NOW_NS, outside)), CONTAINER)
    assert (found.word, [each.process.key.pid for each in found.wide]) == ("out", [5000])


def test_contained_when_a_session_was_given_more() -> None:
    given = session(capabilities=build.capabilities(build.FULL_CAPABILITIES), seccomp=build.seccomp(0))
    assert verdict(state_of(Exec(build.NOW_NS, given)), CONTAINER).word == "contained"


def test_widened_when_it_gained_what_it_did_not_come_with() -> None:
    before = session()
    after = replace(
        before,
        observed_ns=build.NOW_NS + 1,
        confinement=build.confinement(capabilities=build.capabilities(build.FULL_CAPABILITIES)),
    )
    found = verdict(state_of(Exec(build.NOW_NS, before), Seen(build.NOW_NS + 1, after)), CONTAINER)
    assert (found.word, found.wide[0].is_out) == ("widened", False)


def test_unknown_when_the_first_process_was_not_seen() -> None:
    container = sleeping(1)[0]
    state = NodeState(build.host_baseline(), Tier.NETLINK, max_processes=1000, max_containers=100)
    for event in (container, Seen(build.NOW_NS, session())):
        state.apply(event)
    first = state.first_process(CONTAINER)
    assert isinstance(first, Unknown)
    found = verdict(state, CONTAINER)
    assert (found.word, found.unknown) == ("unknown", 1)
    assert lines(found)[0].startswith("UNKNOWN: 1 of 1 process could not be compared")


def test_ended_when_nobody_lives() -> None:
    state = NodeState(build.host_baseline(), Tier.NETLINK, max_processes=1000, max_containers=100)
    assert verdict(state, CONTAINER).word == "ended"
