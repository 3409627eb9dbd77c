from __future__ import annotations

import pytest

from collectors.events import AgentTrouble, Touch, TroubleKind, Watched, WatchKind
from detectors.agent_attacked import DETECTOR
from detectors.base import Blind, Finding, Severity
from tests.support import build, calls
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


OURS = Watched("/var/lib/hullwatch", WatchKind.AGENT)
AGENT = build.host_process(800)
SEEN = view_of(build.member(calls.ACTOR)).put_host(AGENT)


def asked(pid: int) -> AgentTrouble:
    return AgentTrouble(build.NOW_NS, TroubleKind.ATTACKED, "control socket", "connected", pid)


@pytest.mark.parametrize("touch", [Touch.WRITTEN, Touch.ENTRY, Touch.CHANGED])
def test_fires_when_a_container_changes_a_file_of_the_agent(touch: Touch) -> None:
    event = calls.touched(touch, OURS, Watched("/var", WatchKind.PERSISTENCE), path=b"/host/x")
    finding = calls.one(DETECTOR, event)
    assert finding.message == "changed the agent's own /var/lib/hullwatch"
    assert finding.evidence == (("how", touch.value), ("own_path", ("/var/lib/hullwatch",)), ("path", b"/host/x"))
    assert finding.severity is None  # critical, as declared


def test_silent_when_the_file_is_not_the_agents_or_was_read() -> None:
    assert calls.told(DETECTOR, calls.touched(Touch.WRITTEN, Watched("/etc", WatchKind.PERSISTENCE))) == []
    assert calls.told(DETECTOR, calls.touched(Touch.READ, OURS)) == []


def test_silent_when_a_process_of_the_host_changes_it() -> None:
    event = calls.touched(Touch.WRITTEN, OURS)
    assert run(DETECTOR, event, FakeView().put_host(event.process)) == []


@pytest.mark.parametrize(
    ("call", "error", "message", "severity"),
    [
        ("signal", 0, "sent a signal that ends or stops to the agent itself", Severity.CRITICAL),
        ("memory", 0, "opened the memory of the agent itself", Severity.CRITICAL),
        ("ptrace", 0, "took hold of the agent itself", Severity.CRITICAL),
        ("ptrace", 1, "tried to take hold of the agent itself", Severity.HIGH),
        ("pidfd_getfd", 1, "tried to take a descriptor from the agent itself", Severity.HIGH),
    ],
)
def test_fires_when_a_container_reaches_for_the_agents_process(
    call: str, error: int, message: str, severity: Severity
) -> None:
    finding = calls.one(DETECTOR, calls.reached(call, error=error, is_agent=True), SEEN)
    assert (finding.message, finding.severity) == (message, severity)


def test_silent_when_the_process_is_not_the_agent_or_the_sender_is_of_its_own_pod() -> None:
    assert run(DETECTOR, calls.reached("signal", signal=9), SEEN) == []
    same = view_of(build.member(calls.ACTOR), build.member(build.process(800)))
    assert run(DETECTOR, calls.reached("signal", signal=15, is_agent=True), same) == []


def test_blind_when_it_is_not_known_to_which_container_the_actor_belongs() -> None:
    assert calls.blind(DETECTOR, calls.touched(Touch.WRITTEN, OURS)) == calls.NOT_KNOWN
    assert calls.blind(DETECTOR, calls.reached("signal", is_agent=True)) == calls.NOT_KNOWN


def test_fires_when_a_container_asks_the_control_socket_and_is_silent_for_the_host() -> None:
    client = build.process(4242, executable=build.executable(b"/usr/bin/hullwatch"))
    (found,) = run(DETECTOR, asked(4242), view_of(build.member(client)))
    assert isinstance(found, Finding)
    assert (found.message, found.severity) == ("connected to the agent's own control socket", None)
    assert run(DETECTOR, asked(800), FakeView().put_host(AGENT)) == []
    assert run(DETECTOR, asked(5), FakeView()) == [Blind("gone: who connected to the agent's control socket")]
