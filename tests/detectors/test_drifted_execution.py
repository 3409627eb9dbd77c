from __future__ import annotations

import pytest

from collectors.facts import Layer, Process, Unknown
from detectors.base import Blind, Confidence, Finding, Severity
from detectors.drifted_execution import DETECTOR
from tests.support import build
from tests.support.view import executed, judge, run, view_of


def running(layer: Layer | Unknown, path: bytes = b"/tmp/x") -> Process:
    return build.process(executable=build.executable(path, layer=layer))


def execute(task: Process) -> list[Finding | Blind]:
    return run(DETECTOR, executed(task), view_of(build.member(task, previous=task)))


@pytest.mark.parametrize(
    ("layer", "reason", "severity", "confidence"),
    [
        (Layer.UPPER, "was written after the container was created", Severity.MEDIUM, Confidence.CERTAIN),
        (Layer.CHANGED, "changed after the container was started", Severity.MEDIUM, Confidence.LIKELY),
        (Layer.TMPFS, "lies on a tmpfs", Severity.MEDIUM, Confidence.CERTAIN),
        (Layer.VOLUME, "lies on a volume", Severity.LOW, Confidence.CERTAIN),
    ],
)
def test_fires_when_the_program_was_not_in_the_image(
    layer: Layer, reason: str, severity: Severity, confidence: Confidence
) -> None:
    task = running(layer)
    expected = Finding(
        f"runs a program that was not in its image: it {reason}",
        build.container_id(),
        task.key,
        evidence=(("executable", b"/tmp/x"), ("layer", layer.value)),
        severity=severity,
        confidence=confidence,
        identity=("debian:12", "/tmp/x"),
    )
    assert execute(task) == [expected]
    assert judge(DETECTOR, build.member(task)) == [expected]


def test_fires_when_a_sweep_meets_a_task_that_runs_another_program_than_before() -> None:
    task = running(Layer.UPPER)
    (finding,) = judge(DETECTOR, build.member(task, previous=build.process()))
    assert isinstance(finding, Finding)


def test_fires_once_for_each_container_when_the_image_has_no_name() -> None:
    task = running(Layer.UPPER, b"/\xff")
    (finding,) = judge(DETECTOR, build.member(task, container=build.container(image=None)))
    assert isinstance(finding, Finding)
    assert finding.identity == (build.container_id(), "/\\xff")


@pytest.mark.parametrize("layer", [Layer.IMAGE, Layer.MEMFD, Layer.FOREIGN])
def test_silent_when_the_program_is_the_images_or_another_detectors(layer: Layer) -> None:
    assert execute(running(layer)) == []


def test_silent_when_a_sweep_meets_the_same_program_again() -> None:
    task = running(Layer.UPPER)
    assert judge(DETECTOR, build.member(task, previous=task)) == []


def test_silent_when_the_process_is_the_hosts() -> None:
    assert run(DETECTOR, executed(build.host_process()), view_of()) == []


def test_blind_when_the_layer_is_not_known() -> None:
    task = running(Unknown("not_read"))
    assert execute(task) == [Blind("not_read", task.key)]


def test_blind_when_the_executable_is_not_known() -> None:
    task = build.process(executable=Unknown("gone: exe"))
    assert execute(task) == [Blind("gone: exe", task.key)]


def test_blind_when_the_member_cannot_be_resolved() -> None:
    task = running(Layer.UPPER)
    view = view_of(members={task.key: Unknown("denied: cgroup")})
    assert run(DETECTOR, executed(task), view) == [Blind("denied: cgroup", task.key)]
