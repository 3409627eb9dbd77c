import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from collectors.births import Tracked
from collectors.ebpf.acts import How, decode_act
from collectors.ebpf.connections import Connections
from collectors.ebpf.deeds import Deeds, Watching
from collectors.ebpf.libbpf import BpfObject
from collectors.ebpf.object_watch import ObjectWatch
from collectors.ebpf.records import TaskRecord
from collectors.events import CallMade, Event, FileTouched, ProcessEvent, RawSocketHeld, Seen, WatchKind
from collectors.facts import Process
from collectors.observer import Observer
from collectors.watched_objects import Pattern, Watch, of_agent
from tests.collectors.ebpf.test_acts import NUMBERS, act_bytes
from tests.collectors.ebpf.test_object_watch import Programs
from tests.support import build

CONTAINED = Tracked(build.key(70), build.process(), build.container_id(), None)
OTHER = Tracked(build.key(71), build.process(71), build.container_id(2), None)
OWN = f"pid{os.getpid()}"
HOSTS = Tracked(build.key(70), build.host_process(70), None, None)


class Stage:
    """An observer that knows these tasks, and what was told through it."""

    def __init__(self, objects: ObjectWatch | None = None, **known: Tracked) -> None:
        self.events: list[Event] = []
        self._known = {int(pid.removeprefix("pid")): tracked for pid, tracked in known.items()}
        nothing = ObjectWatch((), "/none", 0, clock_ns=lambda: 0)
        watching = Watching(objects or nothing, cast("Connections", None))
        self.deeds = Deeds(cast("Observer", self), watching, lambda file: file, self.events.append, self.acted)

    def tracked(self, pid: int) -> Tracked | None:
        """Takes the place of ``Observer.tracked``."""
        return self._known.get(pid)

    def acted(self, record: TaskRecord, kind: Callable[[int, Process], ProcessEvent]) -> Tracked | None:
        """Takes the place of the sensor, which has the task witnessed."""
        self.events.append(kind(build.NOW_NS, build.process()))
        return self._known.get(record.header.tgid)


def test_tells_an_act_of_a_marked_task() -> None:
    stage = Stage()
    stage.deeds.take(decode_act(act_bytes(NUMBERS["bpf"], mark=3)), build.NOW_NS)
    (told,) = stage.events
    assert isinstance(told, CallMade)


@pytest.mark.parametrize(
    ("known", "is_told"),
    [
        pytest.param({"pid70": CONTAINED}, True, id="told-before"),
        pytest.param({"pid7": CONTAINED}, True, id="its-parent-told-before"),
        pytest.param({"pid70": HOSTS, "pid7": CONTAINED}, False, id="known-as-the-hosts"),
        pytest.param({}, False, id="nobody-knows-it"),
    ],
)
def test_of_a_task_without_a_mark_decides_what_was_told_before(known: dict[str, Tracked], *, is_told: bool) -> None:
    stage = Stage(None, **known)
    stage.deeds.take(decode_act(act_bytes(NUMBERS["bpf"], parent=7)), build.NOW_NS)
    assert bool(stage.events) is is_told


def test_a_raw_socket_is_told_as_the_other_tiers_do() -> None:
    stage = Stage(pid70=CONTAINED)
    made = act_bytes(NUMBERS["socket"], 3, a0=17, a1=3, inode=88, mark=3, how=How.SOCKET)
    stage.deeds.take(decode_act(made), build.NOW_NS)
    seen, held = stage.events
    assert isinstance(seen, Seen)
    assert held == RawSocketHeld(build.NOW_NS, build.container_id(), CONTAINED.key, 88, "packet", 0)


@pytest.mark.parametrize(
    ("known", "kinds"),
    [
        pytest.param({}, {WatchKind.AGENT, WatchKind.PERSISTENCE}, id="agent-on-the-host"),
        pytest.param({OWN: CONTAINED}, {WatchKind.PERSISTENCE}, id="of-the-agents-own-container"),
        pytest.param({OWN: OTHER}, {WatchKind.AGENT, WatchKind.PERSISTENCE}, id="of-another-container"),
    ],
)
def test_what_the_agents_own_container_does_with_its_files_is_nobodys_business(
    tmp_path: Path, known: dict[str, Tracked], kinds: set[WatchKind]
) -> None:
    (tmp_path / "file").write_text("")
    path = str(tmp_path / "file")
    patterns = (*of_agent((path,), ()), Pattern(path, WatchKind.PERSISTENCE, Watch.WRITE))
    objects = ObjectWatch(patterns, "/", 0, clock_ns=lambda: 0)
    objects.look(cast("BpfObject", Programs()))
    stage = Stage(objects, pid70=CONTAINED, **known)
    stage.deeds.take(decode_act(act_bytes(NUMBERS["openat"], mark=3, how=How.WRITTEN, watched=1)), build.NOW_NS)
    (told,) = stage.events
    assert isinstance(told, FileTouched)
    assert {each.kind for each in told.watched} == kinds
