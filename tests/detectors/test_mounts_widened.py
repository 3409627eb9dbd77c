from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from collectors.events import MountTable
from collectors.facts import Container, DeclaredMount, Mount, Process, Unknown
from detectors.base import Blind, Confidence, Finding, Severity
from detectors.mounts_widened import DETECTOR
from tests.support import build
from tests.support.view import FakeView, run

OWN_MNT = 4026532100
INNER_MNT = 4026539998
INNER_USER = 4026539999
ROOT = build.root_mount()
READ_ONLY = (b"ro", b"relatime")


def node(container: Container | None = None, *, late: bool = False, **facts: Any) -> FakeView:
    """A node with container 1, whose start was seen unless the agent came late."""
    view = FakeView(**facts).put_container(container or build.container(), build.first_process())
    view.tables.setdefault(build.HOST_MNT, build.host_mount_table())
    if late:
        view.tables_at_start.clear()
    return view


def table_event(table: tuple[Mount, ...], mnt: int = OWN_MNT, seen_by: int = 4100) -> MountTable:
    return MountTable(build.NOW_NS, mnt, build.container_id(), build.key(seen_by), table)


def gained(*mounts: Mount, view: FakeView | None = None) -> list[Finding | Blind]:
    return run(DETECTOR, table_event((*build.mount_table(), *mounts)), view or node())


def grades(found: list[Finding | Blind]) -> list[tuple[str, Severity | None]]:
    assert all(isinstance(each, Finding) for each in found)
    return [(each.message, each.severity) for each in found if isinstance(each, Finding)]


def of(point: bytes, fs_type: bytes, device: int = 0xE9, **overrides: Any) -> Mount:
    return build.mount(1500, point, fs_type=fs_type, device=device, parent_id=ROOT, **overrides)


def test_fires_when_the_hosts_disk_is_mounted() -> None:
    disk = of(b"/mnt", b"ext4", build.HOST_DEVICE, source=b"/dev/vg/root")
    assert gained(disk) == [
        Finding(
            "mounted a disk of the host: ext4 at /mnt",
            build.container_id(),
            evidence=(
                ("change", "mounted a disk of the host"),
                ("file_system", b"ext4"),
                ("mount_point", b"/mnt"),
                ("source", b"/dev/vg/root"),
                ("root", b"/"),
            ),
            severity=Severity.CRITICAL,
            identity=(build.container_id(), "mounted a disk of the host", "ext4", "/mnt"),
        )
    ]


@pytest.mark.parametrize(
    ("mount", "message", "severity"),
    [
        (of(b"/mnt", b"ext4", 0x0801), "mounted a disk of the host: ext4 at /mnt", Severity.CRITICAL),
        (of(b"/tmp/c", b"cgroup"), "mounted cgroup v1: cgroup at /tmp/c", Severity.CRITICAL),
        (
            of(b"/x", b"ext4", build.HOST_DEVICE, root=b"/etc"),
            "mounted a directory of the host: ext4 at /x",
            Severity.HIGH,
        ),
        (of(b"/x", b"tmpfs", 0x18), "mounted a directory of the host: tmpfs at /x", Severity.HIGH),
        (of(b"/p", b"proc"), "mounted a window into the kernel: proc at /p", Severity.HIGH),
        (of(b"/s", b"sysfs", 0x16), "mounted a window into the kernel: sysfs at /s", Severity.HIGH),
        (of(b"/c", b"cgroup2", 0x1A), "mounted a window into the kernel: cgroup2 at /c", Severity.HIGH),
        (of(b"/t", b"tracefs"), "mounted a window into the kernel: tracefs at /t", Severity.HIGH),
        (of(b"/n", b"nfs4"), "mounted a file system: nfs4 at /n", Severity.MEDIUM),
        (of(b"/\xff\n", b"nfs4"), "mounted a file system: nfs4 at /\\xff\n", Severity.MEDIUM),
    ],
    ids=lambda each: each.fs_type.decode() if isinstance(each, Mount) else "",
)
def test_fires_when_something_was_mounted_after_the_start(mount: Mount, message: str, severity: Severity) -> None:
    assert grades(gained(mount)) == [(message, severity)]


def test_silent_when_the_runtime_has_yet_to_mask_and_to_freeze_what_it_mounted() -> None:
    masked = build.declared(masked_paths=("/proc/acpi",), readonly_paths=("/proc/sys",), root_readonly=True)
    view = node(build.container(declared=masked), late=True)
    half = replace(table_event(build.mount_table()), is_building=True)
    assert run(DETECTOR, replace(half, is_building=False), view)  # as the table of a container that runs, it is no good
    assert run(DETECTOR, half, view) == []
    disk = of(b"/mnt", b"ext4", build.HOST_DEVICE)
    assert grades(run(DETECTOR, replace(half, mounts=(*half.mounts, disk)), view)) == [
        ("mounted a disk of the host: ext4 at /mnt", Severity.CRITICAL)
    ]


def test_fires_when_the_agent_came_late_and_the_bundle_declares_no_such_mount() -> None:
    found = gained(of(b"/mnt", b"ext4", build.HOST_DEVICE), view=node(late=True))
    assert grades(found) == [("mounted a disk of the host: ext4 at /mnt", Severity.CRITICAL)]


def test_fires_when_a_second_mount_lies_on_a_declared_one() -> None:
    found = gained(of(b"/etc/hosts", b"proc"), view=node(late=True))
    assert grades(found) == [("mounted a window into the kernel: proc at /etc/hosts", Severity.HIGH)]


def test_fires_lower_when_the_agent_came_late_and_a_hook_may_have_mounted_it() -> None:
    container = build.container(declared=build.declared(hooks=("/usr/bin/nvidia-container-runtime-hook",)))
    library = of(b"/usr/lib/libcuda.so", b"ext4", build.HOST_DEVICE, root=b"/usr/lib/libcuda.so")
    (finding,) = gained(library, view=node(container, late=True))
    assert isinstance(finding, Finding)
    assert finding.severity is Severity.MEDIUM
    assert finding.confidence is Confidence.LIKELY


def test_fires_when_a_mount_replaces_a_declared_one() -> None:
    table = (*build.mount_table()[:-1], of(b"/etc/hosts", b"ext4", 0x0801))
    found = run(DETECTOR, table_event(table), node())
    assert grades(found) == [("mounted a disk of the host: ext4 at /etc/hosts", Severity.CRITICAL)]


def test_fires_when_a_read_only_mount_becomes_writable() -> None:
    table = tuple(replace(each, options=(b"rw",)) if each.point == b"/sys" else each for each in build.mount_table())
    found = run(DETECTOR, table_event(table), node())
    assert grades(found) == [("made writable what was read-only: sysfs at /sys", Severity.HIGH)]


def test_fires_when_the_agent_came_late_and_a_declared_read_only_mount_is_writable() -> None:
    table = tuple(replace(each, options=(b"rw",)) if each.point == b"/sys" else each for each in build.mount_table())
    found = run(DETECTOR, table_event(table), node(late=True))
    assert grades(found) == [("made writable what was read-only: sysfs at /sys", Severity.HIGH)]


def test_fires_when_a_bind_mount_makes_a_read_only_volume_writable() -> None:
    volume = build.mount(1200, b"/data", root=b"/srv/data", options=READ_ONLY, parent_id=ROOT)
    view = node()
    view.tables_at_start[build.container_id()] = (*build.mount_table(), volume)
    copy = of(b"/mnt", b"ext4", build.HOST_DEVICE, root=b"/srv/data/x")
    found = run(DETECTOR, table_event((*build.mount_table(), volume, copy)), view)
    assert grades(found) == [("mounted a directory of the host: ext4 at /mnt", Severity.HIGH)]


MASK = of(b"/proc/kcore", b"tmpfs", 0x71, root=b"/null")
DIRECTORY_MASK = of(b"/proc/acpi", b"tmpfs", options=READ_ONLY)


def test_fires_when_a_mask_is_taken_off() -> None:
    view = node()
    masked = replace(MASK, parent_id=ROOT + 1)
    view.tables_at_start[build.container_id()] = (*build.mount_table(), masked)
    found = run(DETECTOR, table_event(build.mount_table()), view)
    assert grades(found) == [("took the mask off a masked path: tmpfs at /proc/kcore", Severity.HIGH)]


@pytest.mark.parametrize(
    "mask",
    [
        of(b"/proc/kcore", b"proc", 0x61, root=b"/sys/kernel/core_pattern"),
        of(b"/proc/acpi", b"tmpfs", options=(b"rw",)),
        of(b"/proc/keys", b"tmpfs", root=b"/not-null"),
    ],
    ids=["CVE-2025-31133", "writable-tmpfs", "another-file"],
)
@pytest.mark.parametrize("late", [False, True])
def test_fires_when_a_mask_hides_nothing(mask: Mount, late: bool) -> None:
    view = node(late=late)
    if not late:
        view.tables_at_start[build.container_id()] = (*build.mount_table(), mask)
    message = f"has a masked path whose mask hides nothing: {mask.fs_type.decode()} at {mask.point.decode()}"
    assert grades(gained(mask, view=view)) == [(message, Severity.HIGH)]


def test_fires_once_when_a_disk_lies_where_a_mask_was() -> None:
    found = gained(of(b"/proc/kcore", b"ext4", 0x0801), view=node(late=True))
    assert grades(found) == [("has a masked path whose mask hides nothing: ext4 at /proc/kcore", Severity.CRITICAL)]
    view = node()
    view.tables_at_start[build.container_id()] = (*build.mount_table(), MASK)
    found = gained(MASK, of(b"/proc/kcore", b"ext4", 0x0801), view=view)
    assert grades(found) == [("mounted a disk of the host: ext4 at /proc/kcore", Severity.CRITICAL)]


def test_silent_when_a_mask_is_gone_whose_place_is_not_seen() -> None:
    view = node()
    view.tables_at_start[build.container_id()] = (*build.mount_table(), replace(MASK, parent_id=ROOT + 1))
    assert run(DETECTOR, table_event(build.mount_table()[:1]), view) == []


def test_silent_when_a_tmpfs_becomes_writable() -> None:
    frozen = of(b"/secrets", b"tmpfs", options=READ_ONLY)
    view = node()
    view.tables_at_start[build.container_id()] = (*build.mount_table(), frozen)
    assert gained(replace(frozen, options=(b"rw",)), view=view) == []


def inner_process(**namespaces: Any) -> Process:
    return build.process(confinement=build.confinement(namespaces=build.namespaces(mnt=INNER_MNT, **namespaces)))


def copied() -> tuple[Mount, ...]:
    """The container's table as a new mount namespace gets it: all mount ids are new."""
    return tuple(
        replace(each, mnt_id=each.mnt_id + 5000, parent_id=each.parent_id + 5000) for each in build.mount_table()
    )


def nested(*mounts: Mount, **namespaces: Any) -> list[Finding | Blind]:
    view = node().put_host(inner_process(**namespaces))
    return run(DETECTOR, table_event((*copied(), *mounts), INNER_MNT, 4242), view)


def test_fires_at_most_medium_when_a_sandbox_mounts_proc() -> None:
    (finding,) = nested(of(b"/newroot/proc", b"proc"), user=INNER_USER)
    assert isinstance(finding, Finding)
    assert finding.severity is Severity.MEDIUM
    assert finding.subject == build.key(4242)
    assert finding.identity == (build.container_id(), "mounted a window into the kernel", "proc")
    assert finding.evidence == (("change", "mounted a window into the kernel"), ("file_system", b"proc"))


def test_fires_high_when_proc_is_mounted_in_a_nested_mount_namespace_alone() -> None:
    message = "mounted a window into the kernel: proc at /p, in a mount namespace of its own"
    assert grades(nested(of(b"/p", b"proc"))) == [(message, Severity.HIGH)]


def test_fires_critical_when_cgroup_v1_is_mounted_in_a_nested_user_namespace() -> None:
    (finding,) = nested(of(b"/c", b"cgroup"), user=INNER_USER)
    assert isinstance(finding, Finding)
    assert finding.severity is Severity.CRITICAL
    assert finding.identity == (build.container_id(), "mounted cgroup v1", "cgroup", "/c")


def test_silent_when_nothing_changed() -> None:
    assert gained() == []


def test_silent_when_the_agent_came_late_and_all_is_declared() -> None:
    declared = build.declared(
        mounts=(
            *build.declared().mounts,
            DeclaredMount("/data/", "/srv/data", "bind", ("rbind", "rprivate")),
            DeclaredMount("/lib/modules", "/lib/modules", "bind", ("rbind", "ro")),
            DeclaredMount("/host", "/", "bind", ("rbind", "ro", "rslave")),
        )
    )
    declared_rows = (
        of(b"/data", b"ext4", build.HOST_DEVICE, root=b"/srv/data"),
        of(b"/usr/lib/modules", b"ext4", build.HOST_DEVICE, root=b"/usr/lib/modules", options=READ_ONLY),
        of(b"/host", b"ext4", build.HOST_DEVICE, options=READ_ONLY),
        of(b"/host/proc", b"proc", build.PROC_DEVICE),
        of(b"/proc/sys", b"proc", 0x61, root=b"/sys", options=READ_ONLY),
        of(b"/dev/null", b"devtmpfs", root=b"/null"),
        of(b"/dev/console", b"devpts", root=b"/0"),
        of(b"/sys/fs/cgroup/memory", b"cgroup", options=READ_ONLY),
        MASK,
        DIRECTORY_MASK,
    )
    rows = tuple(replace(each, mnt_id=1500 + number) for number, each in enumerate(declared_rows))
    assert gained(*rows, view=node(build.container(declared=declared), late=True)) == []


def test_silent_when_the_table_at_the_start_was_half_built() -> None:
    view = node()
    view.tables_at_start[build.container_id()] = build.mount_table()[:2]
    assert gained(MASK, DIRECTORY_MASK, view=view) == []


@pytest.mark.parametrize("fs_type", [b"tmpfs", b"mqueue", b"devpts", b"ramfs", b"nsfs"])
def test_silent_when_the_container_mounts_what_is_its_own(fs_type: bytes) -> None:
    assert gained(of(b"/x", fs_type)) == []


def test_silent_when_a_directory_of_the_image_is_bound_elsewhere() -> None:
    assert gained(of(b"/x", b"overlay", build.OVERLAY_DEVICE + 1, root=b"/usr/share")) == []


def test_silent_when_the_host_mounts_below_a_mount_that_receives() -> None:
    hosts = build.mount(300, b"/var/lib/kubelet/v", device=0x0801, parent_id=build.HOST_ROOT_MOUNT, shared=77)
    given = build.mount(1300, b"/host", options=READ_ONLY, parent_id=ROOT, master=1)
    copy = build.mount(1301, b"/host/var/lib/kubelet/v", device=0x0801, parent_id=1300, master=77)
    view = node()
    view.tables[build.HOST_MNT] = (*build.host_mount_table(), hosts)
    view.tables_at_start[build.container_id()] = (*build.mount_table(), given)
    assert run(DETECTOR, table_event((*build.mount_table(), given, copy)), view) == []


def test_fires_when_a_received_mount_is_bound_elsewhere_and_writable() -> None:
    given = build.mount(1300, b"/host", options=READ_ONLY, parent_id=ROOT, master=1)
    bound = build.mount(1301, b"/x", parent_id=ROOT, master=1)
    view = node()
    view.tables_at_start[build.container_id()] = (*build.mount_table(), given)
    found = run(DETECTOR, table_event((*build.mount_table(), given, bound)), view)
    assert grades(found) == [("mounted a disk of the host: ext4 at /x", Severity.CRITICAL)]


def test_silent_when_the_first_process_has_not_entered_yet() -> None:
    view = FakeView(known_containers={build.container_id(): build.container()})
    assert gained(of(b"/mnt", b"ext4", build.HOST_DEVICE), view=view) == []


def test_silent_when_the_table_is_the_hosts() -> None:
    event = MountTable(build.NOW_NS, build.HOST_MNT, None, build.key(1), build.host_mount_table())
    assert run(DETECTOR, event, node()) == []


def test_silent_when_a_nested_namespace_is_a_mere_copy() -> None:
    assert nested(user=INNER_USER) == []


def test_silent_when_a_sandbox_pivots_into_a_tmpfs_with_views_of_the_image() -> None:
    view = node().put_host(inner_process(user=INNER_USER))
    table = (
        build.mount(7001, b"/", fs_type=b"tmpfs", device=0xE8),
        build.mount(7002, b"/usr", fs_type=b"overlay", device=build.OVERLAY_DEVICE + 1, root=b"/usr", parent_id=7001),
    )
    assert run(DETECTOR, table_event(table, INNER_MNT, 4242), view) == []


def test_blind_when_neither_the_start_nor_the_bundle_is_known() -> None:
    view = node(build.container(declared=Unknown("denied: test")), late=True)
    assert gained(view=view) == [Blind("denied: test", build.key(4100))]


def test_blind_when_a_nested_table_has_nothing_to_be_compared_with() -> None:
    view = node()
    view.tables.pop(OWN_MNT)
    view.put_host(build.process(4242))
    event = table_event(copied(), INNER_MNT, 4242)
    assert run(DETECTOR, event, view) == [Blind("not_in_test", build.key(4242))]


def test_blind_when_the_containers_mount_namespace_is_not_known() -> None:
    view = node()
    nowhere = build.confinement(namespaces=build.namespaces(mnt=Unknown("denied: mnt")))
    view.first_processes[build.container_id()] = build.first_process(confinement=nowhere)
    assert gained(view=view) == [Blind("denied: mnt", build.key(4100))]


def test_blind_when_the_container_is_not_known() -> None:
    view = node()
    view.known_containers.clear()
    assert gained(view=view) == [Blind("not_read: the container is not known", build.key(4100))]


def test_silent_when_a_restarted_container_is_still_being_built() -> None:
    """The runtime's new process is met with a copy of the host's table; the former first process is remembered."""
    view = node()
    stage = build.process(4900)
    view.put_host(stage)
    view.becoming.add(stage.key)
    assert run(DETECTOR, table_event((*copied(), of(b"/run", b"cgroup")), INNER_MNT, 4900), view) == []
    unmet = node()
    assert run(DETECTOR, table_event((*copied(), of(b"/run", b"cgroup")), INNER_MNT, 4901), unmet) == []
