from __future__ import annotations

from typing import Any

import pytest

from collectors.confinement import Dimension, Widening
from collectors.facts import Confinement, Unknown
from detectors.base import Blind, Finding, Member
from detectors.lineage_left import DETECTOR
from tests.support import build
from tests.support.view import judge

HOST_CGROUP = build.cgroups(b"/system.slice/cron.service")
LEFT_KINDS = ("mnt", "pid", "net", "ipc", "uts", "cgroup")


def descendant(confinement: Confinement, **overrides: Any) -> Member:
    return build.member(build.process(confinement=confinement), by_lineage=True, in_container_cgroup=False, **overrides)


def test_fires_when_nothing_but_its_ancestors_tells_the_container() -> None:
    member = descendant(build.host_confinement(cgroups=HOST_CGROUP))
    own, host = build.namespaces(), build.host_namespaces()
    assert judge(DETECTOR, member) == [
        Finding(
            message="It descends from a container process, and has the host's namespaces and a cgroup outside by now",
            container_id=build.container_id(),
            subject=member.process.key,
            evidence=(("namespaces", LEFT_KINDS),),
            widened=(
                *(
                    Widening(Dimension.NAMESPACES, f"{kind}_namespace", getattr(own, kind), getattr(host, kind))
                    for kind in LEFT_KINDS
                ),
                Widening(Dimension.CGROUP, "cgroups", build.cgroups(), HOST_CGROUP),
            ),
            inherited=True,
        )
    ]


def test_fires_when_a_hostpid_container_leaves_what_it_had_of_its_own() -> None:
    shared = build.namespaces(pid=build.HOST_PID, net=build.HOST_NET, ipc=build.HOST_IPC, cgroup=build.HOST_CGROUP)
    first = build.first_process(confinement=build.confinement(namespaces=shared))
    (found,) = judge(DETECTOR, descendant(build.host_confinement(cgroups=HOST_CGROUP), first=first))
    assert isinstance(found, Finding)
    assert found.evidence == (("namespaces", ("mnt", "uts")),)


@pytest.mark.parametrize("kind", LEFT_KINDS)
def test_silent_when_one_namespace_still_holds_it(kind: str) -> None:
    """HW-101 and HW-105 tell what was left so far."""
    still = build.host_namespaces(**{kind: getattr(build.namespaces(), kind)})
    assert judge(DETECTOR, descendant(build.host_confinement(namespaces=still, cgroups=HOST_CGROUP))) == []


def test_silent_when_its_cgroup_still_holds_it() -> None:
    assert judge(DETECTOR, descendant(build.host_confinement(cgroups=build.cgroups()))) == []


def test_silent_when_one_hierarchy_still_holds_it() -> None:
    first = build.first_process(confinement=build.confinement(cgroups=build.cgroups_v1()))
    frame = build.frame(cgroup_paths=frozenset({build.cgroup_path_v1()}))
    partly = build.cgroups_v1(memory=b"/", pids=b"/", devices=b"/")
    wholly = build.cgroups_v1(memory=b"/", pids=b"/", devices=b"/", cpu=b"/")
    assert judge(DETECTOR, descendant(build.host_confinement(cgroups=partly), first=first, frame=frame)) == []
    (found,) = judge(DETECTOR, descendant(build.host_confinement(cgroups=wholly), first=first, frame=frame))
    assert isinstance(found, Finding)


def test_silent_when_the_container_was_started_in_the_hosts_mount_namespace() -> None:
    first = build.first_process(confinement=build.confinement(namespaces=build.host_namespaces()))
    assert judge(DETECTOR, descendant(build.host_confinement(cgroups=HOST_CGROUP), first=first)) == []


def test_silent_when_a_known_namespace_holds_it_whatever_is_unknown() -> None:
    partly = build.namespaces(mnt=Unknown("gone"))
    assert judge(DETECTOR, descendant(build.confinement(namespaces=partly, cgroups=HOST_CGROUP))) == []


def test_blind_when_a_namespace_that_decides_is_not_known() -> None:
    member = descendant(
        build.host_confinement(namespaces=build.host_namespaces(mnt=Unknown("denied")), cgroups=HOST_CGROUP)
    )
    assert judge(DETECTOR, member) == [Blind("mnt namespace: denied", member.process.key)]


def test_blind_when_the_cgroup_is_not_known() -> None:
    member = descendant(build.host_confinement(cgroups=Unknown("denied")))
    assert judge(DETECTOR, member) == [Blind("cgroups: denied", member.process.key)]


def test_blind_when_there_is_nothing_to_compare_with() -> None:
    member = descendant(build.host_confinement(), first=Unknown("gone"))
    assert judge(DETECTOR, member) == [Blind("first process: gone", member.process.key)]
