from __future__ import annotations

from collectors.events import Touch, Watched, WatchKind
from collectors.facts import FileId, Place
from detectors.base import Finding, Severity
from detectors.runtime_binary_touched import DETECTOR
from tests.support import build, calls, held
from tests.support.view import view_of

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


RUNC_FILE = Watched("/usr/bin/runc", WatchKind.RUNTIME)
PLUGIN = Watched("/opt/cni/bin/bridge", WatchKind.RUNTIME)


def test_fires_when_a_runtime_is_opened_for_writing() -> None:
    finding = calls.one(DETECTOR, calls.touched(Touch.WRITTEN, RUNC_FILE))
    assert (finding.message, finding.severity) == ("opened for writing the host's /usr/bin/runc", Severity.CRITICAL)


def test_fires_less_when_a_plugin_is_installed_where_it_was_given() -> None:
    given = build.container(sources=(build.source("/host/opt/cni/bin", "/opt/cni/bin"),))
    view = view_of(build.member(calls.ACTOR, container=given))
    assert calls.one(DETECTOR, calls.touched(Touch.CHANGED, PLUGIN), view).severity == Severity.MEDIUM
    assert calls.one(DETECTOR, calls.touched(Touch.CHANGED, PLUGIN)).severity == Severity.CRITICAL


def test_silent_when_it_is_read_or_another_object() -> None:
    assert calls.told(DETECTOR, calls.touched(Touch.READ, RUNC_FILE)) == []
    assert calls.told(DETECTOR, calls.touched(Touch.WRITTEN, Watched("/etc", WatchKind.PERSISTENCE))) == []


def test_blind_when_the_writer_is_not_known() -> None:
    assert calls.blind(DETECTOR, calls.touched(Touch.WRITTEN, RUNC_FILE)) == calls.NOT_KNOWN
