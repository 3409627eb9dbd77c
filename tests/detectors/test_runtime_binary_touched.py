from __future__ import annotations

from collectors.facts import FileId, Place
from detectors.base import Finding, Severity
from detectors.runtime_binary_touched import DETECTOR
from tests.support import build, held

RUNC = FileId(build.HOST_DEVICE, 600_001)


def test_fires_when_the_runtime_is_held_through_proc() -> None:
    task = held.holding(held.file(Place(RUNC, build.HOST_ROOT_MOUNT), b"/"))
    assert held.found(DETECTOR, member=build.member(task)) == [
        Finding(
            "holds an executable of the host's container runtime open",
            build.container_id(),
            task.key,
            evidence=(("files", (b"/",)), ("given", False)),
            severity=Severity.CRITICAL,
            inherited=True,
        )
    ]


def test_fires_as_medium_when_it_came_with_a_mount_that_was_given() -> None:
    assert held.one(DETECTOR, held.file(Place(RUNC, build.root_mount()))).severity is Severity.MEDIUM


def test_silent_when_it_is_another_file() -> None:
    assert held.found(DETECTOR, held.file(build.host_directory()), held.block(8, 0)) == []


def test_blind_when_something_is_not_known() -> None:
    assert held.blind_cases(DETECTOR) == held.blind_answers()
