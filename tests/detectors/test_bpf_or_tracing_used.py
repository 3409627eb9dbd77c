from __future__ import annotations

import pytest

from detectors.base import Finding, Member, Severity
from detectors.bpf_or_tracing_used import DETECTOR, TRACING
from tests.support import build, calls, held


def privileged(*names: bytes) -> Member:
    held_now = build.capabilities(build.FULL_CAPABILITIES)
    task = held.holding(*map(held.anonymous, names), confinement=build.confinement(capabilities=held_now))
    return build.member(task, container=build.container(declared=build.declared(capabilities=held_now)))


def test_fires_when_a_bpf_program_is_held() -> None:
    task = held.holding(held.anonymous(b"bpf-prog"), held.anonymous(b"bpf-map", number=8))
    assert held.found(DETECTOR, member=build.member(task)) == [
        Finding(
            "holds bpf or tracing of the kernel open: bpf-map, bpf-prog",
            build.container_id(),
            task.key,
            evidence=(("held", (b"bpf-map", b"bpf-prog")), ("granted", False)),
            severity=Severity.HIGH,
            inherited=True,
        )
    ]


@pytest.mark.parametrize("name", [b"bpf_link", b"bpf_iter", b"[perf_event]"])
def test_fires_as_medium_when_it_was_granted(name: bytes) -> None:
    assert held.one(DETECTOR, member=privileged(name)).severity is Severity.MEDIUM


def test_silent_when_a_process_counts_its_own_events() -> None:
    assert held.found(DETECTOR, held.anonymous(b"[perf_event]"), held.anonymous(b"[io_uring]")) == []


def test_blind_when_something_is_not_known() -> None:
    assert held.blind_cases(DETECTOR) == held.blind_answers()


def test_fires_when_a_program_is_loaded() -> None:
    finding = calls.one(DETECTOR, calls.call("bpf", arguments=(5, 0, 0, 0)))
    assert (finding.message, finding.severity) == ("called bpf to load a program", Severity.HIGH)


def test_fires_when_the_events_of_others_are_counted() -> None:
    task = build.process(confinement=build.confinement(capabilities=build.capabilities(TRACING)))
    everybody = (0, (1 << 64) - 1, 0, 0)
    finding = calls.one(DETECTOR, calls.call("perf_event_open", process=task, arguments=everybody))
    assert finding.message == "opened a perf event of others"


def test_silent_when_it_works_on_what_it_has_or_on_itself() -> None:
    assert calls.told(DETECTOR, calls.call("bpf", arguments=(2, 0, 0, 0))) == []
    assert calls.told(DETECTOR, calls.call("perf_event_open")) == []
    assert calls.told(DETECTOR, calls.call("bpf", error=1, arguments=(5, 0, 0, 0))) == []


def test_blind_when_the_caller_is_not_known() -> None:
    assert calls.blind(DETECTOR, calls.call("bpf")) == calls.NOT_KNOWN
