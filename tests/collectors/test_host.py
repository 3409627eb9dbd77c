"""Tests of ``collectors.host``, ``collectors.bounded`` and ``collectors.devices``."""

import mmap
import os
import time
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.bounded import read_bounded
from collectors.devices import parse_device_number
from collectors.errors import CollectorError, Denied, Gone, Malformed, TooLarge
from collectors.facts import FileId, Namespaces, Unknown
from collectors.host import Roots, detect_roots, read_baseline, read_boot_id, read_lsms, refresh_baseline
from tests.support.proctree import HOST_NAMESPACES, Link, Tree, build_tree, namespace_links, stat_line, status_lines

POD = {"mnt": 4026532700, "net": 4026532701, "cgroup": 4026532702, "ipc": 4026532703, "uts": 4026532704}
KTHREADD = stat_line(2, b"kthreadd", parent_pid=0, flags=2129984, image_mark=(0, 0, 0))


def baseline_of(tmp_path: Path, proc: Tree) -> tuple[Namespaces, str, FileId | Unknown]:
    (tmp_path / "host").mkdir()
    roots = Roots(build_tree(tmp_path / "proc", proc), build_tree(tmp_path / "sys", {}), str(tmp_path / "host"))
    baseline = read_baseline(roots, time.time_ns)
    return baseline.namespaces, baseline.source, baseline.root


def identity(path: Path) -> FileId:
    status = path.stat()
    return FileId(status.st_dev, status.st_ino)


def test_parses_the_baseline_of_pid_1(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    nested = {kind: inode + 5000 for kind, inode in HOST_NAMESPACES.items()}
    proc: Tree = {
        "1": {"ns": namespace_links(**nested), "root": Link(str(tmp_path / "theirs"))},
        "self": {"ns": namespace_links(**POD)},
    }
    expected = Namespaces(**nested), "pid1", identity(tmp_path / "theirs")
    assert baseline_of(tmp_path, proc) == expected


def test_parses_the_baseline_from_kthreadd_when_pid_1_cannot_be_read(tmp_path: Path) -> None:
    proc: Tree = {
        "1": {},
        "2": {"ns": namespace_links(net=4026531992, mnt=4026531841), "stat": KTHREADD},  # before 6.17
        "self": {"ns": namespace_links(**POD)},
    }
    namespaces, source, root = baseline_of(tmp_path, proc)
    assert namespaces == Namespaces(**(HOST_NAMESPACES | {"net": 4026531992, "mnt": 4026531841}))
    assert (source, root) == ("kernel", Unknown("gone: proc/root"))


def test_parses_the_agents_own_root_when_it_stands_in_the_hosts_mount_namespace(tmp_path: Path) -> None:
    proc: Tree = {"2": {"ns": namespace_links(), "stat": KTHREADD}, "self": {"ns": namespace_links()}}
    _, _, root = baseline_of(tmp_path, proc)
    assert root == identity(tmp_path / "host")


def test_parses_the_kernels_constants_when_kthreadd_cannot_be_read_either(tmp_path: Path) -> None:
    namespaces, _, _ = baseline_of(tmp_path, {"self": {"ns": namespace_links(**POD)}})
    gone = Unknown("gone: proc/ns/mnt")
    assert namespaces == Namespaces(**(HOST_NAMESPACES | {"mnt": gone, "net": Unknown("gone: proc/ns/net")}))


def test_refuses_a_process_that_only_calls_itself_kthreadd(tmp_path: Path) -> None:
    proc: Tree = {
        "2": {"ns": namespace_links(mnt=4026539999), "stat": stat_line(2, b"kthreadd")},
        "self": {"ns": namespace_links()},
    }
    namespaces, _, _ = baseline_of(tmp_path, proc)
    assert namespaces.mnt == HOST_NAMESPACES["mnt"]


def test_refuses_the_kernels_constants_inside_a_nested_host(tmp_path: Path) -> None:
    namespaces, _, _ = baseline_of(tmp_path, {"self": {"ns": namespace_links(pid=4026532999)}})
    assert namespaces.user == Unknown("gone: proc/ns/user")


def test_parses_the_roots_of_a_pod_that_sees_the_hosts_processes(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    proc: Tree = {
        "1": {"ns": namespace_links(), "root": Link(str(tmp_path / "theirs"))},
        "self": {"ns": namespace_links(**POD)},
    }
    path = build_tree(tmp_path / "proc", proc)
    assert detect_roots(path) == Roots(path, "/sys", f"{path}/1/root")


@pytest.mark.parametrize("first", [{}, {"ns": namespace_links(), "root": Link("/")}])
def test_parses_the_roots_of_a_program_of_the_host(tmp_path: Path, first: Tree) -> None:
    path = build_tree(tmp_path / "proc", {"1": first, "self": {"ns": namespace_links()}})
    assert detect_roots(path).host == "/"


def _moved_clock(moved_ns: int) -> int:
    return time.time_ns() + moved_ns


def test_the_time_of_boot_follows_a_clock_that_was_set(tmp_path: Path) -> None:
    roots = Roots(host=str(tmp_path))
    baseline = read_baseline(roots, time.time_ns)
    drifted = refresh_baseline(baseline, roots, partial(_moved_clock, 10**8))
    assert drifted.boot_time_ns == baseline.boot_time_ns
    for seconds in (-3600, 3600):
        moved_ns = seconds * 10**9
        was_set = refresh_baseline(baseline, roots, partial(_moved_clock, moved_ns))
        assert abs(was_set.boot_time_ns - baseline.boot_time_ns - moved_ns) < 10**9


def test_parses_the_baseline_of_this_machine() -> None:
    before = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    baseline = read_baseline(Roots(), time.time_ns)
    assert abs(baseline.boot_time_ns - before) < 1_000_000_000
    assert len(baseline.boot_id) == 36
    memfd = os.memfd_create("test")
    try:
        assert baseline.memfd_device == os.fstat(memfd).st_dev
    finally:
        os.close(memfd)
    with mmap.mmap(-1, 4096, flags=mmap.MAP_SHARED):
        assert baseline.memfd_device in baseline.internal_devices
    assert baseline.nsfs_device == os.stat("/proc/self/ns/mnt").st_dev
    assert os.stat("/").st_dev not in baseline.internal_devices
    disks = Path("/sys/class/block")
    assert len(baseline.block_devices) == len(list(disks.iterdir()) if disks.exists() else [])


def test_parses_block_devices_and_passes_over_garbled_ones(tmp_path: Path) -> None:
    block: Tree = {"vda": {"dev": b"254:0\n"}, "vdb": {"dev": b"nonsense"}, "vdc": {}}
    sys = build_tree(tmp_path / "sys", {"class": {"block": block}})
    roots = Roots(build_tree(tmp_path / "proc", {"self": {}}), sys, build_tree(tmp_path / "host", {}))
    assert read_baseline(roots, time.time_ns).block_devices == {os.makedev(254, 0)}


@pytest.mark.skipif(os.geteuid() != 0, reason="files of root are made")
def test_parses_the_helpers_that_the_kernel_is_configured_to_run(tmp_path: Path) -> None:
    host = tmp_path / "host"
    build_tree(
        host,
        {
            "usr": {"lib": {"coredump": b"", "agent": b""}, "bin": {"hotplug": b""}},
            "sys": {"fs": {"cgroup": {"systemd": {"release_agent": b"/usr/lib/agent\n"}}}},
        },
    )
    line = b"30 1 0:25 / /sys/fs/cgroup/systemd rw shared:9 - cgroup cgroup rw,name=systemd\n"
    proc: Tree = {"1": {"mountinfo": line}, "sys": {"kernel": {"core_pattern": b"|/usr/lib/coredump %P\n"}}}
    sys = build_tree(tmp_path / "sys", {"kernel": {"uevent_helper": b"/usr/bin/hotplug\n"}})
    baseline = read_baseline(Roots(build_tree(tmp_path / "proc", proc), sys, str(host)), time.time_ns)
    assert baseline.known_helpers == {
        identity(host / path) for path in ("usr/lib/coredump", "usr/lib/agent", "usr/bin/hotplug")
    }


@pytest.mark.parametrize(
    ("sys", "expected"),
    [
        (
            {"kernel": {"security": {"lsm": b"lockdown,capability,yama,apparmor,bpf"}}},
            frozenset({"lockdown", "capability", "yama", "apparmor", "bpf"}),
        ),
        ({"kernel": {}, "module": {"apparmor": {"parameters": {"enabled": b"Y\n"}}}}, frozenset({"apparmor"})),
        ({"kernel": {}, "module": {"apparmor": {"parameters": {"enabled": b"N\n"}}}}, frozenset()),
        ({"kernel": {}, "fs": {"selinux": {"enforce": b"1"}}}, frozenset({"selinux"})),
        ({}, Unknown("gone: sys/kernel/security/lsm")),
    ],
    ids=["listed", "apparmor", "apparmor-off", "selinux", "no-sysfs"],
)
def test_parses_the_active_security_modules(tmp_path: Path, sys: Tree, expected: frozenset[str] | Unknown) -> None:
    assert read_lsms(Roots(sys=build_tree(tmp_path / "sys", sys))) == expected


def test_parses_the_bounding_set_of_pid_1(tmp_path: Path) -> None:
    roots = Roots(
        build_tree(tmp_path / "proc", {"1": {"status": status_lines(1, capabilities=0x1FF)}}),
        build_tree(tmp_path / "sys", {}),
        build_tree(tmp_path / "host", {}),
    )
    assert read_baseline(roots, time.time_ns).bounding == 0x1FF


def test_parses_a_missing_boot_id_as_empty(tmp_path: Path) -> None:
    assert read_boot_id(Roots(proc=str(tmp_path))) == ""


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 200_000])
def test_parses_files_up_to_the_bound_and_refuses_larger_ones(tmp_path: Path, size: int) -> None:
    path = str(tmp_path / "file")
    Path(path).write_bytes(b"x" * size)
    assert read_bounded(path, size, source="test") == b"x" * size
    if size:
        with pytest.raises(TooLarge):
            read_bounded(path, size - 1, source="test")


def test_refuses_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(Gone):
        read_bounded(str(tmp_path / "nowhere"), 10, source="test")
    with pytest.raises(CollectorError):
        read_bounded(str(tmp_path), 10, source="test")


def test_refuses_a_process_that_ends_while_it_is_read() -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    directory = os.open(f"/proc/{child}", os.O_RDONLY)
    os.waitpid(child, 0)
    try:
        with pytest.raises(Gone):
            read_bounded(b"stat", 4096, dir_fd=directory, source="proc/stat")
    finally:
        os.close(directory)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_refuses_a_file_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "file").touch(mode=0)
    with pytest.raises(Denied):
        read_bounded(str(tmp_path / "file"), 10, source="test")


@given(st.binary() | st.text("0123456789:\n").map(str.encode))
def test_refuses_device_numbers_with_malformed_only(data: bytes) -> None:
    try:
        parse_device_number(data)
    except Malformed:
        return
