"""Tests of ``collectors.proc.process``."""

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from collectors.errors import Gone, Malformed
from collectors.facts import NOT_READ, Capabilities, CgroupMembership, Ids, ProcessKey, Unknown
from collectors.host import Roots
from collectors.proc.process import ProcessReader
from tests.support.proctree import build_tree, process_tree, stat_line, status_lines

NOW = 1_700_000_000_000_000_000


def reader(proc: str) -> ProcessReader:
    return ProcessReader(Roots(proc=proc), lambda: NOW, nsfs_device=4)


def test_parses_a_whole_process(tmp_path: Path) -> None:
    tree = process_tree(
        42,
        stat=stat_line(42, b"a) b", parent_pid=7, start_ticks=5000),
        status=status_lines(42, ns_pids=(42, 1), capabilities=0x21),
    )
    process = reader(build_tree(tmp_path, {"42": tree})).read(42)
    assert process.key == ProcessKey(42, 5000)
    assert (process.parent_pid, process.name, process.ns_pid) == (7, b"a) b", 1)
    assert process.arguments == b"sleep\x0060\x00"
    assert process.observed_ns == NOW
    assert process.descriptors == NOT_READ
    assert process.confinement.uids == Ids(0, 0, 0, 0)
    assert process.confinement.capabilities == Capabilities(0, 0x21, 0x21, 0x21, 0)
    assert process.confinement.lsm_label == b"unconfined"
    assert process.confinement.cgroups == (CgroupMembership(0, b"", b"/system.slice/ssh.service"),)


@pytest.mark.parametrize(
    ("missing", "fact"),
    [
        ("cgroup", "cgroups"),
        ("status", "capabilities"),
        ("root", "root"),
        ("cwd", "cwd"),
    ],
)
def test_parses_the_rest_when_one_file_has_gone(tmp_path: Path, missing: str, fact: str) -> None:
    tree = process_tree(42)
    del tree[missing]
    process = reader(build_tree(tmp_path, {"42": tree})).read(42)
    assert getattr(process.confinement, fact) == Unknown(f"gone: proc/{missing}")
    assert process.key == ProcessKey(42, 5000)


@pytest.mark.parametrize("name", ["status", "cgroup"])
def test_parses_the_rest_when_one_file_is_garbled(tmp_path: Path, name: str) -> None:
    process = reader(build_tree(tmp_path, {"42": process_tree(42, **{name: b"\xff nonsense"})})).read(42)
    fact = {"status": process.confinement.uids, "cgroup": process.confinement.cgroups}[name]
    assert fact == Unknown(f"malformed: proc/{name}")


def test_refuses_a_process_without_identity(tmp_path: Path) -> None:
    tree = process_tree(42)
    del tree["stat"]
    subject = reader(build_tree(tmp_path, {"42": tree, "43": process_tree(43, stat=b"garbled")}))
    with pytest.raises(Gone):
        subject.read(42)
    with pytest.raises(Malformed):
        subject.read(43)
    with pytest.raises(Gone):
        subject.read(44)


def test_parses_a_kernel_thread_without_reading_more(tmp_path: Path) -> None:
    tree = {"stat": stat_line(9, b"kworker/0:1", flags=0x00200000, image_mark=(0, 0, 0))}
    process = reader(build_tree(tmp_path, {"9": tree})).read(9)  # type: ignore[dict-item]
    assert process.is_kernel_thread
    assert process.executable == Unknown("not_read: kernel thread")
    assert process.confinement.root == Unknown("not_read: kernel thread")


def test_parses_a_thread_with_its_process(tmp_path: Path) -> None:
    thread = process_tree(43, stat=stat_line(43, start_ticks=6000))
    subject = reader(build_tree(tmp_path, {"42": process_tree(42, task={"42": {}, "43": thread})}))
    process = subject.read(42, tid=43)
    assert (process.key, process.thread_of) == (ProcessKey(43, 6000), ProcessKey(42, 5000))
    assert subject.read(42, tid=42).thread_of is None
    assert subject.has_threads(42)
    with pytest.raises(Gone):
        subject.read(42, tid=44)


def test_parses_equal_parts_to_shared_values(tmp_path: Path) -> None:
    subject = reader(build_tree(tmp_path, {"42": process_tree(42), "43": process_tree(43)}))
    one, other = subject.read(42), subject.read(43)
    for name in ("namespaces", "root", "uids", "capabilities", "seccomp", "cgroups", "lsm_label"):
        assert getattr(one.confinement, name) is getattr(other.confinement, name)
    assert one.executable is other.executable
    assert one.name is other.name


def test_parses_mounts(tmp_path: Path) -> None:
    subject = reader(build_tree(tmp_path, {"42": process_tree(42)}))
    seen = subject.read(42)
    namespace = seen.confinement.namespaces.mnt
    assert isinstance(namespace, int)
    (mount,) = subject.read_mounts(seen.key, namespace)
    assert (mount.mnt_id, mount.point) == (22, b"/")
    with pytest.raises(Gone):
        subject.read_mounts(seen.key, namespace + 1)  # it has gone elsewhere: these would be another's mounts
    with pytest.raises(Gone):
        subject.read_mounts(ProcessKey(42, seen.key.start_ticks + 1), namespace)


def test_parses_a_real_process_and_its_descriptors() -> None:
    with subprocess.Popen(["/bin/sleep", "30"], stdin=subprocess.DEVNULL) as child:
        try:
            deadline = time.monotonic() + 5
            # The kernel names the process before it has set up its arguments.
            while (process := ProcessReader(Roots(), time.time_ns).read(child.pid, descriptors=100)).name != (
                b"sleep"
            ) or not process.arguments:
                assert time.monotonic() < deadline
        finally:
            child.kill()
    assert process.arguments == b"/bin/sleep\x0030\x00"
    assert process.parent_pid == os.getpid()
    assert isinstance(process.image_mark, int)
    assert not isinstance(process.descriptors, Unknown)
    assert process.descriptors[0].target == b"/dev/null"


def test_parses_a_real_thread() -> None:
    with_thread = threading.Event()
    done = threading.Event()
    ids: list[int] = []

    def live() -> None:
        ids.append(threading.get_native_id())
        with_thread.set()
        done.wait(5)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        assert with_thread.wait(5)
        subject = ProcessReader(Roots(), time.time_ns)
        process = subject.read(os.getpid(), tid=ids[0])
        assert process.key.pid == ids[0]
        assert process.thread_of == subject.read(os.getpid()).key
        assert subject.has_threads(os.getpid())
    finally:
        done.set()
        thread.join()


def test_refuses_a_real_process_that_ended() -> None:
    child = subprocess.Popen(["/bin/true"])
    child.wait(timeout=5)
    with pytest.raises(Gone):
        ProcessReader(Roots(), time.time_ns).read(child.pid)


def test_parses_without_leaking_a_descriptor() -> None:
    subject = ProcessReader(Roots(), time.time_ns)
    before = len(os.listdir("/proc/self/fd"))
    for pid in (os.getpid(), 1, 2, 2**22 + 1):
        try:
            subject.read(pid, descriptors=1)
        except Gone:
            continue
    assert len(os.listdir("/proc/self/fd")) == before
