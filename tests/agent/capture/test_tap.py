from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest

from agent.assembly import new_state
from agent.capture.file import CaptureWriter, Ending
from agent.capture.replay import pace, replay
from agent.capture.tap import Tap, Taps, beginning, of_container
from agent.config_schema import Config
from agent.state import NodeState
from collectors.events import ContainerGone, ContainerSeen, Event, Exec, Fork, Lost, MountTable, Seen, SweepDone
from detectors.base import Tier
from tests.agent import alerts
from tests.support import build, captures

EVENTS: list[Event] = [Exec(build.NOW_NS + number, build.process(5000 + number)) for number in range(50)]


def state_with(*events: Event) -> NodeState:
    state = new_state(Config(), build.host_baseline(), Tier.NETLINK)
    for event in events:
        state.apply(event)
    state.take_pending()
    return state


class Gate(io.BytesIO):
    """Holds up whoever writes until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = threading.Event()
        self.is_awaited = threading.Event()
        self.closes_at = 0

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if self.closes_at and self.tell() >= self.closes_at:
            self.is_awaited.set()
            assert self.is_open.wait(10)
        return super().write(data)


def test_copies_every_event_while_it_is_there() -> None:
    stream = io.BytesIO()
    taps, tap = Taps(), Tap(CaptureWriter(stream, captures.header()))
    taps.note(EVENTS[0])
    tap.start(())
    taps.add(tap)
    for event in EVENTS[1:40]:
        taps.note(event)
    taps.remove(tap)
    for event in EVENTS[40:]:
        taps.note(event)
    tap.close(10)
    reader, events = captures.read(stream.getvalue())
    assert events == EVENTS[1:40]
    assert reader.ending == Ending(39, 0)
    assert tap.error is None


def test_what_it_has_no_room_for_is_lost_where_it_happened_and_nobody_waits() -> None:
    stream = Gate()
    tap = Tap(CaptureWriter(stream, captures.header()), max_queued=10)
    stream.closes_at = stream.tell()
    tap.start(())
    large = Exec(build.NOW_NS, build.process(arguments=bytes(300_000)))  # a block of its own: the disk is asked at once
    tap.note(large)
    assert stream.is_awaited.wait(10)
    for event in EVENTS[:30]:
        tap.note(event)  # returns, though nothing is written
    assert tap.lost == 20
    stream.is_open.set()
    while tap._queue.qsize():
        threading.Event().wait(0.01)
    tap.note(EVENTS[30])
    tap.close(10)
    reader, events = captures.read(stream.getvalue())
    assert events[:11] == [large, *EVENTS[:10]]
    assert events[11:] == [Lost(EVENTS[30].at_ns, "capture", "queue_full", 20), EVENTS[30]]
    assert reader.ending == Ending(13, 20)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_disk_that_is_full_ends_it_and_says_so() -> None:
    with open("/dev/full", "wb", buffering=0) as stream:
        tap = Tap(CaptureWriter(_Later(stream), captures.header()))  # type: ignore[arg-type]
        tap.start(EVENTS)
        tap.close(10)
        assert tap.error == "No space left on device"
        tap.note(EVENTS[0])
        assert tap._queue.qsize() == 0


class _Later:
    """Takes the header, and then fails as its file does."""

    def __init__(self, stream: io.FileIO) -> None:
        self._stream = stream
        self._writes = 0

    def write(self, data: bytes) -> int:
        self._writes += 1
        return len(data) if self._writes <= 2 else self._stream.write(data)

    def flush(self) -> None:
        pass


def test_one_that_begins_in_the_midst_knows_what_the_core_knows() -> None:
    first = build.first_process()
    gone = alerts.escaped(5000, parent_pid=first.key.pid)
    state = state_with(
        ContainerSeen(1, build.container()),
        Seen(2, build.host_process(900, name=b"containerd-shim")),
        Seen(3, first),
        MountTable(4, 4026532100, build.container_id(), first.key, build.mount_table(1)),
        Exec(5, build.process(5000, parent_pid=first.key.pid)),
        Exec(6, gone),
    )
    stream = io.BytesIO()
    tap = Tap(CaptureWriter(stream, captures.header()))
    tap.start(beginning(state, build.NOW_NS))
    tap.note(SweepDone(build.NOW_NS + 1, 1, 1, 1))
    tap.close(10)
    reader, events = captures.read(stream.getvalue())
    assert {event.process for event in events if isinstance(event, Seen)} == set(state.processes())
    assert [event.mounts for event in events if isinstance(event, MountTable)] == [build.mount_table(1)]
    stream.seek(0)
    told = {alert.detector.id for alert in replay(type(reader)(stream), Config(), pace(None))}
    assert {"HW-101", "HW-107"} <= told


def test_leaves_out_what_is_of_other_containers() -> None:
    other = build.first_process(2)
    own, host = build.first_process(), build.host_process(900)
    seen: list[Event] = [
        ContainerSeen(1, build.container()),
        ContainerSeen(1, build.container(2)),
        Seen(2, host),
        Seen(2, own),
        Seen(2, other),
        Fork(3, other.key, build.key(7)),
        ContainerGone(4, build.container_id(2)),
        SweepDone(5, 1, 1, 1),
    ]
    wanted = of_container(state_with(*seen[:5]), build.container_id())
    assert [event for event in seen if wanted(event)] == [seen[0], seen[2], seen[3], seen[5], seen[7]]
