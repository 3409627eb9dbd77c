"""Turns "something happened to pid N" into events, by looking at the process at once.

Every sensor that reads /proc shares one ``Observer``: the process connector tells it what happened, the sweep what it
found. It remembers what was last told of each process, and tells only what is new or different. It resolves the
container and the mount table *before* the process that lives in them, so that whoever reads the events in order always
knows what to compare a process with.

Concurrency: called by the connector's thread and the sweep's thread; one lock, held for the reads of one process.
``emit`` is called under the lock, so that the order of events is the order of observations; it must not block.
Bounded: ``limit`` processes are remembered; more are told again at every look, and counted in ``counts``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from collectors.births import Tracked
from collectors.bounded import unknown
from collectors.errors import CollectorError
from collectors.events import (
    ContainerGone,
    ContainerSeen,
    CredentialChange,
    Event,
    Exec,
    Exit,
    Fork,
    MountTable,
    ProcessEvent,
    Ptrace,
    Seen,
)
from collectors.facts import CgroupMembership, DeclaredMount, Process, ProcessKey, Unknown
from collectors.held_files import HeldFiles, Holding
from collectors.looking import Looking
from collectors.moments import is_earlier
from collectors.mount_tables import FsPlace
from collectors.mountwatch import MountWatch

MAX_PARENTS = 16  # of a process that nobody was told of


class Reach(NamedTuple):
    """Mount namespaces of containers, and the processes of containers in them or in the host's, newest first."""

    namespaces: frozenset[int]
    pids: tuple[int, ...]


class Observer(Looking):
    """See the module's docstring: what each sensor tells, and what the sweep asks."""

    def watch_mounts_with(self, mount_watch: MountWatch) -> None:
        """Have every mount namespace that is met watched from now on."""
        self._mounts.watch_with(mount_watch)

    def tell_held_files(self, held_files: HeldFiles) -> None:
        """Have the watched files that tasks of containers hold open told from now on."""
        self._held_files = held_files

    def watch_host_mounts(self) -> None:
        """Tell the host's own mount table, and have it watched, through the first process that shows it."""
        with self._lock:
            for tracked in self._tracked.values():
                namespace = tracked.told.confinement.namespaces.mnt if tracked.told is not None else None
                if isinstance(namespace, int) and namespace == self._host.namespaces.mnt:
                    self._mounts.watch(namespace, tracked.key, None)
                    return

    # What the process connector tells ------------------------------------------------------------------------------

    def forked(self, parent_pid: int, child_pid: int, at_ns: int) -> None:
        """A process was made. Only children of container processes matter before they execute something.

        With CLONE_PARENT a container process makes a child of its own parent, the runtime's shim: children of those
        are looked at, so that the cgroup they were born in tells before they can leave it.
        """
        with self._lock:
            parent = self._tracked.get(parent_pid)
            if parent_pid in self._outer_parents and (parent is None or parent.container_id is None):
                process = self._look(child_pid, at_ns)
                if process is not None:
                    self._tell(Seen(at_ns, process))
                return
            if parent is None or parent.container_id is None:
                return
            if (known := self._tracked.get(child_pid)) is not None:  # nobody told us of its end
                self._tell_end(known, at_ns)
            child = self._births.note(parent, child_pid, at_ns)
            if not self._remember(child, at_ns):
                self._births.tell(child)

    def executed(self, pid: int, at_ns: int) -> None:
        """A process executed a program: look at it whole, and tell it whatever was told before."""
        with self._lock:
            process = self._look(pid, at_ns, is_exec=True)
            if process is None:
                return
            self._tell(Exec(at_ns, process))
            self._tell_held(process, at_ns)

    def credentials_changed(self, pid: int, tid: int, at_ns: int) -> None:
        """A task changed its uids or gids; told for container processes."""
        with self._lock:
            tracked = self._tracked.get(pid)
            if tracked is None or tracked.container_id is None:
                return
            process = self._look(pid, at_ns, tid=None if tid == pid else tid)
            if process is not None:
                self._tell(CredentialChange(at_ns, process))

    def traced(self, tracer_pid: int, target_pid: int, at_ns: int) -> None:
        """A process attached to another one with ptrace; told when a container has part in it."""
        with self._lock:
            tracer = self._tracked.get(tracer_pid)
            if tracer is not None and tracer.container_id is not None:
                for task in (tracer, self._tracked.get(target_pid)):
                    if task is not None:
                        self._births.tell(task)
                self._emit(Ptrace(at_ns, tracer_pid, target_pid))

    def exited(self, pid: int, at_ns: int) -> None:
        """A process ended, or only its leader did: then its other threads live on, and so does what they may do."""
        with self._lock:
            tracked = self._tracked.get(pid)
            if tracked is None or (tracked.container_id is not None and self._has_threads(pid)):
                return
            del self._tracked[pid]
            self._outer_parents.pop(pid, None)
            self._tell_end(tracked, at_ns)
            if tracked.mnt_namespace is not None:
                self._mounts.left(tracked.mnt_namespace, at_ns)

    # What the eBPF sensor tells ------------------------------------------------------------------------------------

    def witnessed(self, kind: Callable[[int, Process], ProcessEvent], process: Process, at_ns: int) -> Tracked | None:
        """A sensor saw the task itself at the moment of the act: told as it was then, whether it still lives or not."""
        with self._lock:
            before = self._tracked.get(process.key.pid)
            settled = self._settle(
                self._with_label(process), before, at_ns, 0, is_exec=kind is Exec, is_from_proc=False
            )
            if settled is None:
                return None
            self._tell(kind(at_ns, settled))
            return self._tracked.get(process.key.pid)

    def built(self, process: Process, at_ns: int) -> None:
        """A runtime's process has the container's mounts around it, and will run its program next.

        Only the mount table is taken: a first process that ends at once is judged by it. The container itself is told
        with that process, since the runtime may not have written down what it is yet.
        """
        with self._lock:
            cgroups = process.confinement.cgroups
            owner = self._registry.owner(cgroups) if not isinstance(cgroups, Unknown) else None
            if owner is not None:
                self._mounts.built(process, owner, at_ns)

    def inherited(self, ancestor: ProcessKey, child: ProcessKey, container_id: str, at_ns: int) -> None:
        """A task descends from ``ancestor`` by way of others that nobody was told of and that have ended."""
        with self._lock:
            known = self._tracked.get(child.pid)
            if known is None or known.key != child:
                before = self._tracked.get(ancestor.pid)
                namespace = before.mnt_namespace if before is not None and before.key == ancestor else None
                self._remember(Tracked(child, None, container_id, namespace), at_ns)
                self._emit(Fork(at_ns, ancestor, child))

    def ended(self, key: ProcessKey, at_ns: int) -> None:
        """This very task ended, all of it."""
        with self._lock:
            tracked = self._tracked.get(key.pid)
            if tracked is not None and tracked.key == key:
                del self._tracked[key.pid]
                self._outer_parents.pop(key.pid, None)
            self._emit(Exit(at_ns, key))
            if tracked is not None and tracked.key == key and tracked.mnt_namespace is not None:
                self._mounts.left(tracked.mnt_namespace, at_ns)

    def meet(self, pid: int) -> None:
        """Look at a process if nobody was told of it, and before it at its parents: a child met first has none."""
        unknown: list[int] = []
        while pid > 0 and len(unknown) < MAX_PARENTS and pid not in self._tracked:
            unknown.append(pid)
            pid = self._parent_of(pid)
        for each in reversed(unknown):
            self.observe(each)

    def _parent_of(self, pid: int) -> int:
        """The parent's pid of a process that lives, else 0."""
        try:
            return self._reader.read_stat(pid).parent_pid
        except CollectorError:
            return 0

    def look_at_cgroups(self, key: ProcessKey) -> tuple[CgroupMembership, ...] | Unknown:
        """The cgroups of a task as /proc shows them, if it is still that task."""
        try:
            process = self._reader.read(key.pid)
        except CollectorError as error:
            return unknown(error)
        return process.confinement.cgroups if process.key == key else Unknown("gone: proc/cgroup")

    def _with_label(self, process: Process) -> Process:
        """The LSM label, which only /proc shows."""
        leader = process.thread_of.pid if process.thread_of is not None else process.key.pid
        label = self._reader.read_label(leader, process.key)
        return replace(process, confinement=replace(process.confinement, lsm_label=label))

    # What the mount watch tells ------------------------------------------------------------------------------------

    def mounted(self, event: Event) -> None:
        """A mount table changed, or could not be read."""
        with self._lock:
            if isinstance(event, MountTable):
                if event.container_id is not None and not self._mounts.has_tasks(event.mnt_namespace):
                    return  # its namespace is gone, and its number may be another's next
                self._mounts.taken(event, event.at_ns)
            else:
                self._emit(event)

    # What the watch over files asks and tells ----------------------------------------------------------------------

    def who_reaches(self, places: Iterable[FsPlace] | None) -> Reach:
        """To whom a mount shows one of these places (``None``: any)."""
        with self._lock:
            namespaces = self._mounts.showing(places)
            found = [
                tracked.key
                for tracked in self._tracked.values()
                if tracked.container_id is not None
                and (tracked.told is None or tracked.told.thread_of is None)
                and (tracked.mnt_namespace is None or tracked.mnt_namespace in namespaces)
            ]
        newest_first = sorted(found, key=lambda key: (key.start_ticks, key.pid), reverse=True)
        return Reach(namespaces, tuple(key.pid for key in newest_first))

    def holds(self, holding: Holding) -> bool:
        """A task was found to hold watched files a moment ago: told if it is a container's, and that is the answer.

        It may have ended since; then it is told as it was known.
        """
        pid = holding.key.pid
        if pid not in self._tracked:
            self.meet(pid)
        with self._lock:
            at_ns = self._clock_ns()
            self._observe(pid, tid=None, descriptors=False)
            tracked = self._tracked.get(pid)
            if tracked is None or tracked.told is None or tracked.key != holding.key:
                self.counts["gone_before_looked"] += 1
                return False
            if tracked.container_id is None:
                return False
            tracked.held = holding.held
            self._tell_held(tracked.told, at_ns)
            return True

    # What the sweep asks -------------------------------------------------------------------------------------------

    def observe_after(
        self,
        catch_up: Callable[[], None],
        pid: int,
        *,
        parent_pid: int = 0,
        tid: int | None = None,
        descriptors: bool = False,
    ) -> Tracked | None:
        """As ``observe``, beside a sensor that witnesses: what it had seen by then is told first (``catch_up``).

        Else a runtime's process could be told as the container's program before its own way in is; what the sensor
        has told of since is newer, and is not told again. ``None`` also when the task executed while it was looked at.
        A parent that nobody was told of is met first, 0 is none: its turn may come later where pids have come round.
        """
        if parent_pid and parent_pid not in self._tracked:
            catch_up()
            self.meet(parent_pid)
        number = pid if tid is None else tid
        before = self._tracked.get(number)
        wanted = self._descriptors if descriptors and before is not None and before.container_id is not None else 0
        self.counts["looks"] += 1
        process = self._read(pid, tid, wanted)
        catch_up()
        if process is None:
            return None
        with self._lock:
            tracked = self._tracked.get(number)
            told = tracked.told if tracked is not None and tracked.key == process.key else None
            if told is not None and _is_not_later(process, told):
                return tracked
            at_ns = self._clock_ns()
            settled = self._settle(process, tracked, at_ns, wanted, is_exec=False, is_from_proc=True, is_one_look=True)
            if settled is None:
                return None
            tracked = self._tracked.get(number)
            if tracked is None or tracked.told is None or not _same(tracked.told, settled):
                self._tell(Seen(at_ns, settled))
            return self._tracked.get(number)

    def observe_new(self, pid: int) -> Tracked | None:
        """As ``observe``, for who never saw the process: if nobody did, its parents are met first."""
        if pid not in self._tracked:
            self.meet(self._parent_of(pid))  # its pid is higher where they have come round
        return self.observe(pid)

    def observe(self, pid: int, *, tid: int | None = None, descriptors: bool = False) -> Tracked | None:
        """Look at a task and tell it if it is new or different; ``None`` when it is gone."""
        with self._lock:
            return self._observe(pid, tid=tid, descriptors=descriptors)

    def _observe(self, pid: int, *, tid: int | None, descriptors: bool) -> Tracked | None:
        at_ns = self._clock_ns()
        process = self._look(pid, at_ns, tid=tid, descriptors=descriptors)
        if process is None:
            return None
        number = pid if tid is None else tid
        tracked = self._tracked.get(number)
        told = tracked.told if tracked is not None else None
        if told is None or not _same(told, process):
            self._tell(Seen(at_ns, process))
        self._tell_held(process, at_ns)
        return self._tracked.get(number)

    def refresh_containers(self) -> None:
        """Tell of containers whose bundle has been found by now, and of those that have ended."""
        with self._lock:
            for container in self._registry.retry_due():
                self._emit(ContainerSeen(self._clock_ns(), container))
            live = {tracked.container_id for tracked in self._tracked.values() if tracked.container_id is not None}
            for container_id in self._registry.expire(live):
                self._mounts.container_gone(container_id)
                self._container_gone(container_id)
                self._emit(ContainerGone(self._clock_ns(), container_id))

    def is_among_containers(self, tracked: Tracked) -> bool:
        """It is in the mount namespace of a container, whatever else it is: somebody's visitor, or one that left."""
        namespace = tracked.told.confinement.namespaces.mnt if tracked.told is not None else None
        return isinstance(namespace, int) and self._mounts.has_tasks(namespace)

    def tracked(self, pid: int) -> Tracked | None:
        """What is remembered of a process."""
        return self._tracked.get(pid)

    def told_processes(self) -> tuple[tuple[str | None, Process], ...]:
        """Every task that was told, with its container's id where it has one."""
        with self._lock:
            return tuple((each.container_id, each.told) for each in self._tracked.values() if each.told is not None)

    def declared_mounts(self, container_id: str) -> tuple[DeclaredMount, ...]:
        """The mounts that the container's bundle declares; none where it is not known."""
        container = self._registry.get(container_id)
        if container is None or isinstance(container.declared, Unknown):
            return ()
        return container.declared.mounts

    def tracked_pids(self) -> tuple[int, ...]:
        """Everything that is remembered, threads included."""
        with self._lock:
            return tuple(self._tracked)

    def forget_what_was_told(self) -> None:
        """After a loss downstream: tell everything again at the next look."""
        with self._lock:
            for tracked in self._tracked.values():
                tracked.told = None
                tracked.touched = frozenset()


def _is_not_later(process: Process, told: Process) -> bool:
    return process.observed_ns == told.observed_ns or is_earlier(process.observed_ns, told.observed_ns)


def _same(a: Process, b: Process) -> bool:
    """Nothing differs that is worth telling. Names and arguments are the process' own; some change them all day."""
    return (
        a.key == b.key
        and a.image_mark == b.image_mark
        and a.confinement == b.confinement
        and a.executable == b.executable
        and a.descriptors == b.descriptors
    )
