from __future__ import annotations

from typing import Any

from collectors.facts import FileId, Layer, Place, Process, Unknown
from detectors.base import Blind, Finding
from detectors.fileless_execution import DETECTOR
from tests.support import build
from tests.support.view import executed, judge, run, view_of

MEMFD = Place(FileId(build.MEMFD_DEVICE, 1025), 3)


def running(path: bytes, **overrides: Any) -> Process:
    return build.process(executable=build.executable(path, **{"links": 0, **overrides}))


def execute(task: Process, **facts: Any) -> list[Finding | Blind]:
    return run(DETECTOR, executed(task), view_of(build.member(task), **facts))


def expected(task: Process, path: bytes, kind: str) -> Finding:
    return Finding(
        f"runs a program that no directory names ({kind})",
        build.container_id(),
        task.key,
        evidence=(("executable", path), ("kind", kind)),
        inherited=True,
    )


def test_fires_when_a_memfd_is_executed() -> None:
    task = running(b"/memfd:x (deleted)", layer=Layer.MEMFD, place=MEMFD)
    assert execute(task) == [expected(task, b"/memfd:x (deleted)", "memfd")]


def test_fires_when_the_layer_is_not_known_and_the_device_is_the_memfds() -> None:
    task = running(b"/x (deleted)", layer=Unknown("denied"), place=MEMFD)
    assert execute(task) == [expected(task, b"/x (deleted)", "memfd")]


def test_fires_when_an_unlinked_file_is_executed() -> None:
    task = running(b"/tmp/x (deleted)", layer=Layer.TMPFS)
    assert execute(task) == [expected(task, b"/tmp/x (deleted)", "deleted file")]


def test_fires_when_an_unlinked_file_is_executed_and_memfds_cannot_be_told() -> None:
    task = running(b"/x (deleted)", layer=Unknown("denied"), place=Unknown("denied"))
    assert execute(task) == [expected(task, b"/x (deleted)", "deleted file")]


def test_fires_when_a_sweep_meets_a_memfd() -> None:
    task = running(b"/memfd:x (deleted)", layer=Layer.MEMFD, place=MEMFD)
    assert judge(DETECTOR, build.member(task)) == [expected(task, b"/memfd:x (deleted)", "memfd")]


def test_silent_when_a_sweep_meets_a_program_whose_package_was_upgraded() -> None:
    assert judge(DETECTOR, build.member(running(b"/usr/sbin/nginx (deleted)"))) == []


def test_silent_when_a_directory_names_the_file() -> None:
    assert execute(build.process()) == []


def test_silent_when_the_runtime_copies_itself_on_its_way_in() -> None:
    task = build.host_process(executable=build.executable(b"/memfd:runc_cloned:/proc/self/exe (deleted)", links=0))
    assert run(DETECTOR, executed(task), view_of(becoming={task.key})) == []


def test_blind_when_the_executable_is_not_known() -> None:
    task = build.process(executable=Unknown("gone: exe"))
    assert execute(task) == [Blind("gone: exe", task.key)]


def test_blind_when_a_sweep_cannot_tell_a_memfd() -> None:
    task = running(b"/x (deleted)", layer=Unknown("denied"))
    host = build.host_baseline(memfd_device=Unknown("unsupported: memfd"))
    assert judge(DETECTOR, build.member(task), host=host) == [Blind("unsupported: memfd", task.key)]


def test_blind_when_the_member_cannot_be_resolved() -> None:
    task = running(b"/x")
    view = view_of(members={task.key: Unknown("not_read")})
    assert run(DETECTOR, executed(task), view) == [Blind("not_read", task.key)]
