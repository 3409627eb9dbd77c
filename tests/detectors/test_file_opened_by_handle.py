from __future__ import annotations

import pytest

from detectors.base import Finding, Severity
from detectors.file_opened_by_handle import DETECTOR
from tests.support import build, calls
from tests.support.view import FakeView, run

EXT4, PIDFS, CGROUP2 = 0xEF53, 0x50494446, 0x63677270


def test_fires_when_a_file_of_the_hosts_root_is_opened() -> None:
    event = calls.call("open_by_handle_at", device=build.HOST_DEVICE, file_system=EXT4, path=b"/etc/shadow")
    assert calls.told(DETECTOR, event) == [
        Finding(
            "opened a file by its handle, on the file system of the host's root",
            build.container_id(),
            calls.ACTOR.key,
            evidence=(("error", 0), ("file", b"/etc/shadow")),
            severity=Severity.CRITICAL,
            inherited=True,
        )
    ]


@pytest.mark.parametrize(("error", "severity"), [(0, Severity.HIGH), (116, Severity.HIGH), (1, Severity.MEDIUM)])
def test_fires_when_it_is_another_file_or_an_attempt(error: int, severity: Severity) -> None:
    assert calls.one(DETECTOR, calls.call("open_by_handle_at", error=error, device=0x999)).severity == severity


@pytest.mark.parametrize("file_system", [PIDFS, CGROUP2])
def test_silent_when_there_are_no_files_on_it(file_system: int) -> None:
    assert calls.told(DETECTOR, calls.call("open_by_handle_at", file_system=file_system)) == []


def test_silent_when_it_is_another_call_or_the_hosts() -> None:
    assert calls.told(DETECTOR, calls.call("bpf")) == []
    assert run(DETECTOR, calls.call("open_by_handle_at"), FakeView().put_host(calls.ACTOR)) == []


def test_blind_when_the_caller_is_not_known() -> None:
    assert calls.blind(DETECTOR, calls.call("open_by_handle_at")) == calls.NOT_KNOWN
