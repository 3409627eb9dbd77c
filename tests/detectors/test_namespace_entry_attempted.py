from __future__ import annotations

from collectors.events import Refused, Touch
from collectors.facts import FileId, Process, Unknown
from detectors.base import Blind, Finding, Member, Severity
from detectors.namespace_entry_attempted import DETECTOR
from tests.support import build, calls, held
from tests.support.view import FakeView, run, seen, view_of


def on_host_network(task: Process) -> Member:
    first = build.first_process(confinement=build.confinement(namespaces=build.namespaces(net=build.HOST_NET)))
    return build.member(task, first=first)


def test_fires_when_a_namespace_of_the_host_is_held() -> None:
    task = held.holding(held.namespace("mnt", build.HOST_MNT))
    assert held.found(DETECTOR, member=build.member(task)) == [
        Finding(
            "holds open: the mnt namespace of the host",
            build.container_id(),
            task.key,
            evidence=(("namespaces", (f"mnt:[{build.HOST_MNT}]",)), ("of", ("the host",))),
            severity=Severity.HIGH,
            inherited=True,
        )
    ]


def test_fires_when_a_namespace_of_another_container_is_held() -> None:
    task = held.holding(held.namespace("net", build.namespaces(2).net))  # type: ignore[arg-type]
    view = view_of(build.member(task)).put_container(build.container(2), build.first_process(2))
    (finding,) = run(DETECTOR, seen(task), view)
    assert isinstance(finding, Finding)
    assert finding.severity is Severity.HIGH
    assert dict(finding.evidence)["of"] == (f"container {build.container_id(2)[:12]}",)


def test_fires_as_medium_when_a_network_agent_holds_a_foreign_network() -> None:
    task = held.holding(held.namespace("net", build.namespaces(2).net))  # type: ignore[arg-type]
    view = view_of(on_host_network(task)).put_container(build.container(2), build.first_process(2))
    (finding,) = run(DETECTOR, seen(task), view)
    assert isinstance(finding, Finding)
    assert finding.severity is Severity.MEDIUM


def test_silent_when_it_is_the_containers_own_or_nobodys() -> None:
    own = held.namespace("mnt", build.mnt_namespace())
    nobodys = held.namespace("user", 4026539999)
    assert held.found(DETECTOR, own, nobodys, held.block(8, 0)) == []


def test_silent_when_the_host_s_namespace_was_given() -> None:
    task = held.holding(held.namespace("net", build.HOST_NET), held.namespace("user", build.HOST_USER))
    assert held.found(DETECTOR, member=on_host_network(task)) == []


def test_blind_when_something_is_not_known() -> None:
    assert held.blind_cases(DETECTOR) == held.blind_answers()


def test_fires_when_setns_was_refused() -> None:
    task = build.process()
    assert run(DETECTOR, Refused(build.NOW_NS, task, "setns", 1), view_of(build.member(task))) == [
        Finding(
            "was refused to enter a namespace",
            build.container_id(),
            task.key,
            evidence=(("call", "setns"), ("error", 1)),
            severity=Severity.MEDIUM,
            inherited=True,
        )
    ]


def test_silent_when_another_call_was_refused() -> None:
    task = build.process()
    assert run(DETECTOR, Refused(build.NOW_NS, task, "mount", 1), view_of(build.member(task))) == []


def test_blind_when_who_was_refused_is_not_known() -> None:
    task = build.process()
    view = FakeView(members={task.key: Unknown("no container")})
    assert run(DETECTOR, Refused(build.NOW_NS, task, "setns", 1), view) == [Blind("no container", task.key)]


def test_fires_when_a_namespace_of_the_host_is_opened() -> None:
    finding = calls.one(DETECTOR, calls.touched(Touch.NAMESPACE, file=FileId(4, build.HOST_MNT)))
    assert (finding.message, finding.severity) == ("opened the mnt namespace of the host", Severity.HIGH)


def test_fires_when_a_namespace_of_another_container_is_opened() -> None:
    other = build.member(build.process(5000, 2), 2)
    event = calls.touched(Touch.NAMESPACE, file=FileId(4, build.mnt_namespace(2)))
    finding = calls.one(DETECTOR, event, view_of(build.member(calls.ACTOR), other))
    assert finding.message == "opened the mnt namespace of another container"


def test_silent_when_the_namespace_is_nobodys_or_its_containers() -> None:
    assert calls.told(DETECTOR, calls.touched(Touch.NAMESPACE, file=FileId(4, 4026539999))) == []
    assert calls.told(DETECTOR, calls.touched(Touch.NAMESPACE, file=FileId(4, build.mnt_namespace()))) == []


def test_blind_when_who_opened_it_is_not_known() -> None:
    assert calls.blind(DETECTOR, calls.touched(Touch.NAMESPACE)) == calls.NOT_KNOWN
