"""The sweep: what is on the node now, at a cost that is spent on what changed.

One pass lists /proc with the inode of each entry: the kernel gives a pid's directory a new inode number when another
process gets the pid, so an unchanged number is an unchanged process, without opening anything. New processes are read
whole.

Of each task in a container a pass reads two small files. ``schedstat`` tells how long it has run: a task that has not
run since has made no system call, so nothing but its cgroup, which others can change, needs a look. A task that ran is
given a *quick look* at what an escape must change (mount, network and user namespace, root, executable). All else about
it, open descriptors included, is read again within ``full_every`` passes if it ran, a slice at each; and ten times less
often, like the processes of the host, if it did not: a kernel exploit may rewrite who never ran.

Sources: ``Documentation/scheduler/sched-stats.rst`` (``/proc/<pid>/schedstat``), ``fs/proc/base.c``
(``proc_pid_make_inode``). Pure of threads: whoever calls ``Sweep.run`` owns it (``agent.sources`` gives it a thread).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from collectors.births import Tracked
from collectors.errors import CollectorError
from collectors.events import Event, SweepDone
from collectors.flyweight import flyweight
from collectors.host import Roots
from collectors.observer import Observer
from collectors.proc.process import SINGLE_THREAD_LINKS
from collectors.statx import read_identity

RARELY = 10  # times full_every
MAX_THREADS_LOOKED_AT = 4096  # threads of one process, in one pass
_MAX_BYTES = 16_384

Look = tuple[object, ...]

_intern_cgroups = flyweight(4096)
_intern_look = flyweight(4096)


@dataclass(slots=True, eq=False)
class _Task:
    """What the sweep saw of a task last: how long it had run (ns), its cgroups, and the quick look."""

    ran: int | None = None
    cgroups: bytes | None = None
    look: Look | None = None


@dataclass(slots=True, eq=False)
class _Known(_Task):
    """A process: its leader, the inode of its directory, its other tasks, how long it had run when read whole."""

    inode: int = 0
    threads: dict[int, _Task] | None = None  # of a process that has any beside its leader
    ran_when_read: int | None = None


class Sweep:
    """Sweeps the node through ``observer``. ``full_every`` is in passes."""

    def __init__(
        self,
        observer: Observer,
        roots: Roots,
        emit: Callable[[Event], None],
        *,
        clock_ns: Callable[[], int],
        cpu_ns: Callable[[], int],
        full_every: int,
    ) -> None:
        self.number = 0
        self._observer = observer
        self._proc = roots.proc
        self._emit = emit
        self._clock_ns = clock_ns
        self._cpu_ns = cpu_ns
        self._full_every = full_every
        self._known: dict[int, _Known] = {}

    def run(self) -> SweepDone:
        """One pass over the node; emits what changed, then ``SweepDone``, which is also returned."""
        started_ns = self._cpu_ns()
        self.number += 1
        proc = os.open(self._proc, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            present = _list(proc)
            self._drop(present)
            for pid, inode in present.items():
                self._visit(proc, pid, inode)
        finally:
            os.close(proc)
        done = SweepDone(self._clock_ns(), self.number, len(present), self._cpu_ns() - started_ns)
        self._emit(done)
        return done

    def _drop(self, present: dict[int, int]) -> None:
        """Forget what is no longer there. A pid that another process has now is dropped as well, and met again."""
        now_ns = self._clock_ns()
        for pid in [pid for pid, known in self._known.items() if present.get(pid) != known.inode]:
            del self._known[pid]
            if pid not in present:
                self._observer.exited(pid, now_ns)
        for pid in self._observer.tracked_pids():
            if pid not in present and not os.path.exists(f"{self._proc}/{pid}"):
                self._observer.exited(pid, now_ns)

    def _visit(self, proc: int, pid: int, inode: int) -> None:
        known = self._known.get(pid)
        if known is None:
            tracked = self._observer.observe_new(pid)
            if tracked is not None:
                known = self._known[pid] = _Known(inode=inode)
                if tracked.container_id is not None:
                    self._look_closer(proc, pid, known)
            return
        tracked = self._observer.tracked(pid)
        is_rare_turn = (pid + self.number) % (self._full_every * RARELY) == 0
        if tracked is not None and tracked.container_id is not None:
            self._look_closer(proc, pid, known)
            is_turn = (pid + self.number) % self._full_every == 0 and known.ran_when_read != known.ran
            if is_rare_turn or is_turn or tracked.told is None:
                known.ran_when_read = known.ran
                self._observer.observe(pid, descriptors=True)
        elif tracked is None or tracked.told is None or is_rare_turn or self._is_visitors_turn(pid, tracked):
            self._observer.observe(pid)

    def _is_visitors_turn(self, pid: int, tracked: Tracked) -> bool:
        return (pid + self.number) % self._full_every == 0 and self._observer.is_among_containers(tracked)

    def _look_closer(self, proc: int, pid: int, known: _Known) -> None:
        """Look at each task of a process in a container; the others may outlive the first."""
        if self._has_changed(proc, f"{pid}", known):
            self._observer.observe(pid, descriptors=True)
        try:
            has_threads = os.stat(f"{pid}/task", dir_fd=proc).st_nlink > SINGLE_THREAD_LINKS
        except OSError:
            return
        if has_threads or known.threads:
            self._look_at_threads(proc, pid, known)

    def _look_at_threads(self, proc: int, pid: int, known: _Known) -> None:
        """A single thread may be elsewhere: setns(2) on most namespaces moves only the caller."""
        try:
            present = [int(name) for name in os.listdir(f"{self._proc}/{pid}/task")[:MAX_THREADS_LOOKED_AT]]
        except OSError:
            return
        threads = known.threads = known.threads if known.threads is not None else {}
        for tid in threads.keys() - set(present):
            del threads[tid]
        for tid in present:
            if tid == pid:
                continue
            is_new = tid not in threads
            thread = threads.setdefault(tid, _Task())
            has_changed = self._has_changed(proc, f"{pid}/task/{tid}", thread)
            is_stray = thread.look != known.look or thread.cgroups != known.cgroups
            if has_changed or (is_new and is_stray) or self._observer.tracked(tid) is not None:
                self._observer.observe(pid, tid=tid)

    def _has_changed(self, proc: int, directory: str, task: _Task) -> bool:
        """Bring ``task`` up to date; whether what an escape must change differs from what was seen before."""
        try:
            cgroups = _read(proc, f"{directory}/cgroup")
            ran = _read_run_time(proc, f"{directory}/schedstat")
            if ran is not None and ran == task.ran and cgroups == task.cgroups:
                return False
            look = _look(proc, directory)
        except (OSError, CollectorError):
            return False
        has_changed = task.look is not None and (look != task.look or cgroups != task.cgroups)
        task.ran, task.cgroups, task.look = ran, _intern_cgroups(cgroups), _intern_look(look)
        return has_changed


def _list(proc: int) -> dict[int, int]:
    """Every pid with the inode of its directory."""
    with os.scandir(proc) as entries:
        return {int(entry.name): entry.inode() for entry in entries if entry.name.isdigit()}


def _look(proc: int, directory: str) -> Look:
    """The facts that an escape must change, as the kernel prints them: cheap to read, compared as they are."""
    return (
        os.readlink(f"{directory}/ns/mnt", dir_fd=proc),
        os.readlink(f"{directory}/ns/net", dir_fd=proc),
        os.readlink(f"{directory}/ns/user", dir_fd=proc),
        read_identity(f"{directory}/root".encode(), proc, "root"),
        read_identity(f"{directory}/exe".encode(), proc, "exe"),
    )


def _read(proc: int, name: str) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    try:
        return os.read(descriptor, _MAX_BYTES)
    finally:
        os.close(descriptor)


def _read_run_time(proc: int, name: str) -> int | None:
    """The first number of schedstat; ``None`` where the kernel was built without it: then every task is looked at."""
    try:
        return int(_read(proc, name).partition(b" ")[0])
    except (FileNotFoundError, ValueError):
        return None
