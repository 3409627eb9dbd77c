from __future__ import annotations

from collectors.confinement import Dimension, Widening
from collectors.facts import Unknown
from detectors.base import Blind, Finding
from detectors.other_container_joined import DETECTOR
from tests.support import build
from tests.support.view import FakeView, run, seen, view_of


def node(*numbers: int) -> FakeView:
    view = view_of()
    for number in numbers:
        view.put_container(build.container(number), build.first_process(number))
    return view


def test_fires_when_a_process_joins_the_net_namespace_of_another_container() -> None:
    other = build.namespaces(2).net
    task = build.process(confinement=build.confinement(namespaces=build.namespaces(net=other)))
    assert run(DETECTOR, seen(task), node(2).put(build.member(task))) == [
        Finding(
            message="It is in the net namespace of another container, which was not declared shared",
            container_id=build.container_id(1),
            subject=task.key,
            evidence=(("namespaces", ("net",)), ("other_container_ids", (build.container_id(2),))),
            widened=(Widening(Dimension.NAMESPACES, "net_namespace", build.namespaces().net, other),),
            inherited=True,
            news=(build.container_id(2),),
        )
    ]


def test_fires_when_a_thread_joins_the_mount_namespace_of_a_container_of_its_own_pod() -> None:
    """Two containers of a pod share net and ipc; their mount namespaces are nobody else's."""
    pod = {"net": 4026533100, "ipc": 4026533101}
    ours = build.first_process(1, confinement=build.confinement(1, namespaces=build.namespaces(1, **pod)))
    theirs = build.first_process(2, confinement=build.confinement(2, namespaces=build.namespaces(2, **pod)))
    mnt = build.namespaces(2).mnt
    joined = build.confinement(namespaces=build.namespaces(1, **pod, mnt=mnt))
    task = build.thread(build.process(confinement=ours.confinement), 4243, joined)
    view = view_of(build.member(task, first=ours)).put_container(build.container(2), theirs)
    (found,) = run(DETECTOR, seen(task), view)
    assert isinstance(found, Finding)
    assert found.evidence == (("namespaces", ("mnt",)), ("other_container_ids", (build.container_id(2),)))


def test_fires_when_a_container_joins_the_one_that_it_runs_in() -> None:
    inner = build.container(2, cgroup_paths=frozenset({build.cgroup_path(1) + b"/docker/inner"}))
    task = build.process(number=2, confinement=build.confinement(2, namespaces=build.namespaces(2, mnt=4026532100)))
    view = node(1).put(build.member(task, 2, container=inner))
    (found,) = run(DETECTOR, seen(task), view)
    assert isinstance(found, Finding)
    assert found.evidence == (("namespaces", ("mnt",)), ("other_container_ids", (build.container_id(1),)))


def test_silent_when_the_namespace_is_shared_by_declaration() -> None:
    """``--network=container:``: the first process has it too."""
    shared = build.confinement(namespaces=build.namespaces(net=build.namespaces(2).net))
    first, task = build.first_process(confinement=shared), build.process(confinement=shared)
    assert run(DETECTOR, seen(task), node(2).put(build.member(task, first=first))) == []


def test_silent_when_the_namespace_is_the_hosts() -> None:
    """A hostNetwork container owns it too, but HW-101 tells this."""
    shared = build.confinement(2, namespaces=build.namespaces(2, net=build.HOST_NET))
    task = build.process(confinement=build.confinement(namespaces=build.namespaces(net=build.HOST_NET)))
    view = view_of(build.member(task)).put_container(build.container(2), build.first_process(2, confinement=shared))
    assert run(DETECTOR, seen(task), view) == []


def test_silent_when_a_runtime_in_a_container_enters_what_it_started() -> None:
    inner = build.container(2, cgroup_paths=frozenset({build.cgroup_path(1) + b"/docker/inner"}))
    task = build.process(confinement=build.confinement(namespaces=build.namespaces(net=build.namespaces(2).net)))
    view = view_of(build.member(task)).put_container(inner, build.first_process(2))
    assert run(DETECTOR, seen(task), view) == []


def test_silent_when_the_namespace_is_nobodys() -> None:
    task = build.process(confinement=build.confinement(namespaces=build.namespaces(mnt=4026533001)))
    assert run(DETECTOR, seen(task), node(2).put(build.member(task))) == []


def test_blind_when_a_namespace_cannot_be_read() -> None:
    task = build.process(confinement=build.confinement(namespaces=build.namespaces(net=Unknown("gone"))))
    assert run(DETECTOR, seen(task), node(2).put(build.member(task))) == [Blind("net namespace: gone", task.key)]


def test_blind_when_there_is_nothing_to_compare_with() -> None:
    task = build.process()
    view = view_of(build.member(task, first=Unknown("gone")))
    assert run(DETECTOR, seen(task), view) == [Blind("first process: gone", task.key)]
