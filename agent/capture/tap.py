"""What the running agent applies, copied into a capture: off until somebody asks, and never a reason to wait.

Concurrency: the core's thread calls ``Taps.note`` for each event that it has applied; while there is no tap, that is a
loop over nothing. Each tap has a bounded queue and a thread that writes. What the queue has no room for is counted, and
stands in the capture as ``Lost`` where it happened. A disk that is full ends the tap, and says why in ``error``.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from agent.state import NodeState
from collectors.events import (
    ContainerGone,
    ContainerSeen,
    Event,
    HostSeen,
    KernelValue,
    Lost,
    MountTable,
    ProcessEvent,
    Seen,
    SocketHeld,
)

if TYPE_CHECKING:  # the agent imports this module, and msgpack only when somebody captures
    from agent.capture.file import CaptureWriter

MAX_QUEUED = 65_536
FLUSH_SECONDS = 1.0

Wanted = Callable[[Event], bool]


class Tap:
    """One capture of a running agent. ``error`` says why it ended early; ``close`` writes its end."""

    def __init__(self, writer: CaptureWriter, *, wanted: Wanted = lambda _: True, max_queued: int = MAX_QUEUED) -> None:
        self.error: str | None = None
        self.lost = 0
        self._writer = writer
        self._wanted = wanted
        self._max_queued = max_queued
        self._unreported = 0
        self._queue: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="hullwatch-tap", daemon=True)

    def start(self, beginning: Iterable[Event]) -> None:
        """Write, from what is known now (see ``beginning``) on."""
        for event in beginning:
            self._queue.put(event)
        self._thread.start()

    def note(self, event: Event) -> None:
        """The core has applied the event. Called by its thread alone; never blocks."""
        if self.error is not None or not self._wanted(event):
            return
        if self._queue.qsize() >= self._max_queued:
            self.lost += 1
            self._unreported += 1
            return
        if self._unreported:
            self._queue.put(Lost(event.at_ns, "capture", "queue_full", self._unreported))
            self._unreported = 0
        self._queue.put(event)

    def close(self, timeout_seconds: float) -> None:
        """No more events: write what is queued, and the end."""
        self._queue.put(None)
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        try:
            while True:
                try:
                    event = self._queue.get(timeout=FLUSH_SECONDS)
                except queue.Empty:
                    self._writer.flush()
                    continue
                if event is None:
                    self._writer.lost += self.lost
                    self._writer.finish()
                    return
                self._writer.add(event)
        except OSError as error:
            self.error = error.strerror or str(error)


class Taps:
    """All taps of the agent; any thread may add and remove."""

    def __init__(self) -> None:
        self._taps: tuple[Tap, ...] = ()

    def add(self, tap: Tap) -> None:
        """From now on it hears every event."""
        self._taps = (*self._taps, tap)

    def remove(self, tap: Tap) -> None:
        """It hears no more; close it then."""
        self._taps = tuple(each for each in self._taps if each is not tap)

    def note(self, event: Event) -> None:
        """The core has applied the event."""
        for tap in self._taps:
            tap.note(event)


def beginning(state: NodeState, now_ns: int) -> Iterator[Event]:
    """The state as events, for a capture that begins in its midst; call it from the core's thread.

    What is known now is in it, what was forgotten is not: how a process came to be where it is, and what was told of it
    already. So a replay tells again what is the case.
    """
    yield HostSeen(now_ns, state.host)
    for container in state.containers():
        yield ContainerSeen(now_ns, container)
    told: set[int] = set()
    for process in sorted(state.processes(), key=lambda each: each.key.start_ticks):
        namespace = process.confinement.namespaces.mnt
        if isinstance(namespace, int) and namespace not in told:
            told.add(namespace)
            mounts = state.mounts(namespace)
            if isinstance(mounts, tuple):
                owner = state.container_of(process)
                yield MountTable(now_ns, namespace, None if owner is None else owner.id, process.key, mounts)
        yield Seen(now_ns, process)


def of_container(state: NodeState, container_id: str) -> Wanted:
    """Wants what is of that container, of the host, or of the node as a whole; not what is of other containers."""

    def wanted(event: Event) -> bool:
        owner = _owner(state, event)
        return owner is None or owner == container_id

    return wanted


def _owner(state: NodeState, event: Event) -> str | None:
    match event:
        case ProcessEvent(process=process):
            container = state.container_of(process)
            return None if container is None else container.id
        case ContainerSeen(container=container):
            return container.id
        case ContainerGone() | MountTable() | KernelValue() | SocketHeld():
            return event.container_id
        case _:
            return None
