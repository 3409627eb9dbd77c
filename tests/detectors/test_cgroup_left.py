from __future__ import annotations

import pytest

from collectors.confinement import Dimension, Frame, Widening
from collectors.facts import Process, Unknown
from detectors.base import Blind, Finding, Member
from detectors.cgroup_left import DETECTOR
from tests.support import build
from tests.support.view import judge


def in_cgroup(path: bytes) -> Member:
    task = build.process(confinement=build.confinement(cgroups=build.cgroups(path)))
    return build.member(task, by_lineage=True, in_container_cgroup=False)


def frame_v1() -> Frame:
    return build.frame(cgroup_paths=frozenset({build.cgroup_path_v1()}))


def first_v1() -> Process:
    return build.first_process(confinement=build.confinement(cgroups=build.cgroups_v1()))


def test_fires_when_a_process_moves_to_the_root_cgroup() -> None:
    member = in_cgroup(b"/")
    assert judge(DETECTOR, member) == [
        Finding(
            message="It is outside the cgroup of its container",
            container_id=build.container_id(),
            subject=member.process.key,
            evidence=(("cgroups", (b"v2:/",)),),
            widened=(Widening(Dimension.CGROUP, "cgroups", build.cgroups(), build.cgroups(b"/")),),
            inherited=True,
        )
    ]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(build.cgroup_path(2), id="another-container"),
        pytest.param(build.cgroup_path() + b"x", id="longer-name"),
        pytest.param(b"/system.slice", id="parent"),
        pytest.param(b"/user.slice\x1b[31m", id="hostile-name"),
    ],
)
def test_fires_when_the_cgroup_is_elsewhere(path: bytes) -> None:
    (found,) = judge(DETECTOR, in_cgroup(path))
    assert isinstance(found, Finding)
    assert found.evidence == (("cgroups", (b"v2:" + path,)),)


def test_fires_when_one_hierarchy_of_v1_is_left() -> None:
    task = build.process(confinement=build.confinement(cgroups=build.cgroups_v1(devices=b"/")))
    (found,) = judge(DETECTOR, build.member(task, first=first_v1(), frame=frame_v1()))
    assert isinstance(found, Finding)
    assert found.evidence == (("cgroups", (b"devices:/",)),)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(build.cgroup_path(), id="own"),
        pytest.param(build.cgroup_path() + b"/init.scope", id="systemd-in-a-container"),
        pytest.param(build.cgroup_path() + b"/docker/inner", id="docker-in-docker"),
    ],
)
def test_silent_when_the_cgroup_is_inside(path: bytes) -> None:
    assert judge(DETECTOR, in_cgroup(path)) == []


def test_fires_when_a_cgroup_is_named_as_if_it_were_the_containers_and_deleted() -> None:
    """Only the dead are in a cgroup that the kernel marks so, and they are not told; the living one chose the name."""
    (found,) = judge(DETECTOR, in_cgroup(build.cgroup_path() + b" (deleted)"))
    assert isinstance(found, Finding)


def test_silent_when_the_first_process_was_never_inside_that_hierarchy() -> None:
    """A hybrid node: the v2 hierarchy holds everything at its root."""
    hybrid = (*build.cgroups_v1(), *build.cgroups(b"/"))
    first = build.first_process(confinement=build.confinement(cgroups=hybrid))
    task = build.process(confinement=build.confinement(cgroups=hybrid))
    assert judge(DETECTOR, build.member(task, first=first, frame=frame_v1())) == []


def test_blind_when_the_task_is_a_zombie_on_cgroup_v1() -> None:
    """Seen on kernel 6.18: the memory cgroup of a zombie reads ``/`` on v1, and its ``exe`` is gone."""
    gone = build.process(
        executable=Unknown("gone"),
        confinement=build.confinement(cgroups=build.cgroups_v1(memory=b"/", pids=b"/", devices=b"/", cpu=b"/")),
    )
    assert judge(DETECTOR, build.member(gone, first=first_v1(), frame=frame_v1())) == [
        Blind("cgroups: the task may be exiting, and v1 then shows /", gone.key)
    ]
    alive = build.process(confinement=gone.confinement)
    (found,) = judge(DETECTOR, build.member(alive, first=first_v1(), frame=frame_v1()))
    assert isinstance(found, Finding)


def test_blind_when_cgroups_are_not_known() -> None:
    denied = Unknown("denied")
    task = build.process(confinement=build.confinement(cgroups=denied))
    assert judge(DETECTOR, build.member(task)) == [Blind("cgroups: denied", task.key)]
    other = build.process()
    assert judge(DETECTOR, build.member(other, frame=build.frame(cgroup_paths=denied))) == [
        Blind("cgroups: denied", other.key)
    ]
    assert judge(DETECTOR, build.member(other, first=denied)) == [Blind("first process: denied", other.key)]


def test_blind_when_the_first_process_was_in_none_of_the_containers_cgroups() -> None:
    task = build.process()
    assert judge(DETECTOR, build.member(task, frame=build.frame(cgroup_paths=frozenset()))) == [
        Blind("cgroups: the first process was in no cgroup of its container", task.key)
    ]
