"""The sweep of the eBPF tier: one pass of the kernel's task iterator instead of thousands of reads of /proc.

A pass gives one row of fixed size for each task, threads too, with everything that confines it. A row is compared with
the last one as bytes; only what is new or different is looked at whole. Descriptors have no row: those of container
processes are read from /proc within ``full_every`` passes, a slice at each, if the task ran since.

Whoever calls ``run`` owns it (``agent.sources`` gives it a thread). Bounded by the tasks that live.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from collectors.births import Tracked
from collectors.ebpf.records import ROW_BYTES, TaskRecord, decode
from collectors.ebpf.sensor import EbpfSource
from collectors.errors import CollectorError, Malformed
from collectors.events import Event, SweepDone
from collectors.flyweight import flyweight
from collectors.observer import Observer

_BUFFER_BYTES = 1 << 20  # for a start; it grows with the node
VECTORS = 4096  # most tasks of a container have the same
RARELY = 100  # times full_every: of a task that did not run only its LSM label can have changed, by others

# What of a row is looked at in every pass: start, tid, tgid, session, vector, ran (``kernel/records.h``). Unpacked in
# one go, because a node has thousands; the rest of a row stays bytes until it is needed.
_ROW = struct.Struct("<16xQ8xII4xI8x144s16xQ344x")
assert _ROW.size == ROW_BYTES


class Row(NamedTuple):
    """One task in one pass, as far as it is compared."""

    start: int
    tid: int
    tgid: int
    session: int
    vector: bytes
    ran: int


@dataclass(slots=True, eq=False)
class _Known:
    """What the last pass saw of a task; ``None`` where it was not asked yet how long it had run."""

    start: int
    vector: bytes
    ran_when_read: int | None = None
    ran_when_noted: int | None = None


class EbpfSweep:
    """As ``collectors.sweep.Sweep``, by the task iterator. ``full_every`` is in passes."""

    def __init__(
        self,
        source: EbpfSource,
        observer: Observer,
        emit: Callable[[Event], None],
        *,
        proc: str,
        clock_ns: Callable[[], int],
        cpu_ns: Callable[[], int],
        full_every: int,
    ) -> None:
        self.number = 0
        self._source = source
        self._observer = observer
        self._emit = emit
        self._proc = Path(proc)
        self._clock_ns = clock_ns
        self._cpu_ns = cpu_ns
        self._full_every = full_every
        self._known: dict[int, _Known] = {}
        self._data = memoryview(b"")
        self._buffer_bytes = _BUFFER_BYTES
        self._shared = flyweight(VECTORS)
        self._renames = 0
        self._is_renamed = False

    def run(self) -> SweepDone:
        """One pass over the node; emits what changed, then ``SweepDone``, which is also returned."""
        started_ns = self._cpu_ns()
        self.number += 1
        self._source.decisions.begin_sweep()
        renames = self._source.names.renames
        self._is_renamed, self._renames = renames != self._renames, renames
        processes, present, sessions = 0, set[int](), set[int]()
        self._data = self._rows()
        for position, fields in enumerate(_ROW.iter_unpack(self._data)):
            row = Row._make(fields)
            present.add(row.tid)
            sessions.add(row.session)
            processes += row.tid == row.tgid
            self._visit(row, position)
        self._drop(present, sessions - {0})
        self._source.tell_losses()
        self._source.attach_lost()
        self._data = memoryview(b"")
        done = SweepDone(self._clock_ns(), self.number, processes, self._cpu_ns() - started_ns)
        self._emit(done)
        return done

    def _rows(self) -> memoryview:
        """Every task of the node, a row each; all are read before the first is looked at.

        They stand in pages of their own, which go back to the kernel when nobody refers to them any more: what
        malloc(3) gave in parts it would keep, megabytes on a full node.
        """
        size = 0
        buffer = mmap.mmap(-1, self._buffer_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for part in self._source.read_tasks():
            size += len(part)
            while size > self._buffer_bytes:
                self._buffer_bytes *= 2
                buffer.resize(self._buffer_bytes)
            buffer.write(part)
        if size % ROW_BYTES:
            raise Malformed("ebpf", f"{size % ROW_BYTES} bytes at the end are no whole row")
        return memoryview(buffer)[:size]

    def _visit(self, row: Row, position: int) -> None:
        known = self._known.get(row.tid)
        if known is None or known.start != row.start:
            self._known[row.tid] = _Known(row.start, self._shared(row.vector))  # its descriptors are yet to be read
            leader = self._known.get(row.tgid)  # the kernel names it first, as long as pids have not come round
            if row.tid == row.tgid or leader is None or leader.vector != row.vector:
                self._look(row, position)
        elif known.vector != row.vector:
            known.vector = self._shared(row.vector)
            self._look(row, position, descriptors=True)
        elif row.tid != row.tgid and row.session:
            self._note_run(row, known)
            self._look_again(row, known, position)
        else:
            self._look_again(row, known, position)

    def _note_run(self, row: Row, known: _Known) -> None:
        """A thread ran: what it opened or was passed is among its process' descriptors, though the leader slept."""
        leader = self._known.get(row.tgid)
        if leader is not None and known.ran_when_noted != row.ran:
            known.ran_when_noted, leader.ran_when_read = row.ran, None

    def _look_again(self, row: Row, known: _Known, position: int) -> None:
        """A task that seems to be as it was: what no row shows is read now and then, and all of it after a loss."""
        tracked = self._observer.tracked(row.tid)
        if tracked is None:
            if row.tid == row.tgid:
                self._look(row, position)
            return
        is_rare_turn = (row.tid + self.number) % (self._full_every * RARELY) == 0
        if tracked.container_id is not None:
            is_turn = (row.tid + self.number) % self._full_every == 0 and known.ran_when_read != row.ran
            if is_rare_turn or is_turn or self._is_renamed or tracked.told is None:
                known.ran_when_read = row.ran
                self._look(row, position, descriptors=True)
        elif is_rare_turn or tracked.told is None:
            self._look(row, position)

    def _look(self, row: Row, position: int, *, descriptors: bool = False) -> None:
        """Have a task looked at whole, and tell the kernel what it is."""
        try:
            record = decode(bytes(self._data[position * ROW_BYTES : (position + 1) * ROW_BYTES]))
            tid = None if row.tid == row.tgid else row.tid
            parent_pid = record.header.parent_tgid if isinstance(record, TaskRecord) else 0
            tracked = self._observer.observe_after(
                self._source.drain, row.tgid, parent_pid=parent_pid, tid=tid, descriptors=descriptors
            )
            if tracked is None or not isinstance(record, TaskRecord):
                return
            self._learn_and_judge(record, tracked)
        except CollectorError as error:
            self._source.counters.failed[error.kind] += 1

    def _learn_and_judge(self, record: TaskRecord, tracked: Tracked) -> None:
        if tracked.told is not None:
            self._source.learn(record, tracked.told)
        is_marked = record.header.session != 0
        if not is_marked:
            self._source.judge(record, tracked)

    def _drop(self, present: set[int], sessions: set[int]) -> None:
        """Forget what is no longer there, and the roots of sessions of which nothing is left."""
        now_ns = self._clock_ns()
        for tid in self._known.keys() - present:
            del self._known[tid]
        for session in self._source.decisions.memberships.unseen(sessions):
            self._source.end_session(session, now_ns, is_certain=True)
        for tid in self._observer.tracked_pids():
            if tid in present or (self._proc / str(tid)).exists():
                continue
            tracked = self._observer.tracked(tid)
            if tracked is not None:
                self._source.ended(tracked.key, now_ns)
