"""The loop that reads the process connector, tells the observer of each record, and counts what never came.

Concurrency: one thread runs ``run`` and owns socket, decoder and loss tracker; it calls the observer, ``emit`` and
``request_sweep`` itself, so a slow observer makes the kernel's receive buffer fill, and nothing else. Bounded: that
buffer (``receive_buffer_bytes``) and a batch of 256 datagrams. When the buffer is full the kernel drops records and
says ENOBUFS: what is queued is still read, then every CPU is made to send one record, which shows how many are
missing, and a sweep is asked for. A socket that fails in any other way is opened anew, the new one before the old is
closed, so that the kernel goes on numbering and the count stays exact. ``stop`` may be called from any thread.

A ``CollectorError`` of an observer (a process that ended while it was read) is counted and ends nothing; whatever else
it raises leaves ``run`` after the socket was closed.
"""

from __future__ import annotations

import select
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from collectors.closing import closed_on_failure
from collectors.connector.decode import (
    SOURCE,
    ExecRecord,
    ExitRecord,
    ForkRecord,
    IdRecord,
    PtraceRecord,
    Record,
    decode,
)
from collectors.connector.loss import LossTracker
from collectors.connector.netlink import ConnectorSocket
from collectors.errors import CollectorError, Malformed
from collectors.events import AgentTrouble, Event, Lost, TroubleKind
from collectors.wakeup import WakeUp

_BATCH = 256
_REMEASURE_NS = 10_000_000_000
_REOPEN_PAUSE_MILLISECONDS = 100
_READINGS = 3


class Observer(Protocol):
    """Whoever turns a pid into events, at once, while the process is still there. ``at_ns`` is wall time."""

    def forked(self, parent_pid: int, child_pid: int, at_ns: int) -> None:
        """A process was made; ``parent_pid`` is its real parent, with CLONE_PARENT (clone(2)) not the caller."""

    def executed(self, pid: int, at_ns: int) -> None:
        """A process executed a program. Follows ``exited`` of the same pid when a thread, not the leader, did it."""

    def credentials_changed(self, pid: int, tid: int, at_ns: int) -> None:
        """The task ``tid`` of process ``pid`` changed its uids or gids."""

    def traced(self, tracer_pid: int, target_pid: int, at_ns: int) -> None:
        """``tracer_pid`` attached to ``target_pid``."""

    def exited(self, pid: int, at_ns: int) -> None:
        """The leader of a process ended. Its other threads may live on: only /proc says whether the process is gone."""


@dataclass(slots=True)
class Counters:
    """What the source has read and lost since it was made; written by its thread, readable from any."""

    forks: int = 0
    execs: int = 0
    credential_changes: int = 0
    traces: int = 0
    exits: int = 0
    thread_forks: int = 0  # dropped: threads are the sweep's business
    thread_exits: int = 0  # dropped
    others: int = 0  # acknowledgements, sessions, comms, core dumps, detached tracers
    malformed: int = 0
    strangers: int = 0  # datagrams that somebody other than the kernel sent us
    overruns: int = 0  # times that the kernel said ENOBUFS
    reopened: int = 0
    lost: Counter[str] = field(default_factory=Counter)  # records, by reason
    failed: Counter[str] = field(default_factory=Counter)  # records whose observer raised, by kind of error


def wall_minus_monotonic_ns() -> int:
    """What to add to CLOCK_MONOTONIC to get wall time: of a few readings the one that took least time."""
    readings = []
    for _ in range(_READINGS):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        readings.append((after - before, wall - (before + after) // 2))
    return min(readings)[1]


class ConnectorSource:
    """The process connector as a source of events; ``open``, then ``run`` in a thread of its own, then ``stop``."""

    def __init__(
        self,
        observer: Observer,
        emit: Callable[[Event], None],
        *,
        receive_buffer_bytes: int,
        request_sweep: Callable[[], None],
        measure_offset_ns: Callable[[], int] = wall_minus_monotonic_ns,
        ack_timeout_seconds: float = 1.0,
    ) -> None:
        self.counters = Counters()
        self._observer = observer
        self._emit = emit
        self._receive_buffer_bytes = receive_buffer_bytes
        self._request_sweep = request_sweep
        self._measure_offset_ns = measure_offset_ns
        self._ack_timeout_seconds = ack_timeout_seconds
        self._wakeup = WakeUp()
        self._is_stopping = False
        self._socket: ConnectorSocket | None = None
        self._poller = self._new_poller()
        self._tracker = LossTracker()
        self._offset_ns = measure_offset_ns()
        self._measured_at_ns: int | None = None  # of the record that it was measured for
        self._last_at_ns = time.monotonic_ns() + self._offset_ns
        self._is_settling = False
        self._strangers_before = 0

    @property
    def receive_buffer_bytes(self) -> int:
        """What the kernel gave (``ConnectorSocket.receive_buffer_bytes``); 0 while there is no socket."""
        return self._socket.receive_buffer_bytes if self._socket is not None else 0

    def open(self) -> None:
        """Start to listen: what happens from here on is queued for ``run``. Raises as ``ConnectorSocket.open``."""
        self._socket = self._open_socket()
        self._poller.register(self._socket, select.POLLIN)

    def run(self) -> None:
        """Read until ``stop``; opens the socket if that was not done. A socket that cannot be reopened raises.

        May be run again then: the bell lives on until ``stop``.
        """
        try:
            if self._socket is None:
                self._poller = self._new_poller()
                self.open()
            while not self._is_stopping:
                self._turn()
        finally:
            self._close_socket()
            if self._is_stopping:
                self._wakeup.close()

    def stop(self) -> None:
        """Make ``run`` return, from any thread; what is still queued is not read."""
        self._is_stopping = True
        self._wakeup.ring()

    def close(self) -> None:
        """Stop to listen; ``run`` does it itself, so this is for a source that was opened and never run."""
        self._close_socket()
        self._wakeup.close()

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _new_poller(self) -> select.poll:
        """One that knows of no descriptor that was closed: such a number is reported without end, or is another's."""
        poller = select.poll()
        poller.register(self._wakeup, select.POLLIN)
        return poller

    def _open_socket(self) -> ConnectorSocket:
        """A listening socket whose queue holds one record of every CPU, to count losses from."""
        opened = ConnectorSocket.open(
            receive_buffer_bytes=self._receive_buffer_bytes, ack_timeout_seconds=self._ack_timeout_seconds
        )
        with closed_on_failure(opened):
            opened.probe()
        return opened

    def _turn(self) -> None:
        """Wait for something to read, read one batch, and tell of it."""
        current = self._socket
        assert current is not None
        self._poller.poll()
        if self._is_stopping:
            return
        try:
            batch = current.receive(_BATCH)
            if batch.is_overrun:
                self.counters.overruns += 1
                self._tracker.note_overrun()
                self._is_settling = True
            self._tell(batch.datagrams)
            if self._is_settling and batch.is_drained:
                self._is_settling = False
                current.probe()
                self._request_sweep()
        except CollectorError as error:
            self.counters.failed[error.kind] += 1
            self._reopen(current)
        self.counters.strangers = self._strangers_before + current.strangers

    def _reopen(self, broken: ConnectorSocket) -> None:
        """Put a new socket in the place of one that fails; at most ten times a second."""
        self._new_poller().poll(_REOPEN_PAUSE_MILLISECONDS)
        if self._is_stopping:
            return
        self._tracker.note_overrun()
        self._poller.unregister(broken)
        self.open()
        self.counters.reopened += 1
        self._emit(AgentTrouble(self._last_at_ns, TroubleKind.SENSOR_LOST, SOURCE, "its socket had to be opened anew"))
        self._strangers_before += broken.strangers
        broken.strangers = 0
        broken.close()
        self._request_sweep()

    def _tell(self, datagrams: list[bytes]) -> None:
        """Decode a batch, dispatch each record, and report what is missing between them."""
        lost: Counter[str] = Counter()
        for datagram in datagrams:
            try:
                records = decode(datagram)
            except Malformed:
                self.counters.malformed += 1
                continue
            for record in records:
                gap = self._tracker.observe(record.cpu, record.seq)
                if gap is not None:
                    lost[gap.reason] += gap.missing
                try:
                    self._dispatch(record)
                except CollectorError as error:
                    self.counters.failed[error.kind] += 1
        if lost:
            self.counters.lost.update(lost)
            for reason, count in lost.items():
                self._emit(Lost(self._last_at_ns, SOURCE, reason, count))
            self._request_sweep()

    def _dispatch(self, record: Record) -> None:
        """Tell the observer of one record; threads that come and go are counted and dropped."""
        if self._measured_at_ns is None or record.timestamp_ns - self._measured_at_ns > _REMEASURE_NS:
            self._measured_at_ns = record.timestamp_ns
            self._offset_ns = self._measure_offset_ns()
        at_ns = self._last_at_ns = record.timestamp_ns + self._offset_ns
        counters = self.counters
        match record:
            case ForkRecord():
                # Not parent_tgid: the kernel names a thread's real parent, which is outside its process.
                if record.child_pid != record.child_tgid:
                    counters.thread_forks += 1
                else:
                    counters.forks += 1
                    self._observer.forked(record.parent_tgid, record.child_tgid, at_ns)
            case ExitRecord():
                if record.pid != record.tgid:
                    counters.thread_exits += 1
                else:
                    counters.exits += 1
                    self._observer.exited(record.tgid, at_ns)
            case ExecRecord():
                counters.execs += 1
                self._observer.executed(record.tgid, at_ns)
            case IdRecord():
                counters.credential_changes += 1
                self._observer.credentials_changed(record.tgid, record.pid, at_ns)
            case PtraceRecord() if record.tracer_tgid:
                counters.traces += 1
                self._observer.traced(record.tracer_tgid, record.tgid, at_ns)
            case _:
                counters.others += 1
