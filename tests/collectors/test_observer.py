from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from collectors.events import (
    ContainerSeen,
    CredentialChange,
    Exec,
    Exit,
    Fork,
    MountNamespaceGone,
    MountTable,
    NamespaceChange,
    Seen,
    SweepDone,
)
from collectors.facts import ProcessKey, Unknown
from collectors.mountwatch import MountWatch
from tests.support import build
from tests.support.observed_node import CGROUP, CONTAINER, HOST_CGROUP, SHIM, Node
from tests.support.proctree import Link, Tree, build_tree, namespace_links, process_tree, stat_line


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_sweep_tells_every_process_once(node: Node) -> None:
    node.sweep.run()
    assert sorted(node.told_pids(Seen)) == [1, SHIM]
    node.sweep.run()
    assert [type(event) for event in node.told()] == [SweepDone]


def test_a_shim_that_outlives_its_containers_is_no_memory_of_them(node: Node) -> None:
    node.put_member(100)
    node.sweep.run()
    (sent,) = (each for each in node.told(ContainerSeen) if isinstance(each, ContainerSeen))
    assert node.observer._outer_parents == {SHIM: {sent.container.id}}
    node.remove(100)
    node.sweep.run()
    node.observer.refresh_containers()
    assert node.observer._outer_parents == {SHIM: set()}


def test_container_and_its_mount_table_are_told_before_its_process(node: Node) -> None:
    node.put_member(100)
    node.sweep.run()
    kinds = [type(event) for event in node.told() if not (isinstance(event, Seen) and event.process.key.pid != 100)]
    assert kinds == [ContainerSeen, MountTable, Seen, SweepDone]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda node: node.relink("100/ns/mnt", "mnt:[4026531832]"), id="mount-namespace"),
        pytest.param(lambda node: node.relink("100/ns/net", "net:[4026531833]"), id="network-namespace"),
        pytest.param(lambda node: node.relink("100/root", "/proc"), id="root"),
        pytest.param(lambda node: (node.proc / "100/cgroup").write_bytes(HOST_CGROUP), id="cgroup"),
    ],
)
def test_sweep_tells_what_an_escape_changes_at_the_next_pass(node: Node, change: Callable[[Node], object]) -> None:
    node.put_member(100)
    node.sweep.run()
    node.sweep.run()
    node.told()
    change(node)
    node.sweep.run()
    assert node.told_pids() == [100]


def test_sweep_tells_a_thread_only_when_it_differs(node: Node) -> None:
    threads: Tree = {"100": process_tree(100, cgroup=CGROUP, ns=namespace_links(mnt=77, net=78))}
    threads["101"] = process_tree(101, cgroup=CGROUP, ns=namespace_links(mnt=77, net=78))
    node.put_member(100, task=threads)
    node.sweep.run()
    node.told()
    node.relink("100/task/101/ns/mnt", "mnt:[4026531832]")
    node.sweep.run()
    (event,) = node.told(Seen)
    assert isinstance(event, Seen)
    assert event.process.key.pid == 101
    assert event.process.thread_of == ProcessKey(100, 5000)
    assert event.process.confinement.namespaces.mnt == 4026531832


def test_sweep_tells_the_end_of_a_process(node: Node) -> None:
    node.put_member(100)
    node.sweep.run()
    node.told()
    node.remove(100)
    node.sweep.run()
    assert [event.key.pid for event in node.told(Exit) if isinstance(event, Exit)] == [100]


def test_sweep_tells_a_reused_pid_as_another_process(node: Node) -> None:
    node.sweep.run()
    node.told()
    node.put(SHIM, stat=stat_line(SHIM, start_ticks=9999))
    node.sweep.run()
    (event,) = node.told(Seen)
    assert isinstance(event, Seen)
    assert event.process.key == ProcessKey(SHIM, 9999)


def test_zombie_is_no_process(node: Node) -> None:
    dead = stat_line(300).replace(b") S ", b") Z ")
    node.put(300, stat=dead)
    node.sweep.run()
    assert 300 not in node.told_pids()


def test_fork_is_told_for_children_of_containers_only_before_what_they_execute(node: Node) -> None:
    node.put_member(100)
    node.sweep.run()
    node.told()
    node.put_member(101, parent=100)
    node.put(999)
    born_ns = node.now_ns
    node.observer.forked(100, 101, born_ns)
    node.observer.forked(1, 999, born_ns)
    assert node.told() == []
    node.observer.executed(101, born_ns + 1)
    node.observer.executed(999, born_ns + 2)
    fork, *execs = node.told()
    assert fork == Fork(born_ns, ProcessKey(100, 5000), ProcessKey(101, 5000))
    assert [(type(each), each.at_ns) for each in execs] == [(Exec, born_ns + 1), (Exec, born_ns + 2)]


def test_child_of_which_nothing_was_told_by_its_end_was_never_told_of(node: Node) -> None:
    node.put_member(100)
    node.sweep.run()
    node.told()
    node.put_member(101, parent=100)
    node.observer.forked(100, 101, node.now_ns)
    node.remove(101)
    node.observer.exited(101, node.now_ns)
    node.observer.executed(100, node.now_ns)
    assert [type(each) for each in node.told()] == [Exec]


@pytest.mark.parametrize(
    "happens",
    [
        pytest.param(lambda node: node.observer.executed(100, 7), id="executes"),
        pytest.param(lambda node: node.observer.credentials_changed(100, 100, 7), id="changes-its-ids"),
        pytest.param(lambda node: node.observer.exited(100, 7), id="ends"),
        pytest.param(lambda node: node.observer.traced(101, SHIM, 7), id="whose-child-traces"),
    ],
)
def test_fork_is_told_before_anything_of_the_parent_or_the_child(node: Node, happens: Callable[[Node], None]) -> None:
    """A child is what its parent was at the fork, whatever that does next."""
    node.put_member(100)
    node.sweep.run()
    node.told()
    node.put_member(101, parent=100)
    node.observer.forked(100, 101, node.now_ns)
    happens(node)
    fork, event = node.told()
    assert isinstance(fork, Fork)
    assert fork.child == ProcessKey(101, 5000)
    assert event.at_ns == 7


def test_child_of_a_child_is_told_after_it(node: Node) -> None:
    node.put_member(100)
    node.sweep.run()
    node.told()
    node.put_member(101, parent=100)
    node.put_member(102, parent=101)
    node.observer.forked(100, 101, node.now_ns)
    node.observer.forked(101, 102, node.now_ns)
    node.sweep.run()
    told = [(event.parent.pid, event.child.pid) for event in node.told(Fork) if isinstance(event, Fork)]
    assert told == [(100, 101), (101, 102)]


def test_fork_whose_pid_is_another_process_by_now_is_not_told(node: Node) -> None:
    """Its end, and the fork of the other one, were lost."""
    node.put_member(100)
    node.sweep.run()
    node.told()
    node.put(101, stat=stat_line(101, start_ticks=5100))
    node.observer.forked(100, 101, node.now_ns)
    node.observer.executed(101, node.now_ns)
    (event,) = node.told()
    assert isinstance(event, Exec)
    tracked = node.observer.tracked(101)
    assert tracked is not None
    assert tracked.key == ProcessKey(101, 5100)
    assert tracked.container_id is None


def test_start_of_a_child_that_has_ended_is_the_time_of_its_fork(node: Node) -> None:
    node.put_member(100)
    node.sweep.run()
    node.told()
    a_second_ago = node.now_ns - 1_000_000_000
    node.observer.forked(100, 101, a_second_ago)
    node.observer.forked(101, 102, a_second_ago)
    assert node.told() == [Fork(a_second_ago, ProcessKey(100, 5000), ProcessKey(101, 4899))]


def test_end_that_nobody_told_of_is_told_when_the_pid_comes_again(node: Node) -> None:
    node.put_member(100)
    node.put_member(101, parent=100)
    node.sweep.run()
    node.told()
    node.observer.forked(100, 101, 7)
    assert node.told() == [Exit(7, ProcessKey(101, 5000))]


def test_child_that_a_container_process_made_of_its_own_parent_is_looked_at(node: Node) -> None:
    """CLONE_PARENT: the kernel names the shim as the parent."""
    node.put_member(100)
    node.sweep.run()
    node.told()
    node.put_member(101)
    node.observer.forked(SHIM, 101, 7)
    assert node.told_pids(Seen) == [101]


def test_exec_is_told_even_when_nothing_else_changed(node: Node) -> None:
    node.put_member(100)
    node.sweep.run()
    node.told()
    node.observer.executed(100, 7)
    (event,) = node.told()
    assert isinstance(event, Exec)
    assert event.at_ns == 7


def test_exec_of_a_process_that_is_gone_is_counted(node: Node) -> None:
    node.observer.executed(4711, 7)
    assert node.told() == []
    assert node.observer.counts["gone_before_looked"] == 1


def test_credential_change_of_a_host_process_is_nobodys_business(node: Node) -> None:
    node.put_member(100)
    node.sweep.run()
    node.told()
    node.observer.credentials_changed(SHIM, SHIM, 7)
    node.observer.credentials_changed(100, 100, 8)
    assert [(type(event), event.at_ns) for event in node.told()] == [(CredentialChange, 8)]


def test_process_ends_only_with_its_last_thread(node: Node) -> None:
    node.put_member(100, task={"100": {}, "101": {}})
    node.sweep.run()
    node.told()
    node.observer.exited(100, 7)
    assert node.told() == []
    shutil.rmtree(node.proc / "100/task/101")
    node.observer.exited(100, 8)
    assert node.told(Exit) == [Exit(8, ProcessKey(100, 5000))]


def test_container_of_a_child_is_its_parents_whatever_its_cgroup_says(node: Node) -> None:
    node.put_member(100)
    node.sweep.run()
    node.put(101, stat=stat_line(101, parent_pid=100), cgroup=HOST_CGROUP)
    node.sweep.run()
    tracked = node.observer.tracked(101)
    assert tracked is not None
    assert tracked.container_id == CONTAINER


def test_parents_are_met_first_also_where_pids_have_come_round(node: Node) -> None:
    node.put_member(300)
    node.put(200, stat=stat_line(200, parent_pid=300), cgroup=HOST_CGROUP)
    node.put(100, stat=stat_line(100, parent_pid=200), cgroup=HOST_CGROUP)
    node.sweep.run()
    assert [pid for pid in node.told_pids(Seen) if pid >= 100] == [300, 200, 100]
    for pid in (200, 100):
        tracked = node.observer.tracked(pid)
        assert tracked is not None
        assert tracked.container_id == CONTAINER


def test_mount_table_seen_through_a_chroot_is_not_taken(node: Node) -> None:
    node.put_member(100)
    node.sweep.run()
    node.told()
    cut = b"905 900 254:0 /srv / rw - ext4 /dev/vda rw\n"
    node.put_member(101, parent=100, mountinfo=cut, exe=Link("/bin/sh"))
    node.sweep.run()
    assert node.told(MountTable) == []


def test_who_was_sent_in_is_known_also_while_the_runtime_stands_above_it(node: Node) -> None:
    """It has left the container's cgroup before anybody looked, and the runtime's process has not ended yet."""
    node.put_member(100)
    node.put(60, stat=stat_line(60, parent_pid=SHIM))
    node.put_member(101, parent=60, cgroup=HOST_CGROUP)
    for pid in (100, 60, 101):
        node.observer.executed(pid, 7)
    tracked = node.observer.tracked(101)
    assert tracked is not None
    assert tracked.container_id == CONTAINER


def test_mounts_are_watched_also_of_who_was_met_before_it_had_its_own(node: Node) -> None:
    """The runtime's process is in the container's cgroup before it makes the mount namespace."""
    watch = MountWatch(node.proc, node.events.append, lambda _: (), node.clock)
    node.observer.watch_mounts_with(watch)
    node.put_member(100, ns=namespace_links())
    node.sweep.run()
    assert watch.counters.watched == 0
    node.relink("100/ns/mnt", "mnt:[77]")
    node.sweep.run()
    assert watch.counters.watched == 1


def test_everything_is_told_again_after_a_loss(node: Node) -> None:
    node.put_member(100)
    node.sweep.run()
    node.sweep.run()
    node.told()
    node.observer.forget_what_was_told()
    node.sweep.run()
    assert 100 in node.told_pids(Seen)


def test_remembers_no_more_processes_than_its_limit(node: Node) -> None:
    for pid in range(2000, 3100):
        build_tree(node.proc / str(pid), process_tree(pid))
    node.sweep.run()
    assert len(node.observer.tracked_pids()) == 1000
    assert node.observer.counts["not_remembered"] == 102


def test_layer_is_unknown_for_processes_of_the_host(node: Node) -> None:
    node.sweep.run()
    (event,) = [each for each in node.told(Seen) if isinstance(each, Seen) and each.process.key.pid == 1]
    assert not isinstance(event.process.executable, Unknown)
    assert event.process.executable.layer == Unknown("not_read")


def test_namespace_that_got_an_inode_again_has_no_past(node: Node) -> None:
    node.put_member(100)
    node.sweep.run()
    node.told()
    node.remove(100)
    node.put_member(200)
    node.sweep.run()
    kinds = [type(event) for event in node.told() if not isinstance(event, SweepDone)]
    assert kinds == [Exit, MountNamespaceGone, MountTable, Seen]


def test_a_witnessed_act_of_a_task_that_is_gone_is_told_as_it_was(node: Node) -> None:
    node.put_member(100)
    node.sweep.run()
    node.told()
    escaped = build.confinement(namespaces=build.host_namespaces(), cgroups=build.cgroups())
    process = build.process(777, parent_pid=100, confinement=escaped)
    tracked = node.observer.witnessed(NamespaceChange, process, node.now_ns)
    assert tracked is not None
    assert tracked.container_id == CONTAINER
    event = next(event for event in node.told() if isinstance(event, NamespaceChange))
    assert event.process.key == process.key
    assert event.process.confinement.namespaces == build.host_namespaces()
    assert event.process.confinement.lsm_label == Unknown("gone: proc")


def test_a_task_whose_parents_have_ended_descends_from_the_root_of_its_session(node: Node) -> None:
    node.put_member(100)
    node.sweep.run()
    node.told()
    root = node.observer.tracked(100)
    assert root is not None
    node.observer.inherited(root.key, build.key(777), CONTAINER, node.now_ns)
    assert node.told() == [Fork(node.now_ns, root.key, build.key(777))]
    tracked = node.observer.witnessed(Seen, build.process(777, parent_pid=1), node.now_ns)
    assert tracked is not None
    assert tracked.container_id == CONTAINER


def test_the_end_of_a_task_that_has_the_pid_of_another_forgets_nothing(node: Node) -> None:
    node.put_member(100)
    node.sweep.run()
    node.told()
    earlier = ProcessKey(100, 1)
    node.observer.ended(earlier, node.now_ns)
    assert node.told() == [Exit(node.now_ns, earlier)]
    assert node.observer.tracked(100) is not None
