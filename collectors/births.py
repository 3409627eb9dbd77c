"""Forks of container processes that were not told yet, and what is remembered of a task meanwhile and afterwards.

Most children execute a program or end a moment after they were made. To read when a child started and to tell its fork
at once costs a third of such a life, so both are done when something is told of the child, or before anything is told
of its parent: a child is what its parent was at the fork, and a change of the parent must not be taken for the child's.
A child of which nothing was told by its end was never told of.

Owned by the observer and called under its lock. Bounded by the tasks that the observer remembers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from collectors.errors import CollectorError
from collectors.events import Event, Fork
from collectors.facts import Process, ProcessKey
from collectors.held_files import Held
from collectors.proc.process import ProcessReader

NANOSECONDS = 1_000_000_000
DOUBT_TICKS = 2  # the kernel takes the start of a task before it tells of the fork


class Birth(NamedTuple):
    """By whom and when a task was made."""

    parent: ProcessKey
    at_ns: int


@dataclass(slots=True, eq=False)
class Tracked:
    """What was last told of a task. ``container_id`` is sticky and inherited; the sweep looks closer at who bears one.

    ``told`` is ``None`` after a fork nobody has looked at yet. ``mnt_namespace`` is kept for tasks of containers.
    ``birth`` is a fork that was not told yet; until it is, the start in ``key`` is the time of the fork. ``held`` are
    watched files that it was just found to hold, ``touched`` those of them that were told.
    """

    key: ProcessKey
    told: Process | None
    container_id: str | None
    mnt_namespace: int | None
    birth: Birth | None = None
    held: tuple[Held, ...] = ()
    touched: frozenset[Held] = frozenset()


class Births:
    """See the module. ``clock_ns`` is wall time, ``uptime_ns`` that since boot, in which the kernel counts starts."""

    def __init__(
        self,
        reader: ProcessReader,
        emit: Callable[[Event], None],
        clock_ns: Callable[[], int],
        uptime_ns: Callable[[], int],
        ticks_per_second: int,
    ) -> None:
        self._reader = reader
        self._emit = emit
        self._clock_ns = clock_ns
        self._uptime_ns = uptime_ns
        self._ticks_per_second = ticks_per_second
        self._children: dict[int, dict[int, Tracked]] = {}  # by the parent's pid and their own

    def note(self, parent: Tracked, pid: int, at_ns: int) -> Tracked:
        """A task was made; the parent's own fork is told first."""
        self.tell(parent)
        key = ProcessKey(pid, self._ticks(at_ns))
        child = Tracked(key, None, parent.container_id, parent.mnt_namespace, Birth(parent.key, at_ns))
        self._children.setdefault(parent.key.pid, {})[pid] = child
        return child

    def tell(self, task: Tracked) -> None:
        """Tell the fork of a task that is about to matter, if it was not told."""
        if task.birth is not None:
            try:
                start_ticks = self._reader.read_stat(task.key.pid).start_ticks
            except CollectorError:
                start_ticks = task.key.start_ticks
            key = ProcessKey(task.key.pid, start_ticks)
            self._tell(task, key if self._may_be(task, key) else task.key)

    def tell_children(self, pid: int) -> None:
        """Tell the forks of a process' children, before anything is told of itself."""
        for child in tuple(self._children.get(pid, {}).values()):
            self.tell(child)

    def is_same(self, task: Tracked, key: ProcessKey) -> bool:
        """The task that was looked at is the one that is remembered; its fork is told now if it was not."""
        if task.birth is not None and self._may_be(task, key):
            self._tell(task, key)
        return task.key == key

    def forget(self, task: Tracked) -> None:
        """It has ended, or its pid is another's: its fork is not told any more."""
        if task.birth is not None:
            siblings = self._children[task.birth.parent.pid]
            del siblings[task.key.pid]
            if not siblings:
                del self._children[task.birth.parent.pid]
            task.birth = None

    def _tell(self, task: Tracked, key: ProcessKey) -> None:
        birth = task.birth
        assert birth is not None
        self.forget(task)
        task.key = key
        self._emit(Fork(birth.at_ns, birth.parent, key))

    def _may_be(self, task: Tracked, key: ProcessKey) -> bool:
        """It started when the other was made; a pid comes again much later, when all others were used."""
        return abs(key.start_ticks - task.key.start_ticks) <= DOUBT_TICKS

    def _ticks(self, at_ns: int) -> int:
        """Wall time as ticks since boot; by clocks that are read now, since wall time is set now and then."""
        return (self._uptime_ns() - self._clock_ns() + at_ns) * self._ticks_per_second // NANOSECONDS
