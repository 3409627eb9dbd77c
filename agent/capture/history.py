"""The latest events, kept so that a capture can begin before somebody asked for it. Bounded in time and in bytes.

Each event is kept with what it took the place of, so that the state at its time can be made of the present one
(``agent.capture.beginning``). That is also what the memory costs: an event's own facts are the node's state, which is
there anyway, until a later event takes their place. So an entry is charged with what it keeps alive beyond the state:
by estimates, which ``tests/agent/capture/test_history.py`` holds to what the interpreter really takes.

Owned by the core's thread; others read under its lock. No clock: time is the events'.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from agent.capture.beginning import Before, Resident, before
from agent.capture.tap import owner_of
from agent.state import NodeState
from collectors.events import ContainerSeen, Event, KernelValue, MountTable, NodeSeen, ProcessEvent
from collectors.facts import Container, HostBaseline, Process, Unknown
from collectors.moments import is_earlier

ENTRY_BYTES = 320  # the entry, its event and the numbers in it
PROCESS_BYTES = 1200  # readers share equal parts of confinements, so most take half of that
DESCRIPTOR_BYTES = 120
MOUNT_BYTES = 220
CONTAINER_BYTES = 24_000
METADATA_BYTES = 2_000  # of a container whose declaration is still the state's
HOST_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Entry:
    """An event that was applied. ``sequence`` was the number of the next alert before it."""

    event: Event
    before: Before
    owner: str | None
    sequence: int
    size_bytes: int


class History:
    """See the module. ``since_ns`` is from when on nothing is missing; ``None`` before the first event."""

    def __init__(self, state: NodeState, *, max_seconds: float, max_bytes: int) -> None:
        self.since_ns: int | None = None
        self.size_bytes = 0
        self._state = state
        self._max_ns = int(max_seconds * 1e9)
        self._max_bytes = max_bytes
        self._entries: deque[Entry] = deque()
        self._latest_ns = 0

    def __len__(self) -> int:
        return len(self._entries)

    def before(self, event: Event) -> Before:
        """The event is about to be applied."""
        return before(self._state, event) if self._max_bytes else None

    def note(self, event: Event, was: Before, sequence: int) -> None:
        """The event was applied; keep it, and drop the oldest for it."""
        if not self._max_bytes:
            return
        if self.since_ns is None:
            self.since_ns = event.at_ns
        if not is_earlier(event.at_ns, self._latest_ns):
            self._latest_ns = event.at_ns
        size = ENTRY_BYTES + _size_of(was, event) + self._own_size(event)
        self._entries.append(Entry(event, was, owner_of(self._state, event), sequence, size))
        self.size_bytes += size
        while self._entries and (
            self.size_bytes > self._max_bytes or self._latest_ns - self._entries[0].event.at_ns > self._max_ns
        ):
            gone = self._entries.popleft()
            self.size_bytes -= gone.size_bytes
            self.since_ns = max(self.since_ns, gone.event.at_ns)

    def entries(self, since_ns: int) -> list[Entry]:
        """The entries from the first one at or after that time, oldest first."""
        found = list(self._entries)
        start = next((index for index, each in enumerate(found) if each.event.at_ns >= since_ns), len(found))
        return found[start:]

    def _own_size(self, event: Event) -> int:
        """What an event holds that the state does not."""
        match event:
            case ProcessEvent(process=process) if self._state.process_by_pid(process.key.pid) is not process:
                return _size_of(process)
            case MountTable(mnt_namespace=namespace) if self._state.mount_table(namespace) is not event:
                return _size_of(event)
            case KernelValue(before=was, after=now, at_start=first):
                return sum(len(each) for each in (was, now, first) if isinstance(each, bytes))
            case NodeSeen():
                return HOST_BYTES
            case _:
                return 0


def _size_of(value: Before | Process, successor: Event | None = None) -> int:
    """About as much memory as the value takes when nobody else holds it; rather more than less."""
    match value:
        case Resident(process=process):
            return _size_of(process)
        case Process(descriptors=descriptors, executable=executable):
            size = PROCESS_BYTES + len(value.arguments) + len(value.name)
            if not isinstance(descriptors, Unknown):
                size += DESCRIPTOR_BYTES * len(descriptors)
            return size if isinstance(executable, Unknown) else size + len(executable.path)
        case MountTable(mounts=mounts):
            return MOUNT_BYTES * len(mounts)
        case Container(declared=declared):
            is_shared = isinstance(successor, ContainerSeen) and successor.container.declared is declared
            return METADATA_BYTES if is_shared else CONTAINER_BYTES
        case HostBaseline():
            return HOST_BYTES
        case _:
            return 0
