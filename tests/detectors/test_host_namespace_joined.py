from __future__ import annotations

import pytest

from collectors.confinement import Dimension, Widening
from collectors.facts import NAMESPACE_KINDS, Namespaces, Unknown
from detectors.base import Blind, Finding, Severity
from detectors.host_namespace_joined import DETECTOR
from tests.support import build
from tests.support.view import FakeView, judge, run, seen, view_of

DENIED = Unknown("denied")


def test_fires_when_a_process_joins_the_hosts_mount_and_net_namespace() -> None:
    inside = build.namespaces(mnt=build.HOST_MNT, net=build.HOST_NET)
    task = build.process(confinement=build.confinement(namespaces=inside))
    assert judge(DETECTOR, build.member(task)) == [
        Finding(
            message="It is in the host's mnt, net namespace, which its container was not given",
            container_id=build.container_id(),
            subject=task.key,
            evidence=(("namespaces", ("mnt", "net")), ("is_thread", False)),
            widened=(
                Widening(Dimension.NAMESPACES, "mnt_namespace", build.namespaces().mnt, build.HOST_MNT),
                Widening(Dimension.NAMESPACES, "net_namespace", build.namespaces().net, build.HOST_NET),
            ),
            severity=Severity.CRITICAL,
            inherited=True,
            news=(),
        )
    ]


@pytest.mark.parametrize(
    ("kind", "severity"),
    [
        ("mnt", Severity.CRITICAL),
        ("pid", Severity.CRITICAL),
        ("user", Severity.CRITICAL),
        ("net", Severity.HIGH),
        ("ipc", Severity.HIGH),
        ("uts", Severity.HIGH),
        ("cgroup", Severity.HIGH),
        ("time", Severity.HIGH),
    ],
)
def test_fires_when_any_single_namespace_is_the_hosts(kind: str, severity: Severity) -> None:
    own = build.namespaces(user=build.own_user_namespace(), time=4026532199)
    joined = build.namespaces(
        **{
            "user": build.own_user_namespace(),
            "time": 4026532199,
            kind: getattr(build.host_namespaces(), kind),
        }
    )
    first = build.first_process(confinement=build.confinement(namespaces=own))
    task = build.process(confinement=build.confinement(namespaces=joined))
    (found,) = judge(DETECTOR, build.member(task, first=first))
    assert isinstance(found, Finding)
    assert (found.severity, found.evidence) == (severity, (("namespaces", (kind,)), ("is_thread", False)))


def test_fires_when_a_single_thread_joins() -> None:
    joined = build.confinement(namespaces=build.namespaces(net=build.HOST_NET))
    task = build.thread(build.process(), 4243, joined)
    (found,) = judge(DETECTOR, build.member(task))
    assert isinstance(found, Finding)
    assert found.subject == build.key(4243)
    assert found.evidence == (("namespaces", ("net",)), ("is_thread", True))


def test_fires_when_the_first_process_itself_joins() -> None:
    task = build.first_process(confinement=build.confinement(namespaces=build.namespaces(mnt=build.HOST_MNT)))
    (found,) = judge(DETECTOR, build.member(task))
    assert isinstance(found, Finding)


def test_silent_when_nothing_is_shared_but_what_docker_shares() -> None:
    assert judge(DETECTOR, build.member(build.process())) == []


def test_silent_when_the_first_process_shares_it_too() -> None:
    """Declared hostPID and hostNetwork; docker on cgroup v1 shares cgroup, time and user."""
    shared = build.confinement(
        namespaces=build.namespaces(pid=build.HOST_PID, net=build.HOST_NET, cgroup=build.HOST_CGROUP)
    )
    first = build.first_process(confinement=shared)
    assert judge(DETECTOR, build.member(build.process(confinement=shared), first=first)) == []


def test_silent_when_a_browser_makes_namespaces_of_its_own() -> None:
    nested = build.namespaces(mnt=4026533001, pid=4026533002, user=4026533003, net=4026533004)
    task = build.process(confinement=build.confinement(namespaces=nested))
    assert judge(DETECTOR, build.member(task)) == []


def test_silent_when_a_process_of_the_host_enters_the_container() -> None:
    task = build.host_process(confinement=build.confinement())
    assert run(DETECTOR, seen(task), FakeView().put_host(task)) == []


def test_blind_when_the_namespaces_cannot_be_read() -> None:
    unread = Namespaces(**dict.fromkeys(NAMESPACE_KINDS, DENIED))
    task = build.process(confinement=build.confinement(namespaces=unread))
    assert judge(DETECTOR, build.member(task)) == [
        Blind(f"{kind} namespace: denied", task.key) for kind in NAMESPACE_KINDS
    ]


def test_blind_when_the_hosts_are_not_known_but_tells_what_it_can() -> None:
    frame = build.frame(namespaces=build.host_namespaces(mnt=DENIED))
    task = build.process(confinement=build.confinement(namespaces=build.namespaces(net=build.HOST_NET)))
    blind, found = judge(DETECTOR, build.member(task, frame=frame))
    assert blind == Blind("mnt namespace: denied", task.key)
    assert isinstance(found, Finding)
    assert found.severity is Severity.HIGH


def test_blind_when_there_is_nothing_to_compare_with() -> None:
    task = build.process()
    assert judge(DETECTOR, build.member(task, first=Unknown("gone"))) == [Blind("first process: gone", task.key)]
    view = view_of()
    view.members[task.key] = Unknown("no_bundle")
    assert run(DETECTOR, seen(task), view) == [Blind("no_bundle", task.key)]
