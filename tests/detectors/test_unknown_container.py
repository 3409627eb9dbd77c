from __future__ import annotations

from typing import Any

import pytest

from collectors.events import SweepDone
from collectors.facts import Container, Pod, Process, ProcessKey, Unknown
from detectors.base import Blind, Confidence, Finding
from detectors.unknown_container import DETECTOR
from tests.support import build
from tests.support.view import judge, run, seen, view_of

NOBODYS: dict[str, Any] = {
    "declared": Unknown("no_bundle"),
    "first_pid": None,
    "first_start_ticks": None,
    "name": None,
    "image": None,
}


def nobodys(**overrides: Any) -> Container:
    return build.container(**{**NOBODYS, **overrides})


def aged(seconds: float) -> Process:
    """A process that was started so long before the tests' now; the node booted a day before."""
    return build.process(key=ProcessKey(4242, round((86_400 - seconds) * 100)))


def expected(key: ProcessKey) -> Finding:
    return Finding(
        "runs in the cgroup of a container that no runtime knows",
        build.container_id(),
        key,
        evidence=(("cgroups", (build.cgroup_path(),)), ("runtime", "docker")),
        confidence=Confidence.LIKELY,
        identity=(build.container_id(),),
    )


def test_fires_when_no_runtime_knows_the_container() -> None:
    task = aged(10.01)
    assert judge(DETECTOR, build.member(task, container=nobodys(), first=task)) == [expected(task.key)]


def test_fires_when_the_first_process_is_not_known_either() -> None:
    task = aged(60)
    member = build.member(task, container=nobodys(), first=Unknown("not_read"))
    assert judge(DETECTOR, member) == [expected(task.key)]


def test_fires_when_a_quiet_process_has_grown_old_by_a_later_sweep() -> None:
    task = aged(60)
    view = view_of(build.member(task, container=nobodys(), first=task))
    assert run(DETECTOR, SweepDone(build.NOW_NS, 7, 100, 1_000), view) == [expected(task.key)]


@pytest.mark.parametrize("seconds", [0, 10])
def test_silent_when_the_container_may_be_being_born(seconds: float) -> None:
    task = aged(seconds)
    assert judge(DETECTOR, build.member(task, container=nobodys(), first=task)) == []


@pytest.mark.parametrize(
    "known",
    [{"declared": build.declared()}, {"first_pid": 4100}, {"name": "web-1"}, {"image": "debian:12"}],
    ids=lambda each: next(iter(each)),
)
def test_silent_when_somebody_knows_the_container(known: dict[str, Any]) -> None:
    task = aged(60)
    assert judge(DETECTOR, build.member(task, container=nobodys(**known), first=task)) == []


def test_silent_when_the_process_is_the_hosts() -> None:
    view = view_of()
    assert run(DETECTOR, SweepDone(build.NOW_NS, 7, 100, 1_000), view) == []


def test_blind_when_the_bundle_could_not_be_read() -> None:
    task = aged(60)
    container = nobodys(declared=Unknown("denied: config.json"))
    assert judge(DETECTOR, build.member(task, container=container, first=task)) == [
        Blind("denied: config.json", task.key)
    ]


def test_blind_when_the_member_cannot_be_resolved() -> None:
    task = aged(60)
    view = view_of(members={task.key: Unknown("not_read")})
    assert run(DETECTOR, seen(task), view) == [Blind("not_read", task.key)]


POD_UID = "11111111-2222-4333-8444-555555555555"


def forged(**overrides: Any) -> Container:
    """A container with a bundle that names a pod, in a pod's cgroup."""
    pod = Pod("kube-system", "proxy", POD_UID, "proxy", is_sandbox=False)
    return build.container(**{"pod": pod, "pod_uid": POD_UID, "kubelet_has_pod": False, **overrides})


def test_fires_when_the_kubelet_does_not_know_the_pod_whatever_the_bundle_says() -> None:
    task = aged(60)
    assert judge(DETECTOR, build.member(task, container=forged(), first=task)) == [
        Finding(
            "runs in the cgroup of a pod that the kubelet of this node does not know",
            build.container_id(),
            task.key,
            evidence=(
                ("cgroups", (build.cgroup_path(),)),
                ("runtime", "docker"),
                ("pod_uid", POD_UID),
                ("pod_by_bundle", "kube-system/proxy"),
            ),
            confidence=Confidence.LIKELY,
            identity=(build.container_id(), "pod"),
        )
    ]


@pytest.mark.parametrize("known", [True, Unknown("not_read: no directory of the kubelet")])
def test_silent_when_the_kubelet_knows_the_pod_or_cannot_be_asked(*, known: bool | Unknown) -> None:
    task = aged(60)
    assert judge(DETECTOR, build.member(task, container=forged(kubelet_has_pod=known), first=task)) == []


def test_silent_while_a_process_of_an_unknown_pod_is_young() -> None:
    task = aged(9)
    assert judge(DETECTOR, build.member(task, container=forged(), first=task)) == []
