from __future__ import annotations

import pytest

from collectors.facts import Process, Unknown
from detectors.base import Blind, Finding
from detectors.container_tool_run import DETECTOR
from tests.support import build
from tests.support.view import FakeView, judge, run, seen


def running(path: bytes, arguments: bytes = b"x\0") -> Process:
    return build.process(executable=build.executable(path), arguments=arguments)


def test_fires_when_a_client_runs() -> None:
    task = running(b"/usr/local/bin/kubectl", b"kubectl\0get\0secrets\0")
    assert judge(DETECTOR, build.member(task)) == [
        Finding(
            "ran a client of a runtime or of the cluster: kubectl",
            build.container_id(),
            task.key,
            evidence=(("executable", b"/usr/local/bin/kubectl"), ("arguments", (b"kubectl", b"get", b"secrets"))),
            identity=(build.container_id(), "kubectl"),
        )
    ]


@pytest.mark.parametrize(
    "task",
    [running(b"/tmp/cdk"), running(b"/bin/bash", b"bash\0/tmp/deepce.sh\0"), running(b"/x/amicontained")],
)
def test_fires_when_a_tool_of_break_outs_runs(task: Process) -> None:
    (found,) = judge(DETECTOR, build.member(task))
    assert isinstance(found, Finding)
    assert found.message.startswith("ran a tool that is made for breaking out")


@pytest.mark.parametrize(
    "task",
    [running(b"/usr/bin/nginx"), running(b"/bin/cat", b"cat\0docker\0"), running(b"/docker/x")],
)
def test_silent_when_it_is_another_program(task: Process) -> None:
    assert judge(DETECTOR, build.member(task)) == []


def test_silent_when_the_host_runs_it() -> None:
    assert run(DETECTOR, seen(running(b"/usr/bin/docker")), FakeView()) == []


def test_blind_when_container_or_program_is_not_known() -> None:
    task = build.process(executable=Unknown("gone: exe"))
    assert judge(DETECTOR, build.member(task)) == [Blind("gone: exe", task.key)]
    nobody = FakeView(members={task.key: Unknown("no container")})
    assert run(DETECTOR, seen(task), nobody) == [Blind("no container", task.key)]
