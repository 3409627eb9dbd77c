"""Events of system calls as the eBPF tier tells them, of a process of container 1."""

from __future__ import annotations

from typing import Any

from collectors.events import CallMade, FileTouched, ProcessEvent, ProcessReached, Touch, Watched
from collectors.facts import FileId, Process, Unknown
from detectors.base import Blind, Detector, Finding
from tests.support import build
from tests.support.view import FakeView, run, view_of

ACTOR = build.process(4242)


def call(name: str, *, error: int = 0, process: Process = ACTOR, **fields: Any) -> CallMade:
    """The container's process made a call."""
    return CallMade(build.NOW_NS, process, name, error, fields.pop("arguments", (0, 0, 0, 0)), **fields)


def reached(name: str, *, target: int = 800, error: int = 0, signal: int = 0, is_agent: bool = False) -> ProcessReached:
    """The container's process reached for a process."""
    return ProcessReached(build.NOW_NS, ACTOR, name, error, target, signal, is_agent)


def told(detector: Detector, event: ProcessEvent, view: FakeView | None = None) -> list[Finding | Blind]:
    """What the detector says of a call by a process of container 1."""
    return run(detector, event, view or view_of(build.member(event.process)))


def one(detector: Detector, event: ProcessEvent, view: FakeView | None = None) -> Finding:
    """The one finding on it."""
    (finding,) = told(detector, event, view)
    assert isinstance(finding, Finding)
    return finding


def blind(detector: Detector, event: ProcessEvent) -> list[Finding | Blind]:
    """What it says where the container is not known."""
    return run(detector, event, FakeView(members={event.process.key: Unknown("no container")}))


NOT_KNOWN = [Blind("no container", ACTOR.key)]


def touched(touch: Touch, *watched: Watched, **fields: Any) -> FileTouched:
    """The container's process got at a file."""
    file = fields.pop("file", FileId(build.HOST_DEVICE, 77))
    path = fields.pop("path", b"/host/file")
    return FileTouched(
        build.NOW_NS, ACTOR, touch, path, file, fields.get("mode", 0), fields.get("file_system", 0), watched
    )
