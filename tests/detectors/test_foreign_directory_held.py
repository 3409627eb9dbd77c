from __future__ import annotations

from typing import Any

import pytest

from collectors.confinement import Dimension, Widening
from collectors.facts import NOT_READ, DescriptorKind, FileId, Place, Process, Unknown
from detectors.base import Blind, Confidence, Finding, Member, Severity
from detectors.foreign_directory_held import DETECTOR
from tests.support import build
from tests.support.view import FakeView, judge, run, seen, view_of

NESTED = 4026533001  # a mount namespace that the container made itself
NESTED_ROOT = build.mount(7001, device=0x77, fs_type=b"tmpfs")
VOLUME = build.mount(7002, b"/data")  # a bind of a directory on the host's disk
FOREIGN_TMPFS = Place(FileId(0x500, 9), 8008)


def task(descriptors: Any = (), executable: Any = None, **confined: Any) -> Process:
    return build.process(
        confinement=build.confinement(**confined),
        descriptors=descriptors,
        executable=executable or build.executable(),
    )


def nested(table: tuple[Any, ...] | None, **confined: Any) -> tuple[Member, FakeView]:
    """A task in a mount namespace of its container's making, with that table."""
    own = {"root": Place(FileId(0x77, 1), 7001), "cwd": Place(FileId(0x77, 1), 7001)}
    member = build.member(task(namespaces=build.namespaces(mnt=NESTED), **(own | confined)))
    view = view_of(member)
    view.tables[build.HOST_MNT] = build.host_mount_table()
    if table is not None:
        view.tables[NESTED] = table
    return member, view


def test_fires_when_the_working_directory_leaked_from_the_runtime() -> None:
    """CVE-2024-21626: the first process starts in a directory of the host."""
    leaked = build.host_directory()
    first = build.first_process(confinement=build.confinement(cwd=leaked), descriptors=())
    assert judge(DETECTOR, build.member(first)) == [
        Finding(
            message="It holds what is on no mount of its container: cwd",
            container_id=build.container_id(),
            subject=first.key,
            evidence=(
                ("held", ("cwd",)),
                ("devices", (build.HOST_DEVICE,)),
                ("mount_ids", (build.HOST_ROOT_MOUNT,)),
            ),
            widened=(Widening(Dimension.ROOT, "cwd", build.root_place(), leaked),),
            severity=Severity.CRITICAL,
            confidence=Confidence.CERTAIN,
            inherited=True,
        )
    ]


@pytest.mark.parametrize(
    ("process", "held", "severity"),
    [
        pytest.param(task(cwd=build.HOST_ROOT_PLACE), ("cwd",), Severity.CRITICAL, id="cwd-is-the-hosts-root"),
        pytest.param(task(root=build.host_directory()), ("root",), Severity.CRITICAL, id="root-below-the-hosts"),
        pytest.param(task(cwd=FOREIGN_TMPFS), ("cwd",), Severity.HIGH, id="cwd-on-a-tmpfs-of-the-host"),
        pytest.param(
            task(executable=build.executable(place=build.host_directory())), ("exe",), Severity.CRITICAL, id="exe"
        ),
        pytest.param(
            task(descriptors=(build.descriptor(7, build.host_directory()),)),
            ("descriptor",),
            Severity.CRITICAL,
            id="passed-directory",
        ),
        pytest.param(
            task(descriptors=(build.descriptor(0, FOREIGN_TMPFS, DescriptorKind.FILE),)),
            ("descriptor",),
            Severity.HIGH,
            id="file-on-stdin-that-its-entry-had-not",
        ),
    ],
)
def test_fires_when_it_is_held_in_any_way(process: Process, held: tuple[str, ...], severity: Severity) -> None:
    (found,) = judge(DETECTOR, build.member(process, entry=build.first_process(descriptors=())))
    assert isinstance(found, Finding)
    assert (found.evidence[0], found.severity) == (("held", held), severity)


def test_fires_when_the_mount_is_the_hosts_whatever_its_own_table_hides() -> None:
    """Unshare -m and chroot first does not help: the mount is in the host's table."""
    member, view = nested(None, cwd=build.host_directory(), root=build.root_place())
    (found,) = run(DETECTOR, seen(member.process), view)
    assert isinstance(found, Finding)
    assert (found.severity, found.confidence) == (Severity.CRITICAL, Confidence.LIKELY)


def test_fires_when_a_sandbox_holds_what_its_own_table_has_not() -> None:
    member, view = nested((NESTED_ROOT,), cwd=FOREIGN_TMPFS)
    (found,) = run(DETECTOR, seen(member.process), view)
    assert isinstance(found, Finding)
    assert found.confidence is Confidence.LIKELY


def test_fires_when_a_mount_id_of_the_container_was_given_to_a_mount_of_the_host() -> None:
    """The kernel reuses the ids of mounts that are gone."""
    member = build.member(task(cwd=build.host_directory()))
    view = view_of(member)
    view.tables[build.HOST_MNT] = build.host_mount_table()
    view.ids_gone[build.mnt_namespace()] = frozenset({build.HOST_ROOT_MOUNT})
    (found,) = run(DETECTOR, seen(member.process), view)
    assert isinstance(found, Finding)


def test_fires_when_it_is_in_the_mount_namespace_of_another_container() -> None:
    place = build.root_place(2)
    member = build.member(task(namespaces=build.namespaces(mnt=build.namespaces(2).mnt), root=place, cwd=place))
    view = view_of(member).put_container(build.container(2), build.first_process(2))
    (found,) = run(DETECTOR, seen(member.process), view)
    assert isinstance(found, Finding)
    assert (found.evidence[0], found.severity) == (("held", ("root", "cwd")), Severity.HIGH)


@pytest.mark.parametrize(
    "process",
    [
        pytest.param(task(), id="plain"),
        pytest.param(task(cwd=Place(FileId(build.HOST_DEVICE, 77), build.root_mount() + 6)), id="given-host-path"),
        pytest.param(task(cwd=Place(build.HOST_ROOT, build.root_mount() + 6)), id="given-host-root"),
        pytest.param(task(root=build.HOST_ROOT_PLACE), id="host-root-as-root-is-told-by-HW-103"),
        pytest.param(task(cwd=Place(FileId(build.OVERLAY_DEVICE + 1, 5), 8001)), id="detached-mount-of-its-own-image"),
        pytest.param(
            task(executable=build.executable(b"/memfd:x", place=Place(FileId(build.MEMFD_DEVICE, 9), 8))), id="memfd"
        ),
        pytest.param(
            task(
                descriptors=(
                    build.descriptor(3, Place(FileId(build.SOCKFS_DEVICE, 9), 8), DescriptorKind.SOCKET),
                    build.descriptor(4, Place(FileId(build.NSFS_DEVICE, 9), 8), DescriptorKind.NAMESPACE),
                    build.descriptor(5, Place(FileId(build.MEMFD_DEVICE, 9), 8), DescriptorKind.FILE),
                    build.descriptor(6, build.host_directory(), DescriptorKind.CHARACTER_DEVICE),
                    build.descriptor(7, build.host_directory(), DescriptorKind.BLOCK_DEVICE),
                    build.descriptor(8, build.directory()),
                )
            ),
            id="descriptors-that-are-no-files",
        ),
    ],
)
def test_silent_when_everything_was_given(process: Process) -> None:
    assert judge(DETECTOR, build.member(process)) == []


def test_silent_when_the_runtime_connected_a_stream_to_a_file_of_the_host() -> None:
    log = build.host_directory(inode=777)
    entry = build.first_process(descriptors=(build.descriptor(1, log, DescriptorKind.FILE),))
    child = task(descriptors=(build.descriptor(10, log, DescriptorKind.FILE),))
    assert judge(DETECTOR, build.member(child, entry=entry)) == []


def test_silent_when_a_lazily_unmounted_directory_is_still_held() -> None:
    member = build.member(task(cwd=FOREIGN_TMPFS))
    view = view_of(member)
    view.ids_gone[build.mnt_namespace()] = frozenset({FOREIGN_TMPFS.mnt_id})
    assert run(DETECTOR, seen(member.process), view) == []


def test_silent_when_bubblewrap_stands_on_its_own_mounts() -> None:
    member, view = nested((NESTED_ROOT, VOLUME), cwd=Place(FileId(build.HOST_DEVICE, 55), 7002))
    assert run(DETECTOR, seen(member.process), view) == []


def test_silent_when_it_is_a_process_of_the_host() -> None:
    process = build.host_process()
    assert run(DETECTOR, seen(process), FakeView().put_host(process)) == []


def test_silent_when_the_container_was_started_in_the_hosts_mount_namespace() -> None:
    shared = build.confinement(
        namespaces=build.namespaces(mnt=build.HOST_MNT), root=build.HOST_ROOT_PLACE, cwd=build.host_directory()
    )
    first = build.first_process(confinement=shared)
    process = build.process(
        confinement=shared, descriptors=(), executable=build.executable(place=build.host_directory())
    )
    member = build.member(process, first=first)
    view = FakeView(tables={build.HOST_MNT: build.host_mount_table()}).put(member)
    assert run(DETECTOR, seen(process), view) == []


def test_blind_when_the_table_of_its_own_namespace_is_missing() -> None:
    member, view = nested(None)
    why = "mount table of its own namespace is missing, or cut by a chroot"
    assert run(DETECTOR, seen(member.process), view) == [
        Blind(f"root: {why}", member.process.key),
        Blind(f"cwd: {why}", member.process.key),
    ]


def test_blind_when_a_chroot_may_have_cut_the_table_of_its_own_namespace() -> None:
    """Its root is a plain directory of a bound volume, so the kernel shows only what is mounted below that."""
    member, view = nested(
        (build.mount(7005, b"/proc", device=0x99),),
        root=Place(FileId(build.HOST_DEVICE, 55), 7002),
        cwd=Place(FileId(build.HOST_DEVICE, 55), 7002),
    )
    assert {type(each) for each in run(DETECTOR, seen(member.process), view)} == {Blind}


def test_blind_when_descriptors_are_not_read_but_tells_the_rest() -> None:
    blind, found = judge(DETECTOR, build.member(task(descriptors=NOT_READ, cwd=build.host_directory())))
    assert blind == Blind("descriptors: not_read", build.key(4242))
    assert isinstance(found, Finding)


def test_blind_when_a_stream_may_have_been_given_by_the_runtime() -> None:
    """``runc run > file`` on the host, and nobody looked at the descriptors of the entry process."""
    process = task(descriptors=(build.descriptor(1, build.host_directory(), DescriptorKind.FILE),))
    assert judge(DETECTOR, build.member(process)) == [
        Blind("descriptor_1: standard streams of the entry process not known", process.key)
    ]


def test_blind_when_root_cwd_and_exe_cannot_be_read() -> None:
    denied = Unknown("denied")
    process = task(root=denied, cwd=denied, executable=denied)
    assert judge(DETECTOR, build.member(process)) == [
        Blind(f"{name}: denied", process.key) for name in ("root", "cwd", "exe")
    ]


def test_blind_when_the_containers_mounts_are_not_known() -> None:
    process = task(cwd=FOREIGN_TMPFS)
    member = build.member(process, frame=build.frame(given_mounts=Unknown("gone")))
    assert judge(DETECTOR, member) == [Blind("cwd: gone", process.key)]


def test_blind_when_there_is_nothing_to_compare_with() -> None:
    process = task()
    assert judge(DETECTOR, build.member(process, first=Unknown("gone"))) == [Blind("first process: gone", process.key)]
