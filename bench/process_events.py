"""What a process event costs by way of the process connector, without what an observer then reads of /proc.

CPU time of the reading thread, never wall time, for one burst of real processes at a time that is queued in the
kernel and then read: by a loop that only receives (the baseline), by one that also decodes, and by the whole source
with an observer that does nothing. Ratios are to the baseline of the same run. Needs root.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

from collectors.connector.decode import decode
from collectors.connector.netlink import ConnectorSocket
from collectors.connector.source import ConnectorSource
from collectors.events import Event

PROCESSES = 1000
ROUNDS = 5
RECEIVE_BUFFER_BYTES = 32 << 20


class Cost(NamedTuple):
    """The median over the rounds, and how many records a round had."""

    name: str
    nanoseconds_a_record: float
    records: int


class NullObserver:
    """An observer that reads nothing, counts what it is told, and says when that is enough."""

    def __init__(self, wanted: int) -> None:
        self._left = wanted
        self.on_enough: Callable[[], None] = lambda: None

    def forked(self, parent_pid: int, child_pid: int, at_ns: int) -> None:
        """Count it."""
        self._count(parent_pid, child_pid, at_ns)

    def executed(self, pid: int, at_ns: int) -> None:
        """Count it."""
        self._count(pid, at_ns)

    def credentials_changed(self, pid: int, tid: int, at_ns: int) -> None:
        """Count it."""
        self._count(pid, tid, at_ns)

    def traced(self, tracer_pid: int, target_pid: int, at_ns: int) -> None:
        """Count it."""
        self._count(tracer_pid, target_pid, at_ns)

    def exited(self, pid: int, at_ns: int) -> None:
        """Count it."""
        self._count(pid, at_ns)

    def _count(self, *_what: int) -> None:
        self._left -= 1
        if self._left == 0:
            self.on_enough()


def burst() -> None:
    """Processes that run a program and end: three records each."""
    for _ in range(PROCESSES):
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)


def measure(name: str, read: Callable[[], tuple[int, int]]) -> Cost:
    """The cost of a reader that returns (CPU in ns, records) of one burst."""
    rounds = [read() for _ in range(ROUNDS)]
    return Cost(name, statistics.median(cpu / records for cpu, records in rounds), sum(n for _, n in rounds) // ROUNDS)


def receive_only() -> tuple[int, int]:
    """The baseline: what the kernel and the interpreter take to hand over a datagram."""
    return _read_socket(lambda _datagram: None)


def receive_and_decode() -> tuple[int, int]:
    """Received and decoded."""
    return _read_socket(decode)


def _read_socket(handle: Callable[[bytes], object]) -> tuple[int, int]:
    connection = ConnectorSocket.open(receive_buffer_bytes=RECEIVE_BUFFER_BYTES)
    try:
        burst()
        records = 0
        started = time.thread_time_ns()
        is_drained = False
        while not is_drained:
            datagrams, _, is_drained = connection.receive(256)
            records += len(datagrams)
            for datagram in datagrams:
                handle(datagram)
        return time.thread_time_ns() - started, records
    finally:
        connection.close()


def whole_source() -> tuple[int, int]:
    """The whole source: received, decoded, losses counted, threads dropped, the rest told."""
    observer = NullObserver(3 * PROCESSES)
    events: list[Event] = []
    source = ConnectorSource(
        observer, events.append, receive_buffer_bytes=RECEIVE_BUFFER_BYTES, request_sweep=lambda: None
    )
    source.open()
    burst()
    observer.on_enough = source.stop
    started = time.thread_time_ns()
    source.run()
    cpu = time.thread_time_ns() - started
    counted = source.counters
    return cpu, (
        counted.forks
        + counted.execs
        + counted.exits
        + counted.credential_changes
        + counted.traces
        + counted.thread_forks
        + counted.thread_exits
        + counted.others
    )


def main() -> None:
    """Print the table."""
    costs = [
        measure("receive only (baseline)", receive_only),
        measure("receive and decode", receive_and_decode),
        measure("whole source, null observer", whole_source),
    ]
    print(f"process connector: CPU a record, median of {ROUNDS} bursts of {PROCESSES} processes")
    for cost in costs:
        ratio = cost.nanoseconds_a_record / costs[0].nanoseconds_a_record
        print(f"  {cost.name:30}{cost.nanoseconds_a_record / 1000:7.2f} us  x {ratio:4.2f}  {cost.records} records")


if __name__ == "__main__":
    main()
