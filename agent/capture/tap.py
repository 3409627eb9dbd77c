"""What the running agent applies, copied for captures: off until somebody asks, and never a reason to wait.

Concurrency: the core's thread calls ``Taps.note`` for each event that it has applied, under the lock under which a tap
is added; while there is no tap, that is a loop over nothing. Each tap has a bounded queue, which another thread takes
from. What the queue has no room for is counted, and stands in the capture as ``Lost`` where it happened.
"""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable

from agent.state import NodeState
from collectors.events import (
    AlertsNumbered,
    ContainerGone,
    ContainerSeen,
    Event,
    KernelValue,
    Lost,
    MountTable,
    ProcessEvent,
    SocketHeld,
)

MAX_QUEUED = 16_384

Wanted = Callable[[Event], bool]


class Tap:
    """One capture's share of what happens. ``ring`` is called when something came that was not awaited yet."""

    def __init__(
        self, *, ring: Callable[[], None], wanted: Wanted = lambda _: True, max_queued: int = MAX_QUEUED
    ) -> None:
        self.lost = 0
        self.sequence = 0  # the last that was told
        self._ring = ring
        self._wanted = wanted
        self._max_queued = max_queued
        self._unreported = 0
        self._is_awaited = True  # ``take`` found nothing since the last ring
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def note(self, event: Event, sequence: int) -> None:
        """The core has applied the event; ``sequence`` was the number of the next alert before. Never blocks."""
        if not self._wanted(event):
            return
        if self._queue.qsize() >= self._max_queued:
            self.lost += 1
            self._unreported += 1
            return
        if self._unreported:
            self._queue.put(Lost(event.at_ns, "capture", "queue_full", self._unreported))
            self._unreported = 0
        if sequence != self.sequence:
            self.sequence = sequence
            self._queue.put(AlertsNumbered(event.at_ns, sequence))
        self._queue.put(event)
        if self._is_awaited:
            self._is_awaited = False
            self._ring()

    def take(self) -> Event | None:
        """The next event; ``None`` while there is none, and then ``ring`` says when one came."""
        with contextlib.suppress(queue.Empty):
            return self._queue.get_nowait()
        self._is_awaited = True
        with contextlib.suppress(queue.Empty):
            return self._queue.get_nowait()  # what came before the flag was up rang no bell
        return None


class Taps:
    """All taps of the agent; any thread may add and remove."""

    def __init__(self) -> None:
        self._taps: tuple[Tap, ...] = ()

    def add(self, tap: Tap) -> None:
        """From now on it hears every event."""
        self._taps = (*self._taps, tap)

    def remove(self, tap: Tap) -> None:
        """It hears no more."""
        self._taps = tuple(each for each in self._taps if each is not tap)

    def note(self, event: Event, sequence: int) -> None:
        """The core has applied the event; ``sequence`` was the number of the next alert before."""
        for tap in self._taps:
            tap.note(event, sequence)

    def __len__(self) -> int:
        return len(self._taps)


def of_container(state: NodeState, container_id: str) -> Wanted:
    """Wants what is of that container, of the host, or of the node as a whole; not what is of other containers."""

    def wanted(event: Event) -> bool:
        owner = owner_of(state, event)
        return owner is None or owner == container_id

    return wanted


def owner_of(state: NodeState, event: Event) -> str | None:
    """The container that the event is of, as the state has it now; ``None`` is the host, or the node as a whole."""
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
