from __future__ import annotations

from dataclasses import replace

import pytest

from collectors.facts import Unknown
from detectors.base import Blind, Finding, Severity
from detectors.host_process_signalled import DETECTOR
from tests.support import build, calls
from tests.support.view import FakeView, run, view_of

VICTIM = build.host_process(800, name=b"sshd")
ACTOR = build.member(calls.ACTOR)
KILL = calls.reached("signal", signal=9)


def test_fires_when_a_process_of_the_host_is_killed() -> None:
    assert run(DETECTOR, KILL, view_of(ACTOR).put_host(VICTIM)) == [
        Finding(
            "sent KILL to a process of the host",
            build.container_id(),
            calls.ACTOR.key,
            evidence=(
                ("signal", "KILL"),
                ("target_pid", 800),
                ("target_name", b"sshd"),
                ("target_executable", b"/usr/bin/bash"),
                ("target_container", ""),
            ),
            severity=Severity.HIGH,
            inherited=True,
        )
    ]


def test_fires_when_a_process_of_another_container_is_stopped() -> None:
    other = build.member(build.process(5000, 2), 2)
    (found,) = run(DETECTOR, calls.reached("signal", target=5000, signal=19), view_of(ACTOR, other))
    assert isinstance(found, Finding)
    assert (found.message, dict(found.evidence)["target_container"]) == (
        "sent STOP to a process of another container",
        build.container_id(2),
    )


def test_fires_worse_when_it_is_a_runtime_the_agent_or_process_1() -> None:
    executable = VICTIM.executable
    assert not isinstance(executable, Unknown)
    assert not isinstance(executable.place, Unknown)
    host = build.host_baseline(runtime_binaries=frozenset({executable.place.file}))
    init = build.host_process(1)
    for event, view in (
        (KILL, view_of(ACTOR, host=host).put_host(VICTIM)),
        (replace(KILL, is_agent=True), view_of(ACTOR).put_host(VICTIM)),
        (replace(KILL, target_pid=1), view_of(ACTOR).put_host(init)),
    ):
        (found,) = run(DETECTOR, event, view)
        assert isinstance(found, Finding)
        assert found.severity == Severity.CRITICAL


def test_silent_when_it_is_its_own_container_or_one_becoming() -> None:
    assert (
        run(DETECTOR, calls.reached("signal", target=4300, signal=9), view_of(ACTOR, build.member(build.process(4300))))
        == []
    )
    becoming = view_of(ACTOR).put_host(VICTIM)
    becoming.becoming.add(VICTIM.key)
    assert run(DETECTOR, KILL, becoming) == []


@pytest.mark.parametrize("signal", [0, 1, 10, 12, 17, 18])
def test_silent_when_the_signal_is_no_end(signal: int) -> None:
    assert run(DETECTOR, calls.reached("signal", signal=signal), view_of(ACTOR).put_host(VICTIM)) == []


@pytest.mark.parametrize(
    ("view", "why"),
    [
        pytest.param(view_of(ACTOR), "gone: the signalled process", id="target-gone"),
        pytest.param(FakeView(members={calls.ACTOR.key: Unknown("no first")}), "no first", id="actor-not-known"),
        pytest.param(
            FakeView(members={calls.ACTOR.key: ACTOR, VICTIM.key: Unknown("no first")}, processes={VICTIM.key: VICTIM}),
            "no first",
            id="victim-not-known",
        ),
    ],
)
def test_blind_when_a_process_is_not_known(view: FakeView, why: str) -> None:
    assert run(DETECTOR, KILL, view) == [Blind(why, calls.ACTOR.key)]
