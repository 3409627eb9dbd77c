"""A look at /proc and a sensor that witnesses: what is told first, and what is not told at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from collectors.events import Event, Exec, MountNamespaceGone, MountTable, NamespaceChange, Seen
from collectors.facts import Mount, Place, Process
from tests.support import build
from tests.support.observed_node import CONTAINER, SHIM, Node
from tests.support.proctree import stat_line

NAMESPACE = 77


@pytest.fixture
def node(tmp_path: Path) -> Node:
    made = Node(tmp_path)
    made.put_member(100)
    made.sweep.run()
    return made


def member(node: Node) -> Process:
    """The container's process as it was told last."""
    tracked = node.observer.tracked(100)
    assert tracked is not None
    assert tracked.told is not None
    return tracked.told


def of_100(events: list[Event]) -> list[type[Event]]:
    return [type(event) for event in events if isinstance(event, NamespaceChange | Seen)]


def test_what_a_sensor_saw_before_the_look_is_told_before_it(node: Node) -> None:
    gone_out = replace(member(node), confinement=build.host_confinement(), observed_ns=node.clock())
    node.told()
    node.observer.observe_after(lambda: _witness(node, gone_out), 100)
    assert of_100(node.told()) == [NamespaceChange, Seen]  # and back it was when it was looked at


def test_what_a_sensor_saw_since_the_look_stands(node: Node) -> None:
    gone_out = replace(member(node), confinement=build.host_confinement(), observed_ns=node.now_ns + 1000)
    node.told()
    node.observer.observe_after(lambda: _witness(node, gone_out), 100)
    assert of_100(node.told()) == [NamespaceChange]
    assert member(node).observed_ns == gone_out.observed_ns


def test_what_is_looked_at_after_the_clock_was_set_back_is_told(node: Node) -> None:
    _witness(node, replace(member(node), confinement=build.host_confinement(), observed_ns=node.clock()))
    node.told()
    node.now_ns -= 3600 * 10**9
    node.observer.observe_after(lambda: None, 100)
    assert of_100(node.told()) == [Seen]


def test_a_task_that_executes_while_it_is_looked_at_is_left_to_the_sensor(node: Node) -> None:
    node.put_member(200)
    node.told()

    def execute() -> None:
        (node.proc / "200" / "stat").write_bytes(stat_line(200, parent_pid=SHIM, image_mark=(1, 2, 3)))

    assert node.observer.observe_after(execute, 200) is None
    assert of_100(node.told()) == []
    assert node.observer.observe_after(lambda: None, 200) is not None
    assert of_100(node.told()) == [Seen]


def test_a_parent_that_nobody_was_told_of_is_met_first_after_what_the_sensor_saw(node: Node) -> None:
    node.put_member(200)
    node.put_member(300, parent=200)
    node.told()
    order: list[list[int]] = []
    node.observer.observe_after(lambda: order.append(node.told_pids()), 300, parent_pid=200)
    assert [*order, node.told_pids()] == [[], [200], [300]]
    order.clear()
    node.observer.observe_after(lambda: order.append(node.told_pids()), 300, parent_pid=200)
    assert [*order, node.told_pids()] == [[], []]


def test_a_mount_that_a_task_has_just_made_is_told_before_the_task_that_stands_on_it(node: Node) -> None:
    process = member(node)
    cwd = process.confinement.cwd
    assert isinstance(cwd, Place)
    row = b"901 900 0:51 / /mnt rw - tmpfs tmpfs rw\n"
    table = node.proc / "100" / "mountinfo"
    table.write_bytes(table.read_bytes() + row)
    stands = replace(process.confinement, cwd=cwd._replace(mnt_id=901))
    node.told()
    _witness(node, replace(process, confinement=stands, observed_ns=node.clock()))
    assert [type(event) for event in node.told()] == [MountTable, NamespaceChange]


def test_a_mount_of_a_task_that_has_ended_is_read_through_who_lives_there(node: Node) -> None:
    node.put_member(200)
    node.observer.executed(200, node.clock())
    ended = node.observer.tracked(200)
    assert ended is not None
    assert ended.told is not None
    cwd = ended.told.confinement.cwd
    assert isinstance(cwd, Place)
    table = node.proc / "100" / "mountinfo"
    table.write_bytes(table.read_bytes() + b"901 900 0:51 / /mnt rw - tmpfs tmpfs rw\n")
    node.remove(200)
    stands = replace(ended.told.confinement, cwd=cwd._replace(mnt_id=901))
    node.told()
    _witness(node, replace(ended.told, confinement=stands, observed_ns=node.clock()))
    assert [type(event) for event in node.told()] == [MountTable, NamespaceChange]


def test_a_table_from_before_the_root_was_in_place_is_forgotten_when_nobody_is_left_to_read_it_anew(node: Node) -> None:
    process = member(node)
    node.remove(100)
    node.told()
    built_ns = node.clock()
    node.observer.built(process, built_ns)
    assert node.told() == [MountNamespaceGone(built_ns, NAMESPACE)]


def test_a_table_from_after_the_root_was_in_place_stands(node: Node) -> None:
    process = member(node)
    node.remove(100)
    node.told()
    node.observer.built(process, build.NOW_NS)
    assert node.told() == []


def test_the_table_of_a_runtimes_process_is_read_anew_when_its_root_is_in_place(node: Node) -> None:
    node.told()
    row = b"901 1 0:50 / / rw - overlay overlay rw,upperdir=/upper\n"
    (node.proc / "100" / "mountinfo").write_bytes(row)
    node.observer.built(member(node), node.clock())
    (event,) = node.told()
    assert isinstance(event, MountTable)
    assert [mount.mnt_id for mount in event.mounts] == [901]


def test_a_table_is_told_again_when_the_runtime_has_done_its_work(node: Node) -> None:
    node.observer.built(member(node), node.clock())
    node.told()
    node.observer.executed(100, node.clock())
    (event,) = node.told(MountTable)
    assert isinstance(event, MountTable)
    assert not event.is_building


def test_a_table_from_before_that_comes_late_is_not_taken(node: Node) -> None:
    process = member(node)
    earlier = node.clock()
    node.remove(100)
    node.observer.built(process, node.clock())
    node.told()
    node.observer.mounted(MountTable(earlier, NAMESPACE, CONTAINER, process.key, build.mount_table()))
    assert node.told() == []


def test_nor_is_it_when_nobody_of_the_container_was_told_of_before(node: Node) -> None:
    known = member(node)
    namespaces = replace(known.confinement.namespaces, mnt=99)
    process = replace(known, key=build.key(300), confinement=replace(known.confinement, namespaces=namespaces))
    earlier = node.clock()
    node.observer.built(process, node.clock())
    node.observer.witnessed(Exec, process, node.clock())
    node.told()
    node.observer.mounted(MountTable(earlier, 99, CONTAINER, process.key, build.mount_table()))
    assert node.told() == []


def test_a_table_of_a_namespace_in_which_nobody_is_left_is_not_taken(node: Node) -> None:
    process = member(node)
    node.observer.ended(process.key, node.clock())
    node.told()
    node.observer.mounted(MountTable(node.clock(), NAMESPACE, CONTAINER, process.key, build.mount_table()))
    assert node.told() == []


def test_an_old_root_that_a_container_takes_away_itself_is_no_runtimes_work(node: Node) -> None:
    process = member(node)
    node.put_member(101, parent=100)
    node.sweep.run()
    node.remove(100)
    node.told()
    node.observer.built(process, node.clock())
    assert node.told() == []


def test_a_table_that_was_read_earlier_is_no_news(node: Node) -> None:
    node.told()
    mounts: tuple[Mount, ...] = build.mount_table()
    node.observer.mounted(MountTable(build.NOW_NS, NAMESPACE, CONTAINER, member(node).key, mounts))
    assert node.told() == []
    node.observer.mounted(MountTable(node.clock(), NAMESPACE, CONTAINER, member(node).key, mounts))
    assert [type(event) for event in node.told()] == [MountTable]


def _witness(node: Node, process: Process) -> None:
    node.observer.witnessed(NamespaceChange, process, process.observed_ns)
