from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from collectors.events import ContainerSeen
from collectors.facts import Container, DeclaredNamespace, Pod, Process, Unknown
from collectors.pod_facts import PodDetails
from detectors.base import Blind, Finding, Member
from detectors.shell_entered import DETECTOR
from tests.support import build
from tests.support.view import FakeView, judge, run, seen, view_of

TTY = os.makedev(136, 0)


def session() -> Member:
    """The shell of ``docker exec -it``: it is its own entry."""
    task = build.process(tty=TTY, parent_pid=900)
    return build.member(task, entry=task)


def test_fires_when_a_session_has_a_terminal() -> None:
    member = session()
    shim = build.host_process(900, executable=build.executable(b"/usr/bin/containerd-shim-runc-v2"))
    view = view_of(member).put_parent(member.process, shim)
    assert run(DETECTOR, seen(member.process), view) == [
        Finding(
            "somebody entered the container at a terminal",
            build.container_id(),
            member.process.key,
            evidence=(
                ("entered_by", "runtime_exec"),
                ("program", b"/usr/bin/bash"),
                ("arguments", (b"bash",)),
                ("uid", "0"),
                ("sent_by", (b"/usr/bin/containerd-shim-runc-v2",)),
            ),
        )
    ]


def test_silent_when_there_is_no_terminal() -> None:
    task = build.process()
    assert judge(DETECTOR, build.member(task, entry=task)) == []


def test_silent_when_it_is_the_first_process_or_its_child() -> None:
    first: Process = build.first_process(tty=TTY)
    assert judge(DETECTOR, build.member(first, first=first)) == []
    assert judge(DETECTOR, build.member(build.process(tty=TTY))) == []


def test_silent_when_it_is_the_host_s() -> None:
    assert run(DETECTOR, seen(build.host_process(tty=TTY)), FakeView()) == []


def test_blind_when_container_or_entry_is_not_known() -> None:
    task = build.process(tty=TTY)
    nobody = FakeView(members={task.key: Unknown("no container")})
    assert run(DETECTOR, seen(task), nobody) == [Blind("no container", task.key)]
    assert judge(DETECTOR, build.member(task, entry=Unknown("not seen"))) == [Blind("entry: not seen", task.key)]


POD_UID = "11111111-2222-4333-8444-555555555555"
DETAILS = PodDetails("shop", "cart", POD_UID, "node-1", ephemeral_containers=("debugger-x7k2p",))


def in_pod(number: int, name: str, **parts: Any) -> Container:
    pod = Pod("shop", "cart", POD_UID, name, is_sandbox=False)
    return build.container(number, **{"pod": pod, "pod_uid": POD_UID, "runtime": "containerd", **parts})


def evidence(found: list[Finding | Blind]) -> dict[str, object]:
    (finding,) = found
    assert isinstance(finding, Finding)
    return dict(finding.evidence)


def test_tells_kubectl_exec_in_a_pod() -> None:
    member = replace(session(), container=in_pod(1, "cart"))
    assert evidence(judge(DETECTOR, member))["entered_by"] == "pod_exec"


def test_tells_a_runtime_that_was_called_by_hand() -> None:
    member = replace(session(), container=in_pod(1, "cart"))
    shim = build.host_process(800, executable=build.executable(b"/usr/bin/shim"))
    runc = build.host_process(900, executable=build.executable(b"/usr/bin/runc"))
    first = replace(build.first_process(), parent_pid=800)
    view = view_of(replace(member, first=first)).put_host(shim).put_parent(member.process, runc)
    assert evidence(run(DETECTOR, seen(member.process), view))["entered_by"] == "runtime_by_hand"
    by_shim = view.put_parent(runc, shim)
    assert evidence(run(DETECTOR, seen(member.process), by_shim))["entered_by"] == "pod_exec"


def test_fires_for_the_first_process_of_an_ephemeral_container() -> None:
    container = in_pod(2, "debugger-x7k2p", pod_details=DETAILS)
    first = build.first_process(2)
    member = build.member(first, container=container, first=first)
    found = evidence(judge(DETECTOR, member))
    assert found["entered_by"] == "ephemeral_container"


def test_fires_when_the_api_server_says_later_that_a_container_is_ephemeral() -> None:
    first = build.first_process(2)
    plain = in_pod(2, "debugger-x7k2p")
    view = FakeView().put_container(plain, first)
    assert run(DETECTOR, ContainerSeen(build.NOW_NS, plain), view) == []
    known = replace(plain, pod_details=DETAILS)
    view = FakeView().put_container(known, first)
    assert evidence(run(DETECTOR, ContainerSeen(build.NOW_NS, known), view))["entered_by"] == "ephemeral_container"


def test_fires_for_a_container_that_joins_the_process_namespace_of_another_of_its_pod() -> None:
    target = in_pod(1, "cart", first_pid=5000)
    joins = build.declared(namespaces=(DeclaredNamespace("pid", "/proc/5000/ns/pid"),))
    debugger = in_pod(2, "debugger-x7k2p", declared=joins)
    first = build.first_process(2)
    member = build.member(first, container=debugger, first=first)
    view = view_of(member).put_container(target, build.first_process(1))
    assert evidence(run(DETECTOR, seen(first), view))["entered_by"] == "ephemeral_container"


def test_silent_when_a_container_joins_its_pod_s_sandbox() -> None:
    sandbox = in_pod(1, "POD", first_pid=5000, pod=Pod("shop", "cart", POD_UID, "POD", is_sandbox=True))
    joins = build.declared(namespaces=(DeclaredNamespace("pid", "/proc/5000/ns/pid"),))
    first = build.first_process(2)
    member = build.member(first, container=in_pod(2, "cart", declared=joins), first=first)
    view = view_of(member).put_container(sandbox, build.first_process(1))
    assert run(DETECTOR, seen(first), view) == []
