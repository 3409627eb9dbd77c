"""Acts of container tasks on their way from the ring to events: whose they are, and which event each of them is.

Concurrency: the sensor's thread owns it; the list of watched objects is asked, and kept by the sweep's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from collectors.births import Tracked
from collectors.ebpf.acts import ActRecord, Context, How, act_calls_by_number, as_raw_socket, event_of
from collectors.ebpf.connections import Connections
from collectors.ebpf.libbpf import BpfMap
from collectors.ebpf.object_watch import ObjectWatch
from collectors.ebpf.records import TaskRecord
from collectors.events import Event, ProcessEvent, RawSocketHeld, Seen, Watched, WatchKind
from collectors.facts import FileId, Process
from collectors.observer import Observer


class Watching(NamedTuple):
    """What is watched besides the tasks themselves."""

    objects: ObjectWatch
    connections: Connections


Acted = Callable[[TaskRecord, Callable[[int, Process], ProcessEvent]], Tracked | None]


class Deeds:
    """``acted`` has a task witnessed in an event of a kind, and gives what is remembered of it then."""

    def __init__(
        self,
        observer: Observer,
        watching: Watching,
        file: Callable[[FileId], FileId],
        emit: Callable[[Event], None],
        acted: Acted,
    ) -> None:
        self.calls = act_calls_by_number()
        self.objects, self._connections = watching
        self._observer = observer
        self._context = Context(self.calls, os.getpid(), watching.objects.objects, file)
        self._of_ourselves = self._context._replace(watched=self._not_our_own)
        self._emit = emit
        self._acted = acted

    def fill(self, endpoints: BpfMap) -> None:
        """Have the kernel know the addresses and ports that matter."""
        self._connections.fill(endpoints)

    def take(self, record: ActRecord, at_ns: int) -> None:
        """Tell an act of a container's task; of sockets in the events of those that a sweep finds held."""
        header = record.task.header
        if not header.session and not self.is_contained(record.task):
            return
        if record.act.how not in {How.CONNECTED, How.SOCKET}:
            of_whom = self._of_ourselves if record.act.watched and self._is_ours(record.task) else self._context
            self._acted(record.task, event_of(record, of_whom))
            return
        tracked = self._acted(record.task, Seen)
        if tracked is None or tracked.container_id is None:
            return
        if record.act.how == How.CONNECTED:
            self._connections.take(record, tracked, at_ns)
        else:
            kind, protocol = as_raw_socket(record.act)
            self._emit(RawSocketHeld(at_ns, tracked.container_id, tracked.key, record.act.inode, kind, protocol))

    def _is_ours(self, record: TaskRecord) -> bool:
        """It belongs to the container that the agent itself runs in: the agent, or a command of it in the pod."""
        ours, its = (self._observer.tracked(pid) for pid in (self._context.own_pid, record.header.tgid))
        return ours is not None and its is not None and None is not ours.container_id == its.container_id

    def _not_our_own(self, index: int) -> tuple[Watched, ...]:
        """What the agent does with its own files is nobody's business."""
        return tuple(each for each in self.objects.objects(index) if each.kind is not WatchKind.AGENT)

    def is_contained(self, record: TaskRecord) -> bool:
        """By what was told of it, or of its parent, before: the kernel did not know yet. Not so a runtime's own."""
        for pid in (record.header.tgid, record.header.parent_tgid):
            tracked = self._observer.tracked(pid)
            if tracked is not None:
                return tracked.container_id is not None
        return False
