from __future__ import annotations

from typing import Any

import pytest

from collectors.events import ContainerSeen
from collectors.facts import CgroupMembership, DeclaredMount, DeclaredNamespace, DeviceRule, Process, Unknown
from detectors.base import Blind, Finding
from detectors.kernel_interfaces_unmasked import CGROUP_V1, CGROUP_V2, DETECTOR, MASKED, READ_ONLY, SYSFS
from tests.support import build
from tests.support.view import FakeView, run

USUAL = build.declared()
EVERYTHING = DeviceRule(allow=True, kind="a", major=None, minor=None, access="rwm")
NAMED = (CgroupMembership(1, b"name=systemd", b"/docker/x"), CgroupMembership(0, b"", b"/docker/x"))


def writable(kind: str) -> tuple[DeclaredMount, ...]:
    """The usual mounts, with those of that kind writable."""
    return tuple(
        DeclaredMount(each.destination, each.source, each.fs_type, ("nosuid",)) if each.fs_type == kind else each
        for each in USUAL.mounts
    )


def find(first: Process | None = None, **declared: Any) -> list[Finding | Blind]:
    container = build.container(declared=build.declared(**declared))
    view = FakeView().put_container(container, first or build.first_process())
    return run(DETECTOR, ContainerSeen(build.NOW_NS, container), view)


def opened(found: list[Finding | Blind]) -> dict[object, object]:
    (finding,) = found
    assert isinstance(finding, Finding)
    evidence = dict(finding.evidence)
    interfaces, opens = evidence["interfaces"], evidence["opens"]
    assert isinstance(interfaces, tuple)
    assert isinstance(opens, tuple)
    return dict(zip(interfaces, opens, strict=True))


def test_fires_when_all_system_paths_are_open() -> None:
    assert opened(find(masked_paths=(), readonly_paths=())) == {**MASKED, **READ_ONLY}


def test_fires_when_one_path_is_missing() -> None:
    left = tuple(path for path in USUAL.readonly_paths if path != "/proc/sys")
    assert find(readonly_paths=left) == [
        Finding(
            "was started with interfaces of the kernel open: /proc/sys",
            build.container_id(),
            evidence=(("interfaces", ("/proc/sys",)), ("opens", (READ_ONLY["/proc/sys"],))),
        )
    ]


def test_fires_when_sysfs_can_be_written() -> None:
    assert opened(find(mounts=writable("sysfs"))) == {"/sys": SYSFS}


def test_fires_when_cgroup_v1_can_be_written() -> None:
    first = build.first_process(confinement=build.confinement(cgroups=build.cgroups_v1()))
    assert opened(find(first, mounts=writable("cgroup"))) == {"/sys/fs/cgroup": CGROUP_V1}


def test_fires_when_cgroup_v2_can_be_written_without_a_namespace_of_its_own() -> None:
    kinds = tuple(each for each in USUAL.namespaces if each.kind != "cgroup")
    assert opened(find(mounts=writable("cgroup"), namespaces=kinds)) == {"/sys/fs/cgroup": CGROUP_V2}


@pytest.mark.parametrize("cgroups", [build.cgroups(), NAMED], ids=["v2", "v2-beside-systemds-own"])
def test_silent_when_systemd_has_its_own_part_of_cgroup_v2(cgroups: tuple[CgroupMembership, ...]) -> None:
    first = build.first_process(confinement=build.confinement(cgroups=cgroups))
    assert find(first, mounts=writable("cgroup")) == []


def test_silent_when_a_directory_above_is_closed() -> None:
    assert find(masked_paths=(*USUAL.masked_paths, "/proc/irq"), readonly_paths=("/proc",)) == []


def test_silent_when_proc_itself_is_read_only_but_for_what_can_be_read() -> None:
    mounts = tuple(
        DeclaredMount(each.destination, each.source, each.fs_type, (*each.options, "ro")) for each in USUAL.mounts
    )
    assert find(mounts=mounts, readonly_paths=()) == []
    assert set(opened(find(mounts=mounts, readonly_paths=(), masked_paths=()))) == set(MASKED)


def test_silent_when_there_is_no_proc_or_a_user_namespace_or_it_is_privileged() -> None:
    assert find(mounts=(), masked_paths=(), readonly_paths=()) == []
    inner = build.first_process(
        confinement=build.confinement(namespaces=build.namespaces(user=build.own_user_namespace()))
    )
    kinds = (*USUAL.namespaces, DeclaredNamespace("user", None))
    assert find(inner, namespaces=kinds, masked_paths=(), readonly_paths=()) == []
    full = build.capabilities(build.FULL_CAPABILITIES)
    assert find(masked_paths=(), seccomp=False, capabilities=full, device_rules=(EVERYTHING,)) == []


def test_silent_when_it_is_plain_docker_run() -> None:
    assert find() == []


def test_blind_when_the_cgroup_version_is_not_known() -> None:
    container = build.container(declared=build.declared(mounts=writable("cgroup")))
    assert run(DETECTOR, ContainerSeen(build.NOW_NS, container), FakeView()) == [Blind("not_in_test")]


def test_blind_when_the_bundle_is_not_known() -> None:
    event = ContainerSeen(build.NOW_NS, build.container(declared=Unknown("no_bundle")))
    assert run(DETECTOR, event, FakeView()) == [Blind("no_bundle")]
