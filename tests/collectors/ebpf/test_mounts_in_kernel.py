"""What a child mounts that is marked as a container's task: told as the mount table would show it. Nothing stays."""

import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from collectors.ebpf.acts import ActRecord, How
from collectors.ebpf.calls import calls_by_number
from collectors.facts import Mount
from collectors.proc.mountinfo import parse_mountinfo
from tests.support import mounting
from tests.support.ebpf_kernel import BTF, Kernel, perform

NUMBERS = {call.name: number for number, call in calls_by_number().items()}

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not BTF.exists(), reason="loads eBPF programs: needs root and a kernel with BTF"
)


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


@pytest.fixture
def point(tmp_path: Path) -> str:
    made = tmp_path / "point"
    made.mkdir()
    return str(made)


def shown_and_told(
    kernel: Kernel, tmp_path: Path, act: Callable[[], object], *, flags: int = mounting.CLONE_NEWNS
) -> tuple[tuple[Mount, ...], list[ActRecord]]:
    """The rows that a child's table has more after the act, and what was told of it."""
    tables = [tmp_path / name for name in ("before", "after")]

    def child() -> None:
        mounting.unshare(flags)
        tables[0].write_bytes(Path("/proc/self/mountinfo").read_bytes())
        act()
        tables[1].write_bytes(Path("/proc/self/mountinfo").read_bytes())

    told = perform(kernel, child)
    before, after = (parse_mountinfo(each.read_bytes()) for each in tables)
    known = {each.mnt_id for each in before}
    return tuple(each for each in after if each.mnt_id not in known), told


def as_told(row: Mount) -> Mount:
    """A row of the table as far as the kernel's programs tell of it."""
    return replace(row, options=(b"ro" if row.is_read_only else b"rw",), super_options=())


@pytest.mark.parametrize("kind", ["proc", "sysfs", "tmpfs", "cgroup2", "debugfs"])
def test_a_file_system_is_told_as_its_table_shows_it(kernel: Kernel, tmp_path: Path, point: str, kind: str) -> None:
    if f"\t{kind}\n" not in Path("/proc/filesystems").read_text():
        pytest.skip(f"the kernel has no {kind}")
    rows, told = shown_and_told(kernel, tmp_path, lambda: mounting.mount("of-mine", point, kind))
    assert [each.mount for each in told] == [as_told(each) for each in rows]
    assert [(each.act.how, each.task.header.call) for each in told] == [(How.MOUNTED, NUMBERS["mount"])]
    assert (rows[0].point, rows[0].fs_type, rows[0].source) == (point.encode(), kind.encode(), b"of-mine")


@pytest.mark.parametrize("flags", [mounting.BIND, mounting.BIND | mounting.REC, mounting.BIND | 0xC0ED0000])
def test_a_bound_directory_is_told_with_its_place_in_its_file_system(
    kernel: Kernel, tmp_path: Path, point: str, flags: int
) -> None:
    rows, told = shown_and_told(kernel, tmp_path, lambda: mounting.mount("/etc", point, "none", flags))
    assert [each.mount for each in told] == [as_told(rows[-1])]
    assert rows[0].root.endswith(b"/etc") or Path("/etc").is_mount()


def test_a_read_only_mount_below_a_shared_one_is_told_as_such(kernel: Kernel, tmp_path: Path, point: str) -> None:
    def act() -> None:
        mounting.mount("outer", point, "tmpfs")
        mounting.mount("none", point, "none", mounting.SHARED)
        Path(point, "inner").mkdir()
        mounting.mount("inner", f"{point}/inner", "proc", mounting.RDONLY)

    rows, told = shown_and_told(kernel, tmp_path, act)
    assert [each.mount for each in told] == [replace(as_told(rows[0]), shared=None), as_told(rows[1])]
    assert rows[1].is_read_only
    assert rows[1].shared


def test_a_mount_is_told_that_is_gone_at_once(kernel: Kernel, point: str) -> None:
    def act() -> None:
        mounting.unshare()
        mounting.mount("none", point, "proc")
        mounting.unmount(point)

    (told,) = perform(kernel, act)
    assert told.mount is not None
    assert (told.mount.fs_type, told.mount.point) == (b"proc", point.encode())
    assert told.task.vector.namespaces[0] != Path("/proc/self/ns/mnt").stat().st_ino


def test_a_mount_in_a_user_namespace_of_its_own_is_told(kernel: Kernel, tmp_path: Path, point: str) -> None:
    flags = mounting.CLONE_NEWNS | mounting.CLONE_NEWUSER
    rows, told = shown_and_told(kernel, tmp_path, lambda: mounting.mount("own", point, "tmpfs"), flags=flags)
    assert [each.mount for each in told] == [as_told(each) for each in rows]


@pytest.mark.parametrize("make", [mounting.open_tree, mounting.open_tree_attr], ids=["open_tree", "open_tree_attr"])
def test_a_copy_of_a_mount_is_told_without_a_place_and_then_with_it(
    kernel: Kernel, tmp_path: Path, point: str, make: Callable[[str], int]
) -> None:
    if not mounting.exists(lambda: os.close(make("/etc"))):
        pytest.skip("the kernel has no such call")

    def act() -> None:
        mounting.move_mount(make("/etc"), point)

    (row,), (made, moved) = shown_and_told(kernel, tmp_path, act)
    assert [each.act.how for each in (made, moved)] == [How.DETACHED, How.MOUNTED]
    assert moved.mount == as_told(row)
    assert made.mount is not None
    assert (made.mount.mnt_id, made.mount.point, made.mount.root) == (row.mnt_id, b"", row.root)


def test_a_new_mount_is_told_without_a_place_and_then_with_it(kernel: Kernel, tmp_path: Path, point: str) -> None:
    (row,), (made, moved) = shown_and_told(
        kernel, tmp_path, lambda: mounting.move_mount(mounting.fsmount("proc"), point)
    )
    assert [each.act.how for each in (made, moved)] == [How.DETACHED, How.MOUNTED]
    assert moved.mount == as_told(row)
    assert made.mount == replace(as_told(row), point=b"", parent_id=row.mnt_id)


def test_an_older_mount_that_is_attached_last_is_told_as_what_it_is(kernel: Kernel, tmp_path: Path, point: str) -> None:
    def act() -> None:
        made = mounting.fsmount("proc")
        mounting.mount("newer", point, "tmpfs")
        mounting.move_mount(made, point)

    rows, told = shown_and_told(kernel, tmp_path, act)
    assert [each.mount.fs_type for each in told if each.mount is not None] == [b"proc", b"tmpfs", b"proc"]
    assert told[-1].mount in [as_told(each) for each in rows]


def test_what_makes_no_mount_is_not_told(kernel: Kernel, tmp_path: Path, point: str) -> None:
    def act() -> None:
        mounting.mount("own", point, "tmpfs")
        mounting.mount("none", point, "none", mounting.REMOUNT | mounting.BIND | mounting.RDONLY)
        mounting.mount("none", point, "none", mounting.PRIVATE | mounting.REC)
        os.close(mounting.open_tree("/etc", 0))

    rows, told = shown_and_told(kernel, tmp_path, act)
    assert [each.mount for each in told] == [replace(as_told(each), options=(b"rw",)) for each in rows]


def test_the_same_by_one_process_is_told_once(kernel: Kernel, point: str) -> None:
    def act() -> None:
        mounting.unshare()
        for _ in range(20):
            mounting.mount("none", point, "proc")
            mounting.unmount(point)

    assert len(perform(kernel, act)) == 1


def test_a_mount_that_is_refused_is_not_told_as_made(kernel: Kernel) -> None:
    def act() -> None:
        mounting.unshare()
        os.setuid(65534)
        mounting.mount("none", "/tmp", "proc")

    assert perform(kernel, act, status=1) == []


def test_a_path_that_is_too_long_is_cut_and_told(kernel: Kernel, tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(6):
        deep = deep / ("x" * 120)
    deep.mkdir(parents=True)
    rows, told = shown_and_told(kernel, tmp_path, functools.partial(mounting.mount, "own", str(deep), "proc"))
    (mount,) = (each.mount for each in told)
    assert mount is not None
    assert rows[0].point.endswith(mount.point)
    assert mount.mnt_id == rows[0].mnt_id
