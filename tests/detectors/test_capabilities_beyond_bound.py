from __future__ import annotations

from typing import Any

import pytest

from collectors.confinement import CapabilitySet, Dimension, Widening
from collectors.facts import Process, Unknown
from detectors.base import Blind, Finding
from detectors.capabilities_beyond_bound import DETECTOR
from tests.support import build
from tests.support.view import FakeView, judge, run, seen

GIVEN, FULL = build.DOCKER_CAPABILITIES, build.FULL_CAPABILITIES


def task(mask: int = GIVEN, **sets: Any) -> Process:
    return build.process(confinement=build.confinement(capabilities=build.capabilities(mask, **sets)))


def test_fires_when_an_exploit_gave_every_capability() -> None:
    process = task(FULL)
    was, now = CapabilitySet(build.HOST_USER, GIVEN), CapabilitySet(build.HOST_USER, FULL)
    assert judge(DETECTOR, build.member(process)) == [
        Finding(
            message="Its permitted, effective, bounding capabilities exceed what its container can have",
            container_id=build.container_id(),
            subject=process.key,
            evidence=(("sets", ("permitted", "effective", "bounding")), ("gained_mask", "000001ff57fbda04")),
            widened=tuple(
                Widening(Dimension.PRIVILEGE, f"{name}_capabilities", was, now)
                for name in ("permitted", "effective", "bounding")
            ),
            inherited=True,
        )
    ]


@pytest.mark.parametrize("name", ["permitted", "effective", "bounding"])
def test_fires_when_a_single_set_holds_a_single_capability_more(name: str) -> None:
    (found,) = judge(DETECTOR, build.member(task(**{name: GIVEN | build.CAP_SYS_ADMIN})))
    assert isinstance(found, Finding)
    assert found.evidence == (("sets", (name,)), ("gained_mask", "0000000000200000"))


def test_fires_when_a_bounding_set_grew_back() -> None:
    """Within what the container has, but nothing adds to a bounding set."""
    process, before = task(), task(bounding=0)
    (found,) = judge(DETECTOR, build.member(process, previous=before))
    assert isinstance(found, Finding)
    assert found.evidence == (("sets", ("bounding",)), ("gained_mask", f"{GIVEN:016x}"))


@pytest.mark.parametrize(
    "process",
    [
        pytest.param(task(), id="as-given"),
        pytest.param(task(0, bounding=GIVEN), id="dropped"),
        pytest.param(task(inheritable=FULL), id="inheritable-grants-nothing"),
        pytest.param(task(permitted=GIVEN, bounding=0), id="bounding-dropped-later"),
    ],
)
def test_silent_when_it_stays_within_the_bounding_set(process: Process) -> None:
    assert judge(DETECTOR, build.member(process)) == []


def test_silent_when_a_set_uid_program_raises_within_the_bounding_set() -> None:
    before = build.process(confinement=build.confinement(capabilities=build.capabilities(0, bounding=GIVEN)))
    assert judge(DETECTOR, build.member(task(), previous=before)) == []


def test_silent_when_it_is_root_of_its_own_user_namespace() -> None:
    process = build.process(
        confinement=build.confinement(
            namespaces=build.namespaces(user=build.own_user_namespace()), capabilities=build.capabilities(FULL)
        )
    )
    assert judge(DETECTOR, build.member(process, previous=task())) == []


def test_silent_when_a_privileged_exec_came_in_with_more() -> None:
    entry = build.process(4300, confinement=task(FULL).confinement)
    assert judge(DETECTOR, build.member(task(FULL), entry=entry)) == []


def test_silent_when_the_runtime_gave_more_than_it_bounded() -> None:
    given = task(GIVEN, bounding=0)
    assert judge(DETECTOR, build.member(given, entry=given, previous=given)) == []


def test_silent_when_it_is_a_process_of_the_host() -> None:
    process = build.host_process()
    assert run(DETECTOR, seen(process), FakeView().put_host(process)) == []


def test_blind_when_capabilities_or_their_namespace_are_not_known() -> None:
    gone = Unknown("gone")
    process = build.process(confinement=build.confinement(capabilities=gone))
    assert judge(DETECTOR, build.member(process)) == [Blind("capabilities: gone", process.key)]
    process = build.process(confinement=build.confinement(namespaces=build.namespaces(user=gone)))
    assert judge(DETECTOR, build.member(process)) == [Blind("capabilities: gone", process.key)]


def test_blind_when_the_entry_is_not_known() -> None:
    process = task(FULL)
    assert judge(DETECTOR, build.member(process, entry=Unknown("gone"))) == [Blind("entry process: gone", process.key)]
