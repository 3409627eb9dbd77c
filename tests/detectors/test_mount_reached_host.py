from __future__ import annotations

from dataclasses import replace

import pytest

from collectors.events import MountTable
from collectors.facts import Container, DeclaredMount, Mount, Unknown
from detectors.base import Blind, Confidence, Finding
from detectors.mount_reached_host import DETECTOR
from tests.support import build
from tests.support.view import FakeView, run

OWN_MNT = 4026532100
ROOT = build.root_mount()
# A directory of the host that the container has as a peer, and what was mounted below it, seen from both sides.
HOST_SHARE = build.mount(40, b"/srv", device=0x0801, shared=50)
SHARE = build.mount(1300, b"/share", device=0x0801, shared=50, parent_id=ROOT)
MADE = build.mount(1301, b"/share/etc", fs_type=b"ext4", device=0x0802, source=b"/dev/sdb", shared=60, parent_id=1300)
REACHED = replace(MADE, mnt_id=41, point=b"/srv/etc", parent_id=40)
SHARED = build.container(
    declared=build.declared(mounts=(DeclaredMount("/share", "/srv", "bind", ("rbind", "rshared")),))
)


def node(container: Container | None = None, made: Mount = MADE, reached: Mount = REACHED) -> FakeView:
    view = FakeView().put_container(container or build.container(), build.first_process())
    view.tables[OWN_MNT] = (*build.mount_table(), SHARE, made)
    view.tables_at_start[build.container_id()] = (*build.mount_table(), SHARE)
    view.tables[build.HOST_MNT] = (*build.host_mount_table(), HOST_SHARE, reached)
    return view


def of_host(view: FakeView) -> list[Finding | Blind]:
    table = view.tables[build.HOST_MNT]
    return run(DETECTOR, MountTable(build.NOW_NS, build.HOST_MNT, None, build.key(1), table), view)


def of_container(view: FakeView) -> list[Finding | Blind]:
    table = view.tables[OWN_MNT]
    return run(DETECTOR, MountTable(build.NOW_NS, OWN_MNT, build.container_id(), build.key(4100), table), view)


EXPECTED = Finding(
    "mounted ext4 so that it reached the host's /srv/etc",
    build.container_id(),
    evidence=(
        ("mount_point", b"/share/etc"),
        ("host_mount_point", b"/srv/etc"),
        ("file_system", b"ext4"),
        ("source", b"/dev/sdb"),
    ),
    confidence=Confidence.LIKELY,
    identity=(build.container_id(), "/srv/etc", "ext4"),
)


def test_fires_when_the_hosts_table_shows_what_a_container_mounted() -> None:
    assert of_host(node()) == [EXPECTED]


def test_fires_when_the_containers_table_comes_after_the_hosts() -> None:
    assert of_container(node()) == [EXPECTED]


def test_fires_when_only_the_table_before_is_known() -> None:
    view = node()
    view.tables_before[OWN_MNT] = view.tables_at_start.pop(build.container_id())
    assert of_host(view) == [EXPECTED]
    assert of_container(view) == [EXPECTED]


@pytest.mark.parametrize(
    "mount",
    [
        replace(MADE, device=build.HOST_DEVICE),
        replace(MADE, fs_type=b"proc", source=b"proc"),
        replace(MADE, fs_type=b"cgroup", source=b"cgroup"),
    ],
    ids=["root-disk", "proc", "cgroup-v1"],
)
def test_fires_when_what_reached_the_host_is_no_volume_though_sharing_is_declared(mount: Mount) -> None:
    reached = replace(mount, mnt_id=41, point=b"/srv/etc", parent_id=40)
    (finding,) = of_host(node(SHARED, mount, reached))
    assert isinstance(finding, Finding)
    assert finding.container_id == build.container_id()


def test_silent_when_a_storage_driver_mounts_a_volume_for_the_node() -> None:
    assert of_host(node(SHARED)) == []


def test_silent_when_a_network_plugin_mounts_bpf_for_the_node() -> None:
    bpf = replace(MADE, fs_type=b"bpf", source=b"bpf")
    assert of_host(node(SHARED, bpf, replace(REACHED, fs_type=b"bpf"))) == []


def test_silent_when_the_container_was_started_with_it() -> None:
    view = node()
    view.tables_at_start[build.container_id()] = view.tables[OWN_MNT]
    assert of_host(view) == []


def test_silent_when_a_shared_mount_is_bound_inside_the_container_only() -> None:
    bound = replace(SHARE, mnt_id=1302, point=b"/elsewhere")
    view = node()
    view.tables[OWN_MNT] = (*build.mount_table(), SHARE, bound)
    view.tables[build.HOST_MNT] = (*build.host_mount_table(), HOST_SHARE)
    assert of_container(view) == []


def test_silent_when_a_shared_mount_is_bound_below_one_that_the_host_does_not_share() -> None:
    private = build.mount(1303, b"/private", device=0x999, shared=99, parent_id=ROOT)
    bound = replace(SHARE, mnt_id=1302, point=b"/private/x", parent_id=1303)
    host_root = replace(build.host_mount_table()[0], shared=1)
    view = node()
    view.tables[OWN_MNT] = (*build.mount_table(), SHARE, private, bound)
    view.tables[build.HOST_MNT] = (host_root, HOST_SHARE)
    assert of_container(view) == []


def test_silent_when_the_container_only_receives() -> None:
    received = replace(MADE, shared=None, master=60)
    assert of_host(node(made=received)) == []


def test_silent_when_a_container_is_still_being_built() -> None:
    view = node()
    view.first_processes.clear()
    assert of_host(view) == []
    assert of_container(view) == []


def test_blind_when_the_hosts_table_is_not_known() -> None:
    view = node()
    view.tables.pop(build.HOST_MNT)
    assert of_container(view) == [Blind("not_in_test", build.key(4100))]


def test_blind_when_the_containers_table_is_not_known() -> None:
    view = node()
    view.tables.pop(OWN_MNT)
    assert of_host(view) == [Blind("not_in_test")]


def test_blind_when_nobody_saw_what_the_container_had_before() -> None:
    view = node()
    view.tables_at_start.clear()
    assert of_host(view) == [Blind("not_in_test")]


def test_blind_when_the_containers_mount_namespace_is_not_known() -> None:
    nowhere = build.confinement(namespaces=build.namespaces(mnt=Unknown("denied: mnt")))
    view = node()
    view.first_processes[build.container_id()] = build.first_process(confinement=nowhere)
    assert of_host(view) == [Blind("denied: mnt")]
