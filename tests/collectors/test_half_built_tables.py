"""Mount tables read while a runtime is at work: the host's copy, both roots at once, masks that are to come."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from collectors.events import Event, Exec, MountNamespaceGone, MountTable
from collectors.facts import Executable, Mount, Place, Process
from tests.support import build
from tests.support.observed_node import CONTAINER, Node
from tests.support.proctree import namespace_links

NAMESPACE = 77
HOST_MNT = build.host_namespaces().mnt
OLD_ROOT = replace(build.host_mount_table()[0], mnt_id=1000)
OWN_ROOT = build.mount_table()[0]


@pytest.fixture(params=["host's table known", "host's device known"])
def node(tmp_path: Path, request: pytest.FixtureRequest) -> Node:
    """The runtime's process stands in its new namespace, whose table nobody could read through it."""
    made = Node(tmp_path)
    made.put_member(100, mountinfo=b"")
    made.sweep.run()
    if request.param == "host's table known":
        assert isinstance(HOST_MNT, int)
        made.observer.mounted(MountTable(made.clock(), HOST_MNT, None, build.key(1), build.host_mount_table()))
    made.told()
    return made


def process_of(node: Node) -> Process:
    tracked = node.observer.tracked(100)
    assert tracked is not None
    assert tracked.told is not None
    return tracked.told


def watched(node: Node, *mounts: Mount) -> list[Event]:
    """What is told when the mount watch brings that table."""
    node.observer.mounted(MountTable(node.clock(), NAMESPACE, CONTAINER, process_of(node).key, mounts))
    return node.told()


@pytest.mark.parametrize("mounts", [(OLD_ROOT,), (OLD_ROOT, OWN_ROOT), (OWN_ROOT, OLD_ROOT)], ids=len)
def test_a_table_with_the_hosts_root_is_not_a_containers_first(node: Node, mounts: tuple[Mount, ...]) -> None:
    assert watched(node, *mounts) == []
    (event,) = watched(node, OWN_ROOT)
    assert isinstance(event, MountTable)


def test_a_container_that_comes_to_have_the_hosts_root_is_told(node: Node) -> None:
    watched(node, OWN_ROOT)
    (event,) = watched(node, OWN_ROOT, OLD_ROOT)
    assert isinstance(event, MountTable)
    assert OLD_ROOT in event.mounts


def executes(node: Node, mnt_id: int) -> list[Event]:
    """A program on that mount is executed, and ends before its table could be read."""
    process = process_of(node)
    assert isinstance(process.executable, Executable)
    assert isinstance(process.executable.place, Place)
    executable = replace(process.executable, place=process.executable.place._replace(mnt_id=mnt_id))
    changed = replace(process, executable=executable, image_mark=mnt_id, observed_ns=node.clock())
    node.observer.witnessed(Exec, changed, node.clock())
    return [event for event in node.told() if isinstance(event, MountTable | MountNamespaceGone)]


def test_a_program_that_ends_at_once_is_not_judged_by_its_runtimes_table(node: Node) -> None:
    watched(node, OWN_ROOT)
    node.remove(100)
    (event,) = executes(node, OWN_ROOT.mnt_id)
    assert isinstance(event, MountNamespaceGone)
    late = MountTable(build.NOW_NS, NAMESPACE, CONTAINER, process_of(node).key, (OWN_ROOT,))
    node.observer.mounted(late)
    assert node.told() == []


def test_a_table_in_which_a_program_ran_before_stands(node: Node) -> None:
    rows = b"900 1 0:50 / / rw - overlay overlay rw,upperdir=/upper\n"
    (node.proc / "100" / "mountinfo").write_bytes(rows)
    (event,) = executes(node, 900)
    assert isinstance(event, MountTable)
    node.remove(100)
    assert executes(node, 900) == []


def test_a_table_that_others_live_by_stands(node: Node) -> None:
    watched(node, OWN_ROOT)
    node.put_member(101, mountinfo=b"", ns=namespace_links(mnt=NAMESPACE, net=78))
    node.sweep.run()
    node.told()
    node.remove(100)
    assert executes(node, OWN_ROOT.mnt_id) == []
