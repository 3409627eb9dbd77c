"""The state as a capture begins with it, now and as it was: also after any sequence of events."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.assembly import new_state
from agent.capture import beginning
from agent.capture.file import CaptureReader, CaptureWriter
from agent.capture.replay import pace, replay
from agent.config_schema import Config
from agent.state import NodeState
from collectors.events import (
    ContainerGone,
    ContainerSeen,
    Event,
    Exec,
    Exit,
    Fork,
    HostSeen,
    MountNamespaceGone,
    MountTable,
    Seen,
)
from collectors.facts import ProcessKey
from detectors.base import Tier
from tests.agent import alerts
from tests.support import build, captures

NAMESPACE = 4026532100


def empty() -> NodeState:
    return new_state(Config(), build.host_baseline(), Tier.NETLINK)


def state_with(*events: Event) -> NodeState:
    state = empty()
    for event in events:
        state.apply(event)
    state.take_pending()
    return state


def test_one_that_begins_in_the_midst_knows_what_the_core_knows() -> None:
    first = build.first_process()
    gone = alerts.escaped(5000, parent_pid=first.key.pid)
    state = state_with(
        ContainerSeen(1, build.container()),
        Seen(2, build.host_process(900, name=b"containerd-shim")),
        Seen(3, first),
        MountTable(4, NAMESPACE, build.container_id(), first.key, build.mount_table(1)),
        Exec(5, build.process(5000, parent_pid=first.key.pid)),
        Exec(6, gone),
    )
    known = list(beginning.now(state).events(build.NOW_NS))
    assert {event.process for event in known if isinstance(event, Seen)} == set(state.processes())
    assert [event.mounts for event in known if isinstance(event, MountTable)] == [build.mount_table(1)]
    stream = io.BytesIO()
    writer = CaptureWriter(stream, captures.header(beginning=len(known)))
    for event in known:
        writer.add(event)
    writer.finish()
    stream.seek(0)
    told = list(replay(CaptureReader(stream), Config(), pace(None)))
    assert {"HW-101", "HW-107"} <= {alert.detector.id for alert in told}


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_who_knows_its_parent_still_does_and_who_does_not_does_not(order: tuple[int, ...]) -> None:
    """A sweep goes by pid, which need not be the order of birth; several are born in one tick."""
    line = [
        build.host_process(pid, key=ProcessKey(pid, 77), parent_pid=parent)
        for pid, parent in ((903, 902), (902, 901), (901, 1), (904, 903))
    ]
    state = state_with(*(Seen(2, line[index]) for index in order))
    again = state_with(*beginning.now(state).events(build.NOW_NS))
    assert [again.ancestors(each) for each in line] == [state.ancestors(each) for each in line]


def test_of_one_container_the_others_are_left_out() -> None:
    own, host, other = build.first_process(), build.host_process(900), build.first_process(2)
    state = state_with(
        ContainerSeen(1, build.container()), ContainerSeen(1, build.container(2)), Seen(2, host), Seen(2, own)
    )
    state.apply(Seen(3, other))
    known = list(beginning.now(state).events(build.NOW_NS, build.container_id()))
    assert [event.container.id for event in known if isinstance(event, ContainerSeen)] == [build.container_id()]
    assert {event.process for event in known if isinstance(event, Seen)} == {own, host}


def steps(at: int, kind: int, number: int) -> Event:
    pid = 5000 + number
    process = build.process(pid, 1 + number % 2, parent_pid=build.first_pid(1 + number % 2), observed_ns=at)
    choices: tuple[Event, ...] = (
        Seen(at, build.first_process(1 + number % 2, observed_ns=at)),
        Exec(at, process),
        Seen(at, replace(process, arguments=b"again %d" % at)),
        Exit(at, process.key),
        Exit(at, build.key(build.first_pid(1 + number % 2))),
        Fork(at, process.key, build.key(pid + 1)),
        ContainerSeen(at, build.container(1 + number % 2, name=f"named-{at}")),
        ContainerGone(at, build.container_id(1 + number % 2)),
        MountTable(at, NAMESPACE + number % 2, build.container_id(), process.key, build.mount_table(1 + at % 2)),
        MountNamespaceGone(at, NAMESPACE + number % 2),
        HostSeen(at, replace(build.host_baseline(), known_helpers=frozenset())),
    )
    return choices[kind % len(choices)]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 3)), max_size=20))
def test_what_is_undone_is_as_it_was(drawn: list[tuple[int, int]]) -> None:
    state = empty()
    moments, done = [], []
    for at, (kind, number) in enumerate(drawn, start=1):
        event = steps(build.NOW_NS + at, kind, number)
        moments.append(beginning.now(state))
        done.append((event, beginning.before(state, event)))
        state.apply(event)
        state.take_pending()
    for at, moment in enumerate(moments):
        found = beginning.undone(beginning.now(state), reversed(done[at:]))
        assert found.host == moment.host
        assert found.tables == moment.tables
        assert {pid: each.process for pid, each in found.residents.items()} == {
            pid: each.process for pid, each in moment.residents.items()
        }
        known = list(found.events(build.NOW_NS))  # there is an order for any of them
        assert sum(isinstance(each, Seen) for each in known) == len(found.residents)
        assert found.containers == moment.containers
