from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.facts import DeclaredMount, Mount
from collectors.mount_tables import (
    KERNEL_TYPES,
    PRIVATE_TYPES,
    FsPlace,
    covering,
    declared_read_only,
    is_declared_shared,
    is_host_disk,
    is_mask,
    is_propagated,
    place_of,
    topmost,
    undeclared,
)
from tests.support import build


def of(point: bytes, fs_type: bytes = b"ext4", **overrides: object) -> Mount:
    return build.mount(1500, point, fs_type=fs_type, **overrides)


def declared_at(destination: str, *options: str) -> DeclaredMount:
    return DeclaredMount(destination, "/srv", "bind", options)


def test_no_file_system_is_both_the_kernels_and_private() -> None:
    assert not KERNEL_TYPES & PRIVATE_TYPES


def test_the_last_of_two_mounts_at_a_point_lies_on_top() -> None:
    below, above = of(b"/x"), of(b"/x", b"tmpfs")
    assert topmost((below, above, of(b"/y")), b"/x") is above
    assert topmost((below,), b"/z") is None


@pytest.mark.parametrize(("root", "covered"), [(b"/srv", True), (b"/srv/a", True), (b"/srvx", False), (b"/", False)])
def test_a_mount_covers_what_lies_below_its_root(root: bytes, covered: bool) -> None:
    wide = of(b"/data", root=b"/srv")
    assert covering(of(b"/x", root=root), (wide,)) == ((wide,) if covered else ())


def test_another_device_covers_nothing() -> None:
    assert covering(of(b"/x", device=5), (of(b"/x"),)) == ()


def test_a_disk_of_the_host_is_told_by_its_device() -> None:
    host = build.host_baseline()
    assert is_host_disk(of(b"/x", device=0x0801), host)
    assert is_host_disk(of(b"/x", device=7 << 8, source=b"/dev/loop0"), host)
    assert is_host_disk(of(b"/x", device=build.HOST_DEVICE), host)
    assert not is_host_disk(of(b"/x", device=(300 & 0xFF) | (300 & ~0xFF) << 12, source=b"tmpfs"), host)


HOST = (
    build.mount(27, b"/", parent_id=1, shared=1),
    build.mount(40, b"/mnt", device=9, parent_id=27, shared=77),
)


@pytest.mark.parametrize(
    ("copy", "expected"),
    [
        (build.mount(1301, b"/host/mnt", device=9, parent_id=1300, master=77), True),
        (build.mount(1301, b"/host/mnt", device=9, parent_id=1300, shared=77), True),
        (build.mount(1301, b"/host/mnt", device=9, parent_id=1300, shared=88, master=77), True),
        (build.mount(1301, b"/host/mnt", device=9, parent_id=1300), False),
        (build.mount(1301, b"/host/mnt", device=9, parent_id=1300, master=78), False),
        (build.mount(1301, b"/host/mnt", device=9, parent_id=1300, master=77, root=b"/etc"), False),
        (build.mount(1301, b"/x", device=9, parent_id=1001, master=77), False),
        (build.mount(1301, b"/x", device=9, parent_id=5, master=77), False),
    ],
    ids=["copy", "peer", "both", "private", "another-group", "another-root", "bound-elsewhere", "no-parent"],
)
def test_a_mount_from_the_host_is_told_by_its_and_its_parents_group(copy: Mount, expected: bool) -> None:
    ours = (build.mount(1001), build.mount(1300, b"/host", parent_id=1001, master=1), copy)
    assert is_propagated(copy, ours, HOST) is expected


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        (of(b"/proc/kcore", b"tmpfs", root=b"/null"), True),
        (of(b"/proc/kcore", b"devtmpfs", root=b"/null"), True),
        (of(b"/proc/acpi", b"tmpfs", options=(b"ro",)), True),
        (of(b"/proc/acpi", b"ext4", options=(b"ro",), root=b"/run/crun/.empty-directory"), True),
        (of(b"/proc/acpi", b"tmpfs", options=(b"rw",)), False),
        (of(b"/proc/kcore", b"proc", root=b"/sysrq-trigger"), False),
        (of(b"/proc/kcore", b"ext4", root=b"/null"), False),
        (of(b"/proc/kcore", b"tmpfs", root=b"/x/null", options=(b"ro",)), False),
    ],
    ids=["null", "devtmpfs-null", "read-only-tmpfs", "crun", "writable", "proc", "null-on-disk", "null-elsewhere"],
)
def test_a_mask_hides(mount: Mount, expected: bool) -> None:
    assert is_mask(mount) is expected


def test_what_the_bundle_asks_for_is_declared() -> None:
    assert undeclared(build.mount_table(), build.declared()) == ()


@pytest.mark.parametrize(
    ("destination", "row", "expected"),
    [
        ("/data", of(b"/data"), True),
        ("//data/./", of(b"/data"), True),
        ("/var/run/x", of(b"/run/x"), True),
        ("/data", of(b"/data/below"), False),
        ("/data", of(b"/other"), False),
    ],
)
def test_a_declared_destination_explains_a_row(destination: str, row: Mount, expected: bool) -> None:
    declared = build.declared(mounts=(declared_at(destination),))
    assert undeclared((row,), declared) == (() if expected else (row,))


def test_below_a_recursive_bind_anything_may_be() -> None:
    declared = build.declared(mounts=(declared_at("/host", "rbind"),))
    assert undeclared((of(b"/host"), of(b"/host/proc", b"proc")), declared) == ()


def test_a_second_mount_at_a_declared_place_is_not_declared() -> None:
    second = replace(of(b"/data"), mnt_id=1501)
    declared = build.declared(mounts=(declared_at("/data"),))
    assert undeclared((of(b"/data"), second), declared) == (second,)


def test_a_declared_destination_that_is_there_explains_no_other_row() -> None:
    row = replace(of(b"/elsewhere/data"), mnt_id=1501)
    declared = build.declared(mounts=(declared_at("/data"),))
    assert undeclared((of(b"/data"), row), declared) == (row,)


@pytest.mark.parametrize(
    ("options", "wanted", "expected"),
    [((b"ro",), ("ro",), True), ((b"rw",), ("ro",), False), ((b"rw",), (), True)],
    ids=["as-declared", "writable", "declared-writable"],
)
def test_a_v1_controller_is_the_runtimes_as_far_as_it_is_declared_writable(
    options: tuple[bytes, ...], wanted: tuple[str, ...], expected: bool
) -> None:
    row = of(b"/sys/fs/cgroup/pids", b"cgroup", options=options)
    declared = build.declared(mounts=(DeclaredMount("/sys/fs/cgroup", "cgroup", "cgroup", wanted),))
    assert undeclared((of(b"/sys/fs/cgroup", b"tmpfs"), row), declared) == (() if expected else (row,))


def test_read_only_points_are_mounts_paths_and_root() -> None:
    declared = build.declared(
        mounts=(declared_at("/a", "ro"), declared_at("/b")), readonly_paths=("/proc/sys",), root_readonly=True
    )
    assert declared_read_only(declared) == {b"/a", b"/proc/sys", b"/"}


@pytest.mark.parametrize(("option", "expected"), [("rshared", True), ("shared", True), ("rslave", False)])
def test_a_bidirectional_mount_covers_what_is_below_it(option: str, expected: bool) -> None:
    declared = build.declared(mounts=(declared_at("/plugins", "rbind", option),))
    assert is_declared_shared(b"/plugins/pv/1", declared) is expected
    assert not is_declared_shared(b"/plugin", declared)


@given(points=st.lists(st.sampled_from([b"/", b"/data", b"/data/x", b"/run/x", b"/proc"]), max_size=8))
def test_undeclared_rows_are_some_of_the_rows_in_their_order(points: list[bytes]) -> None:
    rows = tuple(replace(of(point), mnt_id=number) for number, point in enumerate(points))
    found = undeclared(rows, build.declared(mounts=(declared_at("/data"), declared_at("/var/run/x"))))
    assert [each.mnt_id for each in found] == sorted(each.mnt_id for each in found)
    assert set(found) <= set(rows)


@pytest.mark.parametrize(
    ("root", "point", "path", "expected"),
    [
        (b"/", b"/", b"/etc/shadow", b"/etc/shadow"),
        (b"/", b"/", b"/", b"/"),
        (b"/@root", b"/", b"/etc", b"/@root/etc"),
        (b"/", b"/boot", b"/boot/grub", b"/grub"),
        (b"/", b"/boot", b"/boot", b"/"),
        (b"/etc", b"/srv/etc", b"/srv/etc/cron.d", b"/etc/cron.d"),
    ],
)
def test_a_path_on_a_mount_is_a_place_in_its_file_system(
    root: bytes, point: bytes, path: bytes, expected: bytes
) -> None:
    assert place_of(path, of(point, root=root, device=7)) == FsPlace(7, expected)
