"""Below the eBPF tier: has who holds a watched file of the host looked for as soon as something happens to it.

inotify(7) tells of an inode by whatever path and mount it was reached, but not by whom. So when something happened, the
open descriptors of the tasks of those containers are read to which a mount shows that place, the newest task first: who
has the file open is the one, for certain. Who has let go of it by then is not found, and nothing is told. Opening is
heard only of files that are secret, and of no directory: programs of the host are opened all day.

Where no mount of a container leads to the place nothing is read at all, what is honestly busy is listened to less and
less (``collectors.listening``), and all looks together take a tenth of a CPU at most.

Concurrency: one thread runs ``run`` and owns everything; ``use`` and ``stop`` come from any thread and only write down
what is wanted, and ring. ``HeldFiles.files`` is replaced whole, for the sweep. Bounded: tasks of a look, descriptors of
a task, and what ``Listening`` says.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterable, Iterator

from collectors.errors import CollectorError
from collectors.facts import FileId
from collectors.held_files import HeldFiles, Wanted, WatchedFile
from collectors.host import Roots
from collectors.listening import Counters, Listening, watch_limit
from collectors.observer import Observer
from collectors.proc.ns import parse_ns_link
from collectors.wakeup import WakeUp
from collectors.watched_objects import Pattern

REST_PER_COST = 9
MAX_TASKS = 4096
MAX_STRANGERS = 1024


class TouchWatch:
    """See the module's docstring. ``descriptors`` is how many of a task are read."""

    def __init__(
        self,
        patterns: Iterable[Pattern],
        roots: Roots,
        observer: Observer,
        held_files: HeldFiles,
        *,
        descriptors: int,
        limit: int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self.counters = Counters()
        self._patterns = tuple(patterns)
        self._beside: tuple[Pattern, ...] = ()
        self._roots = roots
        self._observer = observer
        self._held_files = held_files
        self._descriptors = descriptors
        self._limit = watch_limit(roots.proc) if limit is None else limit
        self._monotonic = monotonic
        self._cpu = cpu
        self._wakeup = WakeUp()
        self._is_stopping = False
        self._listening: Listening | None = None  # from here on the thread's own
        self._rests_until = 0.0

    def use(self, patterns: Iterable[Pattern]) -> None:
        """As ``ObjectTable.use``; from any thread."""
        self._beside = tuple(patterns)

    def stop(self) -> None:
        """Make ``run`` return."""
        self._is_stopping = True
        self._wakeup.ring()

    def open(self) -> Listening:
        """Find the objects, and begin to listen: before the first sweep, which then knows what to look for."""
        listening = Listening(self._patterns, self._roots, self.counters, limit=self._limit, monotonic=self._monotonic)
        self._turn(listening)
        self._listening = listening
        return listening

    def run(self) -> None:
        """Watch until ``stop``, and let go of every watch."""
        if self._listening is None:  # it ended with an error: what happened meanwhile is not known
            self.open().is_all_touched = True
        listening = self._listening
        assert listening is not None
        resting, poller = select.poll(), select.poll()
        fd: int | None = None
        for each in (resting, poller):
            each.register(self._wakeup, select.POLLIN)
        try:
            while not self._is_stopping:
                if fd is None and (fd := listening.fileno()) is not None:
                    poller.register(fd, select.POLLIN)
                is_resting = self._monotonic() < self._rests_until  # what happens meanwhile waits in the kernel's queue
                milliseconds = self._milliseconds_to_wait(listening)
                ready = {ready for ready, _ in (resting if is_resting else poller).poll(milliseconds)}
                if self._wakeup.fileno() in ready:
                    self._wakeup.clear()
                if fd in ready:
                    listening.take()
                self._turn(listening)
        finally:
            listening.close()
            self._listening = None
            if self._is_stopping:
                self._wakeup.close()

    def _milliseconds_to_wait(self, listening: Listening) -> int:
        """Until the next thing is to be done."""
        now = self._monotonic()
        is_resting = now < self._rests_until
        is_touched = listening.touched or listening.is_all_touched
        due = min(listening.due, self._rests_until) if is_resting or is_touched else listening.due
        return max(0, int((due - now) * 1000) + 1)

    def _turn(self, listening: Listening) -> None:
        """Look for who holds what was touched, then see to the watches: a look that comes late finds less."""
        if (listening.touched or listening.is_all_touched) and self._monotonic() >= self._rests_until:
            self._look(listening)
        listening.turn(self._beside)
        self._held_files.files = listening.files

    def _look(self, listening: Listening) -> None:
        """Read the descriptors of whoever may have done it."""
        started = self._cpu()
        touched, listening.touched = listening.touched, set()
        is_all, listening.is_all_touched = listening.is_all_touched, False
        reach = self._observer.who_reaches(None if is_all else [each.place for each in touched])
        found = 0
        if reach.pids:
            wanted: dict[FileId, tuple[WatchedFile, ...]] = dict(listening.files) if is_all else {}
            for each in touched:
                for file, files in listening.files_of(each).items():
                    wanted[file] = max(files, wanted.get(file, ()), key=len)  # itself, and in its directory
            if wanted:
                self.counters.looks += 1
                found = self._find((*self._strangers(reach.namespaces), *reach.pids[:MAX_TASKS]), wanted)
        cost = self._cpu() - started  # of CPU: while others of ours run, nobody is kept from anything
        self._rests_until = self._monotonic() + cost * REST_PER_COST
        for each in touched:
            listening.silence(each, is_found=bool(found), cost=cost)

    def _find(self, pids: Iterable[int], wanted: Wanted) -> int:
        """Tell those that hold something; how many of them are a container's."""
        found = 0
        for pid in pids:
            holding = self._held_files.scan(pid, wanted, self._descriptors)
            if holding is not None and self._observer.holds(holding):
                found += 1
        self.counters.found += found
        return found

    def _strangers(self, namespaces: frozenset[int]) -> Iterator[int]:
        """Processes in these mount namespaces that nobody was told of yet, the newest first.

        Between two sweeps a container may have more of them.
        """
        try:
            pids = [int(name) for name in os.listdir(self._roots.proc) if name.isdigit()]
        except OSError:
            return
        unknown = [pid for pid in pids if self._observer.tracked(pid) is None]
        for pid in sorted(unknown, reverse=True)[:MAX_STRANGERS]:
            if self._namespace(pid) in namespaces:
                yield pid

    def _namespace(self, pid: int) -> int | None:
        """The mount namespace of a process; ``None`` when it is gone or refuses."""
        try:
            return parse_ns_link(os.readlink(f"{self._roots.proc}/{pid}/ns/mnt".encode()), "mnt")
        except (OSError, CollectorError):
            return None
