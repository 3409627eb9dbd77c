from __future__ import annotations

from typing import Any

from collectors.facts import FileId, Place, Process, Unknown
from detectors.base import Blind, Finding
from detectors.kernel_ran_helper import DETECTOR
from tests.support import build
from tests.support.view import FakeView, executed, run, seen

KTHREADD = build.host_process(2, parent_pid=0, name=b"kthreadd", is_kernel_thread=True, executable=Unknown("gone"))
PAYLOAD = b"/var/lib/docker/overlay2/0001/diff/cmd"


def helper(inode: int = 999_999, **overrides: Any) -> Process:
    """What the kernel started: a program with this inode on the host's disk."""
    place = Place(FileId(build.HOST_DEVICE, inode), build.HOST_ROOT_MOUNT)
    fields = {
        "parent_pid": 2,
        "executable": build.executable(PAYLOAD, place=place),
        "arguments": b"/bin/sh\0" + PAYLOAD + b"\0",
    }
    return build.host_process(**{**fields, **overrides})


def find(task: Process, parent: Process | None = KTHREADD) -> list[Finding | Blind]:
    view = FakeView()
    if parent is not None:
        view.put_parent(task, parent)
    return run(DETECTOR, executed(task), view)


EVIDENCE = (("executable", PAYLOAD), ("arguments", (b"/bin/sh", PAYLOAD)), ("owner_uid", 0))


def test_fires_when_a_kernel_thread_started_an_unknown_program() -> None:
    task = helper()
    assert find(task) == [
        Finding(
            "was started by the kernel itself, and is none of the helpers that the kernel was configured to run",
            None,
            task.key,
            evidence=EVIDENCE,
        )
    ]


def test_fires_when_only_the_parents_pid_is_known() -> None:
    (finding,) = find(helper(), parent=None)
    assert isinstance(finding, Finding)
    assert finding.evidence == EVIDENCE


def test_fires_when_a_worker_thread_waits_for_the_helper() -> None:
    worker = build.host_process(77, parent_pid=2, name=b"kworker/u8:1", is_kernel_thread=True)
    (finding,) = find(helper(parent_pid=77), worker)
    assert isinstance(finding, Finding)


def test_fires_when_a_sweep_meets_it_and_it_is_a_container_process() -> None:
    task = helper()
    view = FakeView().put(build.member(task)).put_parent(task, KTHREADD)
    (finding,) = run(DETECTOR, seen(task), view)
    assert isinstance(finding, Finding)
    assert finding.container_id == build.container_id()


def test_silent_when_the_helper_is_known() -> None:
    assert find(helper(500_001)) == []


def test_silent_when_the_parent_is_a_program() -> None:
    assert find(helper(parent_pid=800), build.host_process(800)) == []


def test_silent_when_the_process_is_a_kernel_thread_itself() -> None:
    assert find(helper(is_kernel_thread=True)) == []


def test_silent_when_the_process_has_no_parent() -> None:
    assert find(helper(parent_pid=0), None) == []


def test_blind_when_the_parent_was_never_seen() -> None:
    task = helper(parent_pid=4321)
    assert find(task, None) == [Blind("not_read: the parent was never seen", task.key)]


def test_blind_when_the_executable_is_not_known() -> None:
    task = helper(executable=Unknown("gone: exe"))
    assert find(task) == [Blind("gone: exe", task.key)]


def test_blind_when_the_file_of_the_executable_is_not_known() -> None:
    task = helper(executable=build.executable(PAYLOAD, place=Unknown("denied: exe")))
    assert find(task) == [Blind("denied: exe", task.key)]
