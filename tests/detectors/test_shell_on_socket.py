from __future__ import annotations

import pytest

from collectors.facts import Process
from detectors.base import Confidence, Finding, Severity
from detectors.shell_on_socket import DETECTOR
from tests.support import build, held

HOST_TERMINAL = held.character(136, 4, target=b"/dev/pts/4")


def test_fires_when_input_and_output_are_a_connection_that_it_made() -> None:
    task = held.holding(held.stream(0), held.stream(1), held.stream(2))
    assert held.found(DETECTOR, member=build.member(task)) == [
        Finding(
            "has a network connection that it made for its input and output",
            build.container_id(),
            task.key,
            evidence=(
                ("protocol", "tcp"),
                ("local", "172.17.0.2 40000"),
                ("remote", "203.0.113.5 4444"),
                ("incoming", False),
            ),
            severity=Severity.MEDIUM,
            confidence=Confidence.LIKELY,
            inherited=True,
        )
    ]


def test_fires_as_low_when_the_connection_came_in() -> None:
    finding = held.one(DETECTOR, held.stream(0, is_incoming=True), held.stream(1, is_incoming=True))
    assert finding.severity is Severity.LOW


@pytest.mark.parametrize("terminal", [HOST_TERMINAL, held.character(4, 1), held.character(5, 1)])
def test_fires_when_a_terminal_of_the_host_is_held(terminal: object) -> None:
    assert held.one(DETECTOR, terminal).severity is Severity.MEDIUM  # type: ignore[arg-type]


def test_fires_as_low_when_the_runtime_handed_the_terminal_in() -> None:
    entry: Process = build.first_process(descriptors=(HOST_TERMINAL,))
    member = build.member(held.holding(HOST_TERMINAL), entry=entry)
    assert held.one(DETECTOR, member=member).severity is Severity.LOW


def test_silent_when_it_holds_other_things() -> None:
    assert held.found(DETECTOR, held.character(1, 3), held.block(8, 0), held.anonymous(b"[io_uring]")) == []


def test_blind_when_something_is_not_known() -> None:
    assert held.blind_cases(DETECTOR) == held.blind_answers()
