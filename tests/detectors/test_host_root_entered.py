from __future__ import annotations

import pytest

from collectors.confinement import Dimension, Widening
from collectors.facts import FileId, Place, Unknown
from detectors.base import Blind, Finding
from detectors.host_root_entered import DETECTOR
from tests.support import build
from tests.support.view import FakeView, judge, run, seen


@pytest.mark.parametrize(
    ("mnt_id", "given"),
    [
        pytest.param(build.HOST_ROOT_MOUNT, "no", id="proc-1-root"),
        pytest.param(build.root_mount() + 3, "yes", id="chroot-into-a-mounted-host-root"),
    ],
)
def test_fires_when_the_root_is_the_hosts(mnt_id: int, given: str) -> None:
    root = Place(build.HOST_ROOT, mnt_id)
    task = build.process(confinement=build.confinement(root=root))
    assert judge(DETECTOR, build.member(task)) == [
        Finding(
            message="Its root directory is the host's /",
            container_id=build.container_id(),
            subject=task.key,
            evidence=(
                ("root_device", build.HOST_DEVICE),
                ("root_inode", 2),
                ("through_given_mount", given),
            ),
            widened=(Widening(Dimension.ROOT, "root", build.root_place(), root),),
            inherited=True,
        )
    ]


def test_fires_when_a_thread_enters() -> None:
    task = build.thread(build.process(), 4243, build.confinement(root=build.HOST_ROOT_PLACE))
    (found,) = judge(DETECTOR, build.member(task))
    assert isinstance(found, Finding)
    assert found.subject == build.key(4243)


def test_silent_when_a_chroot_goes_into_its_own_image() -> None:
    task = build.process(confinement=build.confinement(root=build.directory()))
    assert judge(DETECTOR, build.member(task)) == []


def test_silent_when_bubblewrap_pivots_into_a_tmpfs() -> None:
    task = build.process(confinement=build.confinement(root=Place(FileId(0x77, 2), 9001)))
    assert judge(DETECTOR, build.member(task)) == []


def test_silent_when_the_inode_is_the_hosts_but_the_device_is_not() -> None:
    task = build.process(confinement=build.confinement(root=Place(FileId(0x0801, build.HOST_ROOT.inode), 9001)))
    assert judge(DETECTOR, build.member(task)) == []


def test_silent_when_the_first_process_has_it_too() -> None:
    first = build.first_process(confinement=build.confinement(root=build.HOST_ROOT_PLACE))
    task = build.process(confinement=build.confinement(root=build.HOST_ROOT_PLACE))
    assert judge(DETECTOR, build.member(task, first=first)) == []


def test_silent_when_it_is_a_process_of_the_host() -> None:
    task = build.host_process()
    assert run(DETECTOR, seen(task), FakeView().put_host(task)) == []


@pytest.mark.parametrize("missing", ["root", "host", "first"])
def test_blind_when_a_root_is_not_known(missing: str) -> None:
    gone = Unknown("gone")
    task = build.process(confinement=build.confinement(root=gone if missing == "root" else build.HOST_ROOT_PLACE))
    first = build.first_process(confinement=build.confinement(root=gone if missing == "first" else build.root_place()))
    frame = build.frame(root=gone if missing == "host" else build.HOST_ROOT)
    assert judge(DETECTOR, build.member(task, first=first, frame=frame)) == [Blind("root: gone", task.key)]


def test_fires_when_the_tables_are_not_known() -> None:
    task = build.process(confinement=build.confinement(root=build.HOST_ROOT_PLACE))
    (found,) = judge(DETECTOR, build.member(task, frame=build.frame(given_mounts=Unknown("gone"))))
    assert isinstance(found, Finding)
    assert found.evidence[-1] == ("through_given_mount", "unknown")
