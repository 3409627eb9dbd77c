from __future__ import annotations

from collectors.events import AgentTrouble, TroubleKind
from detectors.agent_attacked import DETECTOR
from detectors.base import Blind, Finding, Severity
from tests.support import build
from tests.support.view import FakeView, run, view_of


def traced(pid: int | None) -> AgentTrouble:
    return AgentTrouble(build.NOW_NS, TroubleKind.ATTACKED, "agent", "TracerPid", pid)


def test_fires_when_a_container_traces_the_agent() -> None:
    tracer = build.process(4242, executable=build.executable(b"/usr/bin/gdb"))
    assert run(DETECTOR, traced(4242), view_of(build.member(tracer))) == [
        Finding(
            "has taken hold of the agent itself",
            build.container_id(),
            tracer.key,
            evidence=(("how", "TracerPid"), ("executable", b"/usr/bin/gdb")),
            severity=Severity.CRITICAL,
        )
    ]


def test_fires_as_medium_when_it_is_a_process_of_the_host() -> None:
    (found,) = run(DETECTOR, traced(800), FakeView().put_host(build.host_process(800)))
    assert isinstance(found, Finding)
    assert (found.severity, found.container_id) == (Severity.MEDIUM, None)


def test_fires_when_an_object_of_the_agent_is_another_one() -> None:
    event = AgentTrouble(build.NOW_NS, TroubleKind.ATTACKED, "cgroup", "0::/a -> 0::/frozen")
    assert run(DETECTOR, event, FakeView()) == [
        Finding(
            "the agent's own cgroup was changed while it ran",
            None,
            None,
            evidence=(("how", "0::/a -> 0::/frozen"),),
            severity=Severity.HIGH,
        )
    ]


def test_silent_when_it_is_another_trouble() -> None:
    assert run(DETECTOR, AgentTrouble(build.NOW_NS, TroubleKind.AWAY, "agent", "why"), FakeView()) == []


def test_blind_when_the_tracer_is_not_known() -> None:
    blind, found = run(DETECTOR, traced(None), FakeView())
    assert blind == Blind("gone: the tracer of the agent")
    assert isinstance(found, Finding)
    assert found.severity is Severity.CRITICAL
