"""HW-112 of a mount that is told by the call that made it, in the ebpf tier."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.dedupe import Dedupe, Repeated, Told
from collectors.events import MountMade, Standing
from collectors.facts import Mount, Process
from detectors.base import Blind, Finding, Severity
from detectors.mounts_widened import DETECTOR
from tests.detectors.test_mounts_widened import (
    INNER_MNT,
    INNER_USER,
    OWN_MNT,
    READ_ONLY,
    ROOT,
    copied,
    gained,
    inner_process,
    nested,
    node,
    of,
    table_event,
)
from tests.support import build
from tests.support.view import FakeView, run


def made(mount: Mount, view: FakeView | None = None, process: Process | None = None, **event: Any) -> list[Any]:
    """What is found of a mount that a process of container 1 made."""
    actor = process or build.process()
    put = (view or node()).put(build.member(actor))
    return run(DETECTOR, MountMade(build.NOW_NS, actor, mount, **event), put)


@pytest.mark.parametrize(
    "mount",
    [
        of(b"/mnt", b"ext4", build.HOST_DEVICE, source=b"/dev/vg/root"),
        of(b"/tmp/c", b"cgroup"),
        of(b"/x", b"ext4", build.HOST_DEVICE, root=b"/etc"),
        of(b"/p", b"proc"),
        of(b"/n", b"nfs4"),
    ],
    ids=lambda each: each.fs_type.decode(),
)
def test_fires_alike_when_the_call_is_told_and_when_the_table_shows_it(mount: Mount) -> None:
    (by_table,) = gained(mount)
    (by_call,) = made(mount)
    assert isinstance(by_table, Finding)
    assert by_call == replace(by_table, subject=build.process().key)
    both = Dedupe()
    assert isinstance(both.judge(DETECTOR.id, by_call), Told)
    assert isinstance(both.judge(DETECTOR.id, by_table), Repeated)


def test_fires_alike_in_a_nested_namespace() -> None:
    mount = of(b"/newroot/proc", b"proc")
    (by_table,) = nested(mount, user=INNER_USER)
    (by_call,) = made(mount, process=inner_process(user=INNER_USER))
    assert isinstance(by_table, Finding)
    assert (by_call.identity, by_call.evidence, by_call.severity) == (
        by_table.identity,
        by_table.evidence,
        by_table.severity,
    )


def test_silent_when_the_table_has_told_of_the_mount_already() -> None:
    disk = of(b"/mnt", b"ext4", build.HOST_DEVICE)
    view = node()
    view.tables[OWN_MNT] = (*build.mount_table(), disk)
    assert made(disk, view) == []


def test_fires_in_a_nested_namespace_whose_table_came_first_from_who_was_not_known_yet() -> None:
    mount = of(b"/p", b"proc")
    view = node()
    view.tables[INNER_MNT] = (*copied(), mount)
    assert run(DETECTOR, table_event(view.tables[INNER_MNT], INNER_MNT, 4242), view) == []
    (finding,) = made(mount, view, inner_process())
    assert isinstance(finding, Finding)
    view.tables_before[INNER_MNT] = view.tables[INNER_MNT]
    assert made(mount, view, inner_process()) == []


@pytest.mark.parametrize("fs_type", [b"tmpfs", b"mqueue", b"overlay", b"fuse", b"fuse.fuse-overlayfs"])
def test_silent_when_the_mount_that_was_made_is_the_containers_own(fs_type: bytes) -> None:
    assert made(of(b"/x", fs_type)) == []


def test_silent_when_a_directory_of_the_image_is_bound_by_the_call() -> None:
    assert made(of(b"/x", b"overlay", build.OVERLAY_DEVICE + 1, root=b"/usr/share")) == []


def test_silent_when_the_mount_came_from_the_host_at_that_moment() -> None:
    hosts = build.mount(300, b"/var/lib/kubelet/v", device=0x0801, parent_id=build.HOST_ROOT_MOUNT, shared=77)
    given = build.mount(1300, b"/host", options=READ_ONLY, parent_id=ROOT, master=1)
    view = node()
    view.tables[build.HOST_MNT] = (*build.host_mount_table(), hosts)
    view.tables[OWN_MNT] = (*build.mount_table(), given)
    copy = build.mount(1301, b"/host/var/lib/kubelet/v", device=0x0801, parent_id=1300, master=77)
    assert made(copy, view) == []


def test_silent_when_it_is_made_by_the_runtime_or_in_the_hosts_namespace() -> None:
    disk = of(b"/mnt", b"ext4", build.HOST_DEVICE)
    assert run(DETECTOR, MountMade(build.NOW_NS, build.process(), disk), node()) == []  # a member of none
    away = build.process(confinement=build.confinement(namespaces=build.namespaces(mnt=build.HOST_MNT)))
    assert made(disk, process=away) == []


def test_silent_while_a_detached_mount_may_yet_be_attached() -> None:
    assert made(of(b"", b"ext4", build.HOST_DEVICE), standing=Standing.DETACHED) == []


def test_fires_when_a_detached_mount_is_left_so() -> None:
    (finding,) = made(of(b"", b"ext4", build.HOST_DEVICE), standing=Standing.LEFT)
    assert (finding.message, finding.severity) == (
        "mounted a disk of the host: ext4, in no mount table: a descriptor leads to it",
        Severity.CRITICAL,
    )
    assert finding.identity == (build.container_id(), "mounted a disk of the host", "ext4", "")


def test_fires_when_who_made_a_detached_mount_has_ended() -> None:
    left = MountMade(
        build.NOW_NS, build.process(), of(b"", b"proc"), standing=Standing.LEFT, container_id=build.container_id()
    )
    (finding,) = run(DETECTOR, left, node())
    assert isinstance(finding, Finding)
    assert (finding.severity, finding.container_id) == (Severity.HIGH, build.container_id())


def test_silent_when_a_detached_copy_is_of_what_the_container_has() -> None:
    own = of(b"", b"overlay", build.OVERLAY_DEVICE + 1, root=b"/usr")
    assert made(own, standing=Standing.LEFT) == []


def test_blind_when_no_table_tells_what_the_container_has() -> None:
    view = node().put(build.member(build.process()))
    view.tables.clear()
    view.tables_at_start.clear()
    disk = MountMade(build.NOW_NS, build.process(), of(b"/mnt", b"ext4", build.HOST_DEVICE))
    (blind,) = run(DETECTOR, disk, view)
    assert isinstance(blind, Blind)
    (finding,) = run(DETECTOR, replace(disk, mount=of(b"/c", b"cgroup")), view)
    assert isinstance(finding, Finding)
