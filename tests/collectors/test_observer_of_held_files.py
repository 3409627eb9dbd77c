"""Watched files that tasks of containers hold open: found at the sweep's look, or told by whoever looked for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from collectors.events import Event, Exit, FileTouched, Fork, Seen, Touch, Watched, WatchKind
from collectors.facts import FileId, ProcessKey
from collectors.held_files import Held, HeldFiles, Holding, WatchedFile
from collectors.mount_tables import FsPlace
from collectors.observer import Reach
from collectors.watched_objects import Watch
from tests.support import build
from tests.support.observed_node import HOST_CGROUP, Node
from tests.support.proctree import Link

SHADOW = (Watched("/etc/shadow", WatchKind.SECRET), Watched("/etc/shadow", WatchKind.PERSISTENCE))
DISK = 254 << 8
TABLE = b"900 1 0:50 / / rw - overlay overlay rw,upperdir=/upper\n"
OF_HOST = TABLE + b"901 900 254:0 /etc /host/etc ro - ext4 /dev/vda rw\n"
OF_PODS = TABLE + b"901 900 254:0 /var/lib/kubelet/pods/1/hosts /etc/hosts rw - ext4 /dev/vda rw\n"
HELD = Held(Touch.READ, b"/host/etc/shadow", FileId(DISK, 7), 0o100640, SHADOW)
STARTED = 5000


@pytest.fixture
def shadow(tmp_path: Path) -> Path:
    path = tmp_path / "host/etc/shadow"
    path.parent.mkdir(parents=True)
    path.write_text("root:x")
    return path


@pytest.fixture
def node(tmp_path: Path, shadow: Path) -> Node:
    made = Node(tmp_path)
    held_files = HeldFiles(str(made.proc))
    status = shadow.stat()
    watched = WatchedFile(Watch.READ | Watch.WRITE, SHADOW, str(tmp_path / "host"), b"/etc/shadow")
    held_files.files = {FileId(status.st_dev, status.st_ino): (watched,)}
    made.observer.tell_held_files(held_files)
    return made


def holding(path: Path, flags: int) -> dict[str, Any]:
    """What /proc shows of a process that holds a file open."""
    return {"fd": {"3": Link(os.fsencode(path))}, "fdinfo": {"3": b"pos:\t0\nflags:\t0%o\nmnt_id:\t22\n" % flags}}


def touches(node: Node) -> list[tuple[int, Touch, bytes]]:
    told = node.told(FileTouched)
    return [(each.process.key.pid, each.touch, each.path) for each in told if isinstance(each, FileTouched)]


def test_a_watched_file_that_is_held_is_told_after_the_task(node: Node, shadow: Path) -> None:
    node.put_member(100, **holding(shadow, os.O_RDWR))
    node.sweep.run()
    kinds = [type(event) for event in node.events if getattr(event, "process", None) and event.process.key.pid == 100]  # type: ignore[attr-defined]
    assert kinds == [Seen, FileTouched]
    (told,) = (each for each in node.told(FileTouched) if isinstance(each, FileTouched))
    status = shadow.stat()
    assert (told.touch, told.path, told.file, told.watched) == (
        Touch.WRITTEN,
        os.fsencode(shadow),
        FileId(status.st_dev, status.st_ino),
        SHADOW,
    )


def test_it_is_told_once_and_again_where_it_is_held_otherwise(node: Node, shadow: Path) -> None:
    node.put_member(100, **holding(shadow, os.O_RDONLY))
    node.sweep.run()
    assert touches(node) == [(100, Touch.READ, os.fsencode(shadow))]
    node.observer.observe(100, descriptors=True)
    assert touches(node) == []
    (node.proc / "100/fdinfo/3").write_bytes(b"flags:\t02\n")
    node.observer.observe(100, descriptors=True)
    assert touches(node) == [(100, Touch.WRITTEN, os.fsencode(shadow))]
    node.observer.forget_what_was_told()
    node.observer.observe(100, descriptors=True)
    assert touches(node) == [(100, Touch.WRITTEN, os.fsencode(shadow))]


def test_it_is_told_at_an_exec(node: Node, shadow: Path) -> None:
    node.put_member(100, **holding(shadow, os.O_RDONLY))
    node.observer.executed(100, build.NOW_NS)
    assert touches(node) == [(100, Touch.READ, os.fsencode(shadow))]


def test_what_the_host_holds_is_nobodys_business(node: Node, shadow: Path) -> None:
    node.put(100, **holding(shadow, os.O_RDWR), cgroup=HOST_CGROUP)
    node.sweep.run()
    node.observer.observe(100, descriptors=True)
    assert touches(node) == []


@pytest.mark.parametrize(
    ("table", "place", "reaches"),
    [
        pytest.param(OF_HOST, b"/etc/shadow", True, id="below-a-mount"),
        pytest.param(OF_HOST, b"/etc", True, id="what-is-mounted"),
        pytest.param(OF_HOST, b"/", True, id="above-a-mount"),
        pytest.param(OF_HOST, b"/etcetera", False, id="same-beginning"),
        pytest.param(OF_HOST, b"/usr/bin", False, id="elsewhere"),
        pytest.param(OF_PODS, b"/etc/shadow", False, id="what-every-pod-has"),
        pytest.param(TABLE, b"/etc/shadow", False, id="nothing-of-the-host"),
    ],
)
def test_says_who_has_a_mount_that_leads_to_a_place(node: Node, table: bytes, place: bytes, *, reaches: bool) -> None:
    node.put_member(100, mountinfo=table)
    node.sweep.run()
    everybody, nobody = Reach(frozenset({77}), (100,)), Reach(frozenset(), ())
    assert node.observer.who_reaches([FsPlace(DISK, place)]) == (everybody if reaches else nobody)
    assert node.observer.who_reaches([FsPlace(DISK + 1, place)]) == nobody
    assert node.observer.who_reaches(None) == everybody


def test_who_is_in_the_hosts_mount_namespace_comes_everywhere(node: Node) -> None:
    node.put_member(100)
    node.sweep.run()
    node.relink("100/ns/mnt", f"mnt:[{build.host_namespaces().mnt}]")
    node.sweep.run()
    assert node.observer.who_reaches([FsPlace(DISK, b"/etc/shadow")]).pids == (100,)


def test_a_task_that_was_found_to_hold_a_file_is_told(node: Node) -> None:
    node.put_member(100)
    node.sweep.run()
    node.told()
    assert node.observer.holds(Holding(ProcessKey(100, STARTED), (HELD,)))
    assert touches(node) == [(100, Touch.READ, b"/host/etc/shadow")]
    assert node.observer.holds(Holding(ProcessKey(100, STARTED), (HELD,)))
    assert touches(node) == []


def test_a_task_that_nobody_was_told_of_is_told_with_its_parents(node: Node) -> None:
    node.sweep.run()
    node.put_member(99)
    node.put_member(100, parent=99)
    node.told()
    assert node.observer.holds(Holding(ProcessKey(100, STARTED), (HELD,)))
    told = [(type(event), event.process.key.pid) for event in node.events if isinstance(event, Seen | FileTouched)]
    assert told == [(Seen, 99), (Seen, 100), (FileTouched, 100)]


def test_a_task_that_has_ended_since_is_told_as_it_was_known(node: Node) -> None:
    node.put_member(100)
    node.sweep.run()
    node.told()
    node.remove(100)
    assert node.observer.holds(Holding(ProcessKey(100, STARTED), (HELD,)))
    assert touches(node) == [(100, Touch.READ, b"/host/etc/shadow")]


@pytest.mark.parametrize("is_told_of", [True, False])
def test_a_task_of_which_nothing_is_known_any_more_is_not_told(node: Node, *, is_told_of: bool) -> None:
    if is_told_of:
        node.put_member(100)
        node.sweep.run()
        node.observer.exited(100, build.NOW_NS)
        node.remove(100)
    node.told()
    assert not node.observer.holds(Holding(ProcessKey(100, STARTED), (HELD,)))
    assert node.told(FileTouched) == []


def test_another_task_of_that_pid_is_not_told(node: Node) -> None:
    node.put_member(100)
    node.sweep.run()
    assert not node.observer.holds(Holding(ProcessKey(100, STARTED - 1), (HELD,)))
    assert touches(node) == []


def test_a_task_of_the_host_is_not_told(node: Node) -> None:
    node.put(100, cgroup=HOST_CGROUP)
    assert not node.observer.holds(Holding(ProcessKey(100, STARTED), (HELD,)))
    assert touches(node) == []


def test_a_child_whose_fork_was_not_told_is_told_with_it(node: Node) -> None:
    node.put_member(100)
    node.sweep.run()
    node.put_member(101, parent=100)
    node.observer.forked(100, 101, build.NOW_NS)
    node.told()
    assert node.observer.holds(Holding(ProcessKey(101, STARTED), (HELD,)))
    kinds: list[type[Event]] = [type(event) for event in node.events if not isinstance(event, Exit)]
    assert kinds == [Fork, Seen, FileTouched]
