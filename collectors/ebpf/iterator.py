"""The sweep of the eBPF tier: one pass of the kernel's task iterator instead of thousands of reads of /proc.

A pass gives one row of fixed size for each task, threads too, with everything that confines it. A row is compared with
the last one as bytes; only what is new or different is looked at whole. Descriptors have no row: those of container
processes are read from /proc within ``full_every`` passes, a slice at each, if the task ran since.

Whoever calls ``run`` owns it (``agent.sources`` gives it a thread). Bounded by the tasks that live.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from collectors.ebpf.records import ROW_BYTES, VECTOR, TaskRecord, decode, split_rows
from collectors.ebpf.sensor import EbpfSource
from collectors.errors import CollectorError
from collectors.events import Event, SweepDone
from collectors.observer import Observer, Tracked

RARELY = 10  # times full_every
_READ_BYTES = 1 << 20
_START = slice(16, 24)
_TID = slice(32, 36)
_TGID = slice(36, 40)
_SESSION = slice(44, 48)
_RAN = slice(216, 224)


class Row(NamedTuple):
    """What of a row is looked at in every pass; the rest stays bytes."""

    tid: int
    tgid: int
    session: int
    start: bytes
    vector: bytes
    ran: bytes
    data: bytes


@dataclass(slots=True, eq=False)
class _Known:
    """What the last pass saw of a task."""

    start: bytes
    vector: bytes
    ran_when_read: bytes


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

    def run(self) -> SweepDone:
        """One pass over the node; emits what changed, then ``SweepDone``, which is also returned."""
        started_ns = self._cpu_ns()
        self.number += 1
        self._source.memberships.begin_sweep()
        rows = self.read()
        leaders = {row.tid: row for row in rows if row.tid == row.tgid}
        for row in rows:
            self._visit(row, leaders.get(row.tgid))
        self._drop({row.tid: row for row in rows})
        self._source.tell_losses()
        done = SweepDone(self._clock_ns(), self.number, len(leaders), self._cpu_ns() - started_ns)
        self._emit(done)
        return done

    def read(self) -> list[Row]:
        """Every task of the node, as the kernel holds it now."""
        iterator = self._source.open_iterator()
        try:
            parts = []
            while part := os.read(iterator, _READ_BYTES):
                parts.append(part)
        finally:
            os.close(iterator)
        return [_row(data) for data in split_rows(b"".join(parts))]

    def _visit(self, row: Row, leader: Row | None) -> None:
        known = self._known.get(row.tid)
        if known is None or known.start != row.start:
            self._known[row.tid] = _Known(row.start, row.vector, row.ran)
            is_stray = leader is not None and row.vector != leader.vector
            if row.tid == row.tgid or is_stray:
                self._look(row)
            return
        if known.vector != row.vector:
            known.vector = row.vector
            self._look(row, descriptors=True)
            return
        self._look_again(row, known)

    def _look_again(self, row: Row, known: _Known) -> None:
        """A task that seems to be as it was: what no row shows is read now and then, and all of it after a loss."""
        tracked = self._observer.tracked(row.tid)
        if tracked is None:
            if row.tid == row.tgid:
                self._look(row)
            return
        is_rare_turn = (row.tid + self.number) % (self._full_every * RARELY) == 0
        if tracked.container_id is not None:
            is_turn = (row.tid + self.number) % self._full_every == 0 and known.ran_when_read != row.ran
            if is_rare_turn or is_turn or tracked.told is None:
                known.ran_when_read = row.ran
                self._look(row, descriptors=True)
        elif is_rare_turn or tracked.told is None:
            self._look(row)

    def _look(self, row: Row, *, descriptors: bool = False) -> None:
        """Have a task looked at whole, and tell the kernel what it is."""
        try:
            record = decode(row.data)
            tid = None if row.tid == row.tgid else row.tid
            tracked = self._observer.observe(row.tgid, tid=tid, descriptors=descriptors)
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

    def _drop(self, rows: dict[int, Row]) -> None:
        """Forget what is no longer there, and the roots of sessions of which nothing is left."""
        now_ns = self._clock_ns()
        for tid in [tid for tid in self._known if tid not in rows]:
            del self._known[tid]
        over = self._source.memberships.release({row.session for row in rows.values() if row.session})
        for key in over:
            self._observer.ended(key, now_ns)
        for tid in self._observer.tracked_pids():
            if tid in rows or (self._proc / str(tid)).exists():
                continue
            tracked = self._observer.tracked(tid)
            if tracked is not None and not self._source.memberships.must_linger(tracked.key):
                self._observer.ended(tracked.key, now_ns)


def _row(data: bytes) -> Row:
    """The few parts of a row that are compared; ``decode`` gives the rest."""
    assert len(data) == ROW_BYTES
    return Row(
        int.from_bytes(data[_TID], "little"),
        int.from_bytes(data[_TGID], "little"),
        int.from_bytes(data[_SESSION], "little"),
        data[_START],
        data[VECTOR],
        data[_RAN],
        data,
    )
