"""Tells of a changed mount table as soon as the kernel does: poll(2) on an open ``/proc/PID/mountinfo``.

Source: proc_pid_mounts(5) (a change shows as POLLPRI and POLLERR), ``fs/proc_namespace.c``; pidfd_open(2), kernel 5.3.
An open mountinfo belongs to the mount namespace and the root directory that its process had when it was opened.
Tried on kernel 6.18: it goes on waking and reading the same table after that process moved to another namespace or
ended, because it *holds* that namespace (``test_an_open_table_outlives_its_process_and_holds_its_mounts``). For the
same reason it must be closed when the process ends: an ended container's mounts (its root file system, its volumes)
stay mounted as long as we hold its namespace. So each one has a pidfd beside it; when that says that the process
ended, another process of the same namespace takes its place, and when none is left the watch ends, until one is named
anew.

Concurrency: one thread runs ``run`` and owns all descriptors; it parses and calls ``emit`` itself. ``watch``,
``unwatch`` and ``stop`` come from any thread: under a lock they only write down what is wanted, and ring. Bounded:
``limit`` namespaces (what is more is refused and counted), 8 processes named for each, ``table_limit_bytes`` a table
(what is larger is lost, and ``Lost`` says so). The first change is told at once, the following ones of that namespace
together, at most 50 ms late, or 20 times the CPU that reading the table took, if that is longer: whoever mounts without
end gets 5% of a CPU. A mount that is gone again within that time is not seen.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from collectors.errors import CollectorError, Gone, Malformed, TooLarge, from_os_error
from collectors.events import Event, Lost, MountTable
from collectors.facts import FileId, Mount, ProcessKey
from collectors.wakeup import WakeUp

SOURCE = "mountinfo"

_CANDIDATES = 8
_PAUSE_NS = 50_000_000
_PAUSE_PER_COST = 20
_CHUNK_BYTES = 65536
_STAT_BYTES = 4096
_STAT_START_TICKS = 19  # counted from the state, which follows the parenthesis (proc_pid_stat(5): field 22)


@dataclass(slots=True)
class Counters:
    """What the watch holds and could not hold; written under its lock or by its thread, readable from any."""

    watched: int = 0
    refused: int = 0  # namespaces beyond the limit
    told: int = 0
    unchanged: int = 0  # wake-ups after which the table was the same
    rearmed: int = 0  # another process of the namespace took over
    ended: int = 0  # namespaces of which no named process was left, or could be read
    failed: int = 0  # tables that could not be read or understood


@dataclass(slots=True)
class _Armed:
    """The descriptors of one namespace and what the thread remembers of it."""

    key: ProcessKey
    mountinfo: int
    pidfd: int
    is_polled: bool = True
    due_ns: int | None = None  # monotonic; set while a change waits to be told
    quiet_until_ns: int = 0


@dataclass(slots=True)
class _Watch:
    """One namespace that is wanted. ``candidates`` are processes that were seen in it, the newest first."""

    mnt_namespace: int
    container_id: str | None
    candidates: list[ProcessKey] = field(default_factory=list)
    root: FileId | None = None  # of the process that it was first opened through: a chroot shows a cut table
    told: int | None = None  # hash of the table that was told last
    armed: _Armed | None = None
    is_wanted: bool = True


class MountWatch:
    """Watches mount namespaces, the host's own (``container_id`` ``None``) too; tells each table once when armed.

    ``proc`` must show the pid namespace that we are in.
    """

    def __init__(
        self,
        proc: Path,
        emit: Callable[[Event], None],
        parse_mounts: Callable[[bytes], tuple[Mount, ...]],
        clock_ns: Callable[[], int],
        *,
        limit: int = 1024,
        table_limit_bytes: int = 4 << 20,
    ) -> None:
        self.counters = Counters()
        self._proc = proc
        self._emit = emit
        self._parse_mounts = parse_mounts
        self._clock_ns = clock_ns
        self._limit = limit
        self._table_limit_bytes = table_limit_bytes
        self._lock = threading.Lock()
        self._watches: dict[int, _Watch] = {}  # by namespace; under the lock
        self._changed: deque[_Watch] = deque()  # to be armed or let go; under the lock, a watch is in it at most twice
        self._wakeup = WakeUp()
        self._is_stopping = False
        self._poller = select.poll()  # from here on the thread's own
        self._by_mountinfo: dict[int, _Watch] = {}
        self._by_pidfd: dict[int, _Watch] = {}

    def watch(self, mnt_namespace: int, key: ProcessKey, container_id: str | None) -> bool:
        """Watch a namespace through this process; for one that is watched, remember the process as a stand-in.

        Cheap when the process is known already. False when there is no room.
        """
        with self._lock:
            watch = self._watches.get(mnt_namespace)
            if watch is None:
                if len(self._watches) >= self._limit:
                    self.counters.refused += 1
                    return False
                watch = self._watches[mnt_namespace] = _Watch(mnt_namespace, container_id)
                self.counters.watched = len(self._watches)
            if key in watch.candidates:
                return True
            watch.candidates[:] = [key, *watch.candidates[: _CANDIDATES - 1]]
            if watch.armed is None:
                self._changed.append(watch)
                self._wakeup.ring()
        return True

    def unwatch(self, mnt_namespace: int) -> None:
        """Let go of a namespace; nothing happens when it is not watched."""
        with self._lock:
            watch = self._watches.pop(mnt_namespace, None)
            if watch is not None:
                watch.is_wanted = False
                self.counters.watched = len(self._watches)
                self._changed.append(watch)
                self._wakeup.ring()

    def stop(self) -> None:
        """Make ``run`` return; what waits to be told is not."""
        self._is_stopping = True
        self._wakeup.ring()

    def run(self) -> None:
        """Watch until ``stop``, and close every descriptor. May be run again after it raised: what is wanted stays."""
        self._poller = select.poll()
        self._poller.register(self._wakeup, select.POLLIN)
        with self._lock:
            self._changed = deque(self._watches.values())
            self._wakeup.ring()
        try:
            while not self._is_stopping:
                self._turn()
        finally:
            for watch in list(self._by_mountinfo.values()):
                self._disarm(watch)
            if self._is_stopping:
                self._wakeup.close()

    def _turn(self) -> None:
        """Wait for the bell, a change, the end of a process, or until a change is due; and do what follows."""
        ended: list[_Watch] = []  # handled last: their descriptors' numbers go to others
        for fd, _events in self._poller.poll(self._milliseconds_to_wait()):
            if fd == self._wakeup.fileno():
                self._wakeup.clear()
            elif fd in self._by_pidfd:
                ended.append(self._by_pidfd[fd])
            else:
                self._note_change(self._by_mountinfo[fd])
        for watch in ended:
            self._rearm(watch)
        for watch in self._take_changed():
            if not watch.is_wanted:
                self._disarm(watch)
            elif watch.armed is None:
                self._arm(watch)
        now = time.monotonic_ns()
        for watch in list(self._by_mountinfo.values()):
            armed = watch.armed
            if armed is not None and armed.due_ns is not None and armed.due_ns <= now and not self._tell(watch, armed):
                self._reopen(watch)

    def _milliseconds_to_wait(self) -> int | None:
        """Until the first change is due; ``None``, for ever, when none waits."""
        waiting = [watch.armed.due_ns for watch in self._by_mountinfo.values() if watch.armed and watch.armed.due_ns]
        if not waiting:
            return None
        return max(0, -(-(min(waiting) - time.monotonic_ns()) // 1_000_000))

    def _take_changed(self) -> list[_Watch]:
        """The watches that are to be armed or let go."""
        with self._lock:
            taken = list(self._changed)
            self._changed.clear()
        return taken

    def _note_change(self, watch: _Watch) -> None:
        """A table changed: it is due at once, or when its pause is over; until then nobody need wake us again."""
        armed = watch.armed
        if armed is not None and armed.due_ns is None:
            armed.due_ns = max(time.monotonic_ns(), armed.quiet_until_ns)
            armed.is_polled = False
            self._poller.unregister(armed.mountinfo)

    def _arm(self, watch: _Watch) -> None:
        """Open the table through the first process named that still is what it was, and tell it."""
        with self._lock:
            candidates = list(watch.candidates)
        for key in candidates:
            try:
                mountinfo, pidfd, root = _open_table(self._proc, key, watch.mnt_namespace)
            except CollectorError:
                self._forget(watch, key)
                continue
            if watch.root is not None and root != watch.root:
                os.close(mountinfo)
                os.close(pidfd)
                self._forget(watch, key)
                continue
            watch.root = root
            armed = _Armed(key, mountinfo, pidfd)
            with self._lock:
                watch.armed = armed
            self._by_mountinfo[mountinfo] = watch
            self._by_pidfd[pidfd] = watch
            self._poller.register(mountinfo, select.POLLPRI)
            self._poller.register(pidfd, select.POLLIN)
            if self._tell(watch, armed):
                return
            self._disarm(watch)
            self._forget(watch, key)
        with self._lock:
            if not watch.candidates and self._watches.get(watch.mnt_namespace) is watch:
                del self._watches[watch.mnt_namespace]
                self.counters.watched = len(self._watches)
                self.counters.ended += 1

    def _forget(self, watch: _Watch, key: ProcessKey) -> None:
        """Strike a process that is of no use from the candidates."""
        with self._lock:
            if key in watch.candidates:
                watch.candidates.remove(key)

    def _rearm(self, watch: _Watch) -> None:
        """The process that the table was opened through ended: let go of the namespace, try the next process."""
        armed = watch.armed
        if armed is None:
            return
        self._disarm(watch)
        self._forget(watch, armed.key)
        self._arm(watch)
        if watch.armed is not None:
            self.counters.rearmed += 1

    def _reopen(self, watch: _Watch) -> None:
        """The root that the table was opened at is gone (pivot_root): look again from the processes' present root."""
        armed = watch.armed
        if armed is None:
            return
        self._disarm(watch)
        watch.root = watch.told = None
        with self._lock:
            if armed.key not in watch.candidates:
                watch.candidates[:] = [armed.key, *watch.candidates[: _CANDIDATES - 1]]
        self._arm(watch)

    def _disarm(self, watch: _Watch) -> None:
        """Close the descriptors of a namespace."""
        armed = watch.armed
        if armed is None:
            return
        if armed.is_polled:
            self._poller.unregister(armed.mountinfo)
        self._poller.unregister(armed.pidfd)
        del self._by_mountinfo[armed.mountinfo], self._by_pidfd[armed.pidfd]
        os.close(armed.mountinfo)
        os.close(armed.pidfd)
        with self._lock:
            watch.armed = None

    def _tell(self, watch: _Watch, armed: _Armed) -> bool:
        """Read the table, and tell it if it differs from the one told last. Polled again first: no change is missed.

        ``False`` when it has no row for ``/``: it is seen from a place that no longer is, or never was, a root.
        """
        has_root = True
        if not armed.is_polled:
            self._poller.register(armed.mountinfo, select.POLLPRI)
            armed.is_polled = True
        armed.due_ns = None
        started_ns, cpu_ns, read_ns = time.monotonic_ns(), time.thread_time_ns(), self._clock_ns()
        try:
            table = _read_table(armed.mountinfo, self._table_limit_bytes)
            mark = hash(table)
            if mark == watch.told:
                self.counters.unchanged += 1
            else:
                mounts = self._parse_mounts(table)
                has_root = any(mount.point == b"/" for mount in mounts)
                if has_root:
                    watch.told = mark
                    self.counters.told += 1
                    self._emit(MountTable(read_ns, watch.mnt_namespace, watch.container_id, armed.key, mounts))
        except CollectorError as error:
            self.counters.failed += 1
            self._emit(Lost(self._clock_ns(), SOURCE, error.kind, 1))
        # CPU: the clock also counts while we wait for it (test_having_waited_for_a_processor_makes_no_pause_longer).
        cost_ns = time.thread_time_ns() - cpu_ns
        armed.quiet_until_ns = started_ns + max(_PAUSE_NS, _PAUSE_PER_COST * cost_ns)
        return has_root


def _open_table(proc: Path, key: ProcessKey, mnt_namespace: int) -> tuple[int, int, FileId]:
    """An open mountinfo, a pidfd and the root of a process, if it is that process and in that namespace; else raises.

    The pidfd is opened before the process is recognised by its start, so it cannot be another's. The namespace is
    looked at before and after, since the open table does not tell to which it belongs.
    """
    try:
        with ExitStack() as held, ExitStack() as unless_done:
            pidfd = os.pidfd_open(key.pid)
            unless_done.callback(os.close, pidfd)
            directory = os.open(proc / str(key.pid), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            held.callback(os.close, directory)
            _require_namespace(directory, mnt_namespace)
            mountinfo = os.open("mountinfo", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
            unless_done.callback(os.close, mountinfo)
            _require_namespace(directory, mnt_namespace)
            root = os.stat("root", dir_fd=directory)
            if _start_ticks(directory) != key.start_ticks:
                raise Gone(SOURCE, f"pid {key.pid} is another process now")
            unless_done.pop_all()
            return mountinfo, pidfd, FileId(root.st_dev, root.st_ino)
    except OSError as error:
        raise from_os_error(SOURCE, error) from error


def _require_namespace(directory: int, mnt_namespace: int) -> None:
    """Raise ``Gone`` unless the process is in that mount namespace."""
    found = os.stat("ns/mnt", dir_fd=directory).st_ino
    if found != mnt_namespace:
        raise Gone(SOURCE, f"the process is in mount namespace {found}, not {mnt_namespace}")


def _start_ticks(directory: int) -> int:
    """Field 22 of the process' stat (proc_pid_stat(5)); its name may hold blanks and parentheses."""
    descriptor = os.open("stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        content = os.read(descriptor, _STAT_BYTES)
    finally:
        os.close(descriptor)
    try:
        return int(content.rpartition(b")")[2].split()[_STAT_START_TICKS])
    except (IndexError, ValueError) as error:
        raise Malformed("stat", "no start time") from error


def _read_table(mountinfo: int, limit_bytes: int) -> bytes:
    """The whole table, from its start, through a descriptor that stays open."""
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := os.pread(mountinfo, _CHUNK_BYTES, size):
            chunks.append(chunk)
            size += len(chunk)
            if size > limit_bytes:
                raise TooLarge(SOURCE, f"more than {limit_bytes} bytes")
    except OSError as error:
        raise from_os_error(SOURCE, error) from error
    return b"".join(chunks)
