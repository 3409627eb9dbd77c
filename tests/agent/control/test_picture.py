from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from agent.cli import documents
from agent.control.picture import pictured, restored
from agent.control.values import Malformed
from agent.state import NodeState
from collectors.events import Exec, Exit, Fork, Seen
from collectors.facts import NOT_READ, Process
from detectors.base import Member, Tier
from tests.agent.cli.nodes import escaped, sleeping
from tests.support import build

SHELL, CHILD = build.key(5000), build.key(5001)


def state_of(*events: Any) -> NodeState:
    state = NodeState(build.host_baseline(), Tier.NETLINK, max_processes=1000, max_containers=100)
    for event in events:
        state.apply(event)
    return state


def carried(state: NodeState, container_id: str | None = None) -> NodeState:
    parts = [
        msgspec.msgpack.decode(msgspec.msgpack.encode(each)) for each in pictured(state, threading.Lock(), container_id)
    ]
    return restored(parts, max_processes=1000, max_containers=100)


def told(process: Process) -> Process:
    """A process as it arrives: its mark stays behind."""
    return replace(process, image_mark=NOT_READ)


def a_node() -> NodeState:
    """Two containers; of the first one process is out, and a child whose parent has ended is still known as its own."""
    return state_of(
        Seen(build.NOW_NS, build.host_process(900)),
        *sleeping(1),
        *sleeping(2),
        Seen(build.NOW_NS, escaped()),
        Fork(build.NOW_NS, build.first_process(1).key, SHELL),
        Fork(build.NOW_NS, SHELL, CHILD),
        Exit(build.NOW_NS, SHELL),
    )


def test_the_state_is_the_same_at_the_other_end() -> None:
    state = a_node()
    found = carried(state)
    assert found.counts() == state.counts()
    assert (found.tier, found.host) == (state.tier, state.host)
    assert sorted(found.containers(), key=str) == sorted(state.containers(), key=str)
    for process in state.processes():
        assert documents.of_process(found, process) == documents.of_process(state, process)
        assert found.ancestors(process) == tuple(map(told, state.ancestors(process)))
        assert found.process(process.key) == told(process)
        here, there = state.member(process), found.member(process)
        if isinstance(here, Member):
            assert isinstance(there, Member)
            assert isinstance(here.first, Process)
            assert isinstance(here.entry, Process)
            here = replace(here, first=told(here.first), entry=told(here.entry), previous=None)
        assert there == here


def test_a_dead_parent_stays_an_ancestor_and_is_no_live_process() -> None:
    found = carried(a_node())
    child = found.process(CHILD)
    assert child is not None
    assert [each.key for each in found.ancestors(child)][:1] == [SHELL]
    assert found.process(SHELL) is None


def test_one_container_is_all_that_is_told_when_it_is_asked_for() -> None:
    found = carried(a_node(), build.container_id(1))
    assert [each.id for each in found.containers()] == [build.container_id(1)]
    assert build.first_process(2).key not in {each.key for each in found.processes()}
    assert found.process(CHILD) is not None
    assert found.counts()["mount_namespaces"] == 1


def test_the_state_goes_on_from_there() -> None:
    found = carried(a_node())
    process = build.process(6000, parent_pid=CHILD.pid)
    found.apply(Exec(build.NOW_NS + 1, process))
    assert found.container_of(process) == build.container(1)


def test_the_lock_is_held_for_slices_and_not_between_them() -> None:
    state = state_of(*(Seen(build.NOW_NS, build.host_process(pid)) for pid in range(1000, 1600)))
    lock = threading.Lock()
    parts = 0
    for _ in pictured(state, lock):
        assert not lock.locked()
        parts += 1
    assert parts >= 3


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [{}],
        [{"host": {}, "tier": "netlink", "overflow": {}}],
        [{"host": None, "tier": "no such", "overflow": {}}],
    ],
)
def test_refuses_what_is_no_picture(parts: list[Any]) -> None:
    with pytest.raises(Malformed):
        restored(parts, max_processes=10, max_containers=10)


def test_refuses_numbers_that_nobody_told() -> None:
    parts = [msgspec.msgpack.decode(msgspec.msgpack.encode(each)) for each in pictured(a_node(), threading.Lock())]
    for part in parts:
        if "records" in part:
            part["records"].append([9999])
    with pytest.raises(Malformed):
        restored(parts, max_processes=10, max_containers=10)
