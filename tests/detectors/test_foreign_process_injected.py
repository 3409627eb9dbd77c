from __future__ import annotations

from dataclasses import replace

import pytest

from collectors.events import Ptrace
from collectors.facts import Process, Unknown
from detectors.base import Blind, Finding, Member, Severity
from detectors.foreign_process_injected import DETECTOR
from tests.support import build, calls, held
from tests.support.view import FakeView, run, seen, view_of

TRACER = build.process(4242, name=b"gdb")
EVENT = Ptrace(build.NOW_NS, 4242, 800)
VICTIM = build.host_process(800, name=b"sshd")


def traced(view: FakeView, target: int = 800) -> list[Finding | Blind]:
    return run(DETECTOR, Ptrace(build.NOW_NS, 4242, target), view)


def other(task_pid: int, number: int = 2, **namespaces: int) -> Member:
    """A process of another container, whose first process has these namespaces."""
    confinement = build.confinement(number, namespaces=build.namespaces(number, **namespaces))
    first = build.first_process(number, confinement=confinement)
    task = build.process(task_pid, number, confinement=confinement)
    return build.member(task, number, container=build.container(number), first=first)


def in_pid_namespace_of(member: Member, pid_namespace: int) -> Member:
    assert isinstance(member.first, Process)
    confined = replace(
        member.first.confinement, namespaces=replace(member.first.confinement.namespaces, pid=pid_namespace)
    )
    return replace(member, first=replace(member.first, confinement=confined))


def test_fires_when_a_process_of_the_host_is_traced() -> None:
    assert traced(view_of(build.member(TRACER)).put_host(VICTIM)) == [
        Finding(
            "took hold of a process of the host with ptrace",
            build.container_id(),
            TRACER.key,
            evidence=(
                ("how", "ptrace"),
                ("target_pid", 800),
                ("target_name", b"sshd"),
                ("target_executable", b"/usr/bin/bash"),
                ("target_container", ""),
            ),
            inherited=True,
        )
    ]


def test_fires_when_a_process_of_another_container_is_traced() -> None:
    (found,) = traced(view_of(build.member(TRACER), other(5000)), 5000)
    assert isinstance(found, Finding)
    assert dict(found.evidence)["target_container"] == build.container_id(2)


def test_fires_when_both_containers_share_the_hosts_pid_namespace() -> None:
    actor = in_pid_namespace_of(build.member(TRACER), build.HOST_PID)
    (found,) = traced(view_of(actor, other(5000, pid=build.HOST_PID)), 5000)
    assert isinstance(found, Finding)


def test_fires_when_the_memory_of_a_host_process_is_held() -> None:
    """Through the host's own proc file system, which the container has mounted."""
    task = held.holding(held.proc_file(b"/proc/800/mem", mnt_id=7001))
    view = view_of(build.member(task)).put_host(VICTIM)
    view.tables[build.mnt_namespace()] += (build.mount(7001, b"/host/proc", device=build.PROC_DEVICE, fs_type=b"proc"),)
    view.tables[build.HOST_MNT] = build.host_mount_table()
    (found,) = run(DETECTOR, seen(task), view)
    assert isinstance(found, Finding)
    assert found.message == "holds the memory open of a process of the host"


def test_fires_when_the_memory_is_held_by_the_host_s_pid() -> None:
    task = held.holding(held.proc_file(b"/proc/800/task/801/mem"))
    actor = in_pid_namespace_of(build.member(task), build.HOST_PID)
    (found,) = run(DETECTOR, seen(task), view_of(actor).put_host(VICTIM))
    assert isinstance(found, Finding)


def test_silent_when_the_memory_is_of_a_process_of_its_own_pid_namespace() -> None:
    task = held.holding(held.proc_file(b"/proc/800/mem"))
    assert run(DETECTOR, seen(task), view_of(build.member(task)).put_host(VICTIM)) == []


def test_silent_when_the_target_is_in_the_same_container() -> None:
    assert traced(view_of(build.member(TRACER), build.member(build.process(4300))), 4300) == []


def test_silent_when_the_containers_were_given_one_pid_namespace() -> None:
    shared = 4026539000
    actor = in_pid_namespace_of(build.member(TRACER), shared)
    assert traced(view_of(actor, other(5000, pid=shared)), 5000) == []


def test_silent_when_the_tracer_is_of_the_host_or_the_target_becoming_a_container() -> None:
    assert traced(FakeView().put_host(build.host_process(4242), VICTIM)) == []
    becoming = view_of(build.member(TRACER)).put_host(VICTIM)
    becoming.becoming.add(VICTIM.key)
    assert traced(becoming) == []


@pytest.mark.parametrize(
    ("view", "blind"),
    [
        pytest.param(FakeView(), Blind("gone: the tracer"), id="tracer-gone"),
        pytest.param(view_of(build.member(TRACER)), Blind("gone: the traced process", TRACER.key), id="target-gone"),
        pytest.param(
            FakeView(members={TRACER.key: Unknown("no first")}, processes={TRACER.key: TRACER}),
            Blind("no first", TRACER.key),
            id="actor-not-known",
        ),
        pytest.param(
            FakeView(
                members={TRACER.key: build.member(TRACER), VICTIM.key: Unknown("no first")},
                processes={TRACER.key: TRACER, VICTIM.key: VICTIM},
            ),
            Blind("no first", TRACER.key),
            id="victim-not-known",
        ),
    ],
)
def test_blind_when_a_process_is_not_known(view: FakeView, blind: Blind) -> None:
    assert traced(view) == [blind]


def test_blind_when_what_it_holds_is_not_known() -> None:
    assert held.blind_cases(DETECTOR) == held.blind_answers()


@pytest.mark.parametrize(
    ("name", "error", "severity", "message"),
    [
        ("ptrace", 0, None, "took hold of a process of the host with ptrace"),
        ("process_vm_writev", 0, None, "wrote into the memory of a process of the host"),
        ("pidfd_getfd", 0, None, "took a descriptor from a process of the host"),
        ("pidfd_getfd", 1, Severity.HIGH, "tried to take a descriptor from a process of the host"),
    ],
)
def test_fires_when_a_call_reached_for_it(name: str, error: int, severity: Severity | None, message: str) -> None:
    view = view_of(build.member(calls.ACTOR)).put_host(VICTIM)
    (found,) = run(DETECTOR, calls.reached(name, error=error), view)
    assert isinstance(found, Finding)
    assert (found.message, found.severity) == (message, severity)


def test_silent_when_it_was_only_signalled() -> None:
    view = view_of(build.member(calls.ACTOR)).put_host(VICTIM)
    assert run(DETECTOR, calls.reached("signal", signal=9), view) == []
