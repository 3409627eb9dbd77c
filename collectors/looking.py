"""How a task is looked at: read at once, its container found, its program judged, remembered, told.

The container and the mount table are told before the process that lives in them. What the looks are for is
``collectors.observer``, under whose lock everything here is called.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

from collectors.births import Births, Tracked
from collectors.container_mounts import ContainerMounts
from collectors.containers.registry import ContainerRegistry
from collectors.errors import CollectorError
from collectors.events import ContainerSeen, Event, Exit, FileTouched, ProcessEvent
from collectors.facts import HostBaseline, Process, Unknown
from collectors.held_files import HeldFiles
from collectors.host import Roots
from collectors.proc.process import ProcessReader

MAX_OUTER_PARENTS = 4096
MAX_TOUCHED = 64  # of one task: which were told is forgotten then


class Looking:
    """What is remembered of tasks; ``descriptors`` is how many descriptors of a container process are looked at."""

    def __init__(
        self,
        reader: ProcessReader,
        registry: ContainerRegistry,
        host: HostBaseline,
        roots: Roots,
        emit: Callable[[Event], None],
        *,
        clock_ns: Callable[[], int],
        uptime_ns: Callable[[], int],
        descriptors: int,
        limit: int,
    ) -> None:
        self.counts = {"looks": 0, "told": 0, "gone_before_looked": 0, "not_remembered": 0}
        self._reader = reader
        self._registry = registry
        self._host = host
        self._emit = emit
        self._clock_ns = clock_ns
        self._descriptors = descriptors
        self._limit = limit
        self._tracked: dict[int, Tracked] = {}
        self._mounts = ContainerMounts(reader, registry, host, roots, emit, clock_ns)
        self._outer_parents: dict[int, set[str]] = {}
        self._held_files: HeldFiles | None = None
        self._births = Births(reader, emit, clock_ns, uptime_ns, host.ticks_per_second)
        self._lock = threading.Lock()

    def _look(
        self, pid: int, at_ns: int, *, tid: int | None = None, descriptors: bool = False, is_exec: bool = False
    ) -> Process | None:
        """The process as it is now, its container and mount table told before it; ``None`` when it is gone."""
        self.counts["looks"] += 1
        before = self._tracked.get(pid if tid is None else tid)
        wanted = self._descriptors if descriptors and before is not None and before.container_id is not None else 0
        process = self._read(pid, tid, wanted)
        if process is None:
            return None
        return self._settle(process, before, at_ns, wanted, is_exec=is_exec, is_from_proc=True)

    def _settle(
        self,
        process: Process,
        before: Tracked | None,
        at_ns: int,
        wanted: int,
        *,
        is_exec: bool,
        is_from_proc: bool,
        is_one_look: bool = False,
    ) -> Process | None:
        """Find the container of a task that was looked at, judge its program, remember it; ``None`` when it is gone.

        A task that a sensor witnessed (not ``is_from_proc``) is told as it was, also when it is gone. ``is_one_look``
        has it told only if it still runs what it ran, in case it has to be read twice.
        """
        if before is not None and not self._births.is_same(before, process.key):
            before = None
        container_id = self._container(process, before, at_ns, is_exec=is_exec)
        if container_id is not None:
            may_enter = self._may_enter(process, before, is_exec=is_exec)
            if may_enter and not wanted:
                # What the runtime handed over is judged with all that follows.
                tid = process.key.pid
                again = self._read(process.thread_of.pid if process.thread_of else tid, tid, self._descriptors)
                if is_from_proc:
                    if again is None or (is_one_look and again.image_mark != process.image_mark):
                        return None
                    process = again
                elif again is not None and again.key == process.key:
                    process = replace(process, descriptors=again.descriptors)
                wanted = 0 if isinstance(process.descriptors, Unknown) else self._descriptors
            process = self._mounts.with_layer(process, container_id, at_ns, is_table_old=may_enter)
        told = before.told if before is not None else None
        held = self._held_files.among(process) if wanted and self._held_files and container_id is not None else ()
        if wanted:
            process = self._mounts.with_notable_descriptors(process)
        elif told is not None and not isinstance(told.descriptors, Unknown) and told.image_mark == process.image_mark:
            process = replace(process, descriptors=told.descriptors)  # an exec closes what is close-on-exec
        namespace = self._mounts.own_namespace(process) if container_id is not None else None
        if namespace is not None:  # at every look: whoever it was watched through may have ended, or stood elsewhere
            self._mounts.watch(namespace, process.key, container_id)
        touched = before.touched if before is not None else frozenset()
        key = told.key if told is not None else process.key
        self._remember(Tracked(key, told, container_id, namespace, held=held, touched=touched), at_ns)
        return process

    def _read(self, pid: int, tid: int | None, descriptors: int) -> Process | None:
        """The task, ``None`` when it has ended."""
        try:
            return self._reader.read(pid, tid=tid, descriptors=descriptors)
        except CollectorError:
            self.counts["gone_before_looked"] += 1
            return None

    def _may_enter(self, process: Process, before: Tracked | None, *, is_exec: bool) -> bool:
        """The runtime sent it in (its parent is in no container), and it runs something new: the container is built."""
        told = before.told if before is not None else None
        if told is not None and not is_exec and told.image_mark == process.image_mark:
            return False
        return self._parents_container(process) is None

    def _parents_container(self, process: Process) -> str | None:
        parent = self._tracked.get(process.thread_of.pid if process.thread_of is not None else process.parent_pid)
        return parent.container_id if parent is not None else None

    def _container(self, process: Process, before: Tracked | None, at_ns: int, *, is_exec: bool) -> str | None:
        """The container of a task: the one it had, else its parent's, else its cgroup's; told first when it is new."""
        inherited = self._parents_container(process)
        owner = None
        cgroups = process.confinement.cgroups
        if inherited is None and not isinstance(cgroups, Unknown):
            owner = self._registry.owner(cgroups)
            told = before.told if before is not None else None
            runs_new = is_exec or told is None or told.image_mark != process.image_mark
            if before is None or (owner is not None and (runs_new or before.container_id is None)):
                container = self._registry.notice(cgroups, process.key.pid)
                if container is not None:
                    self._emit(ContainerSeen(at_ns, container))
                owner = self._registry.owner(cgroups)
            if owner is not None:
                self._note_outer_parent(process.parent_pid, owner)
            else:
                owner = self._sent_into(process)
        if before is not None and before.container_id is not None:
            return before.container_id
        return inherited or owner

    def _sent_into(self, process: Process) -> str | None:
        """A task from a container's shim with the container's mount namespace, and another cgroup already."""
        namespace = self._mounts.own_namespace(process)
        if namespace is None:
            return None
        for sender in self._senders_of(process):
            for container_id in self._outer_parents.get(sender, ()):
                if namespace == self._mounts.namespace_of(container_id):
                    return container_id
        return None

    def _senders_of(self, process: Process) -> Iterator[int]:
        """Who may have sent it in: its parent, and the parent of that, while a runtime still stands between."""
        parent = self._tracked.get(process.parent_pid)
        above = parent.told.parent_pid if parent is not None and parent.told is not None else 1
        yield from (pid for pid in (process.parent_pid, above) if pid > 1)

    def _note_outer_parent(self, pid: int, container_id: str) -> None:
        """Whoever has a child in a container without being in one: a shim. Bounded, the oldest is forgotten."""
        self._outer_parents.setdefault(pid, set()).add(container_id)
        if len(self._outer_parents) > MAX_OUTER_PARENTS:
            del self._outer_parents[next(iter(self._outer_parents))]

    def _container_gone(self, container_id: str) -> None:
        """Nobody is sent into it any more: a shim may live on, and send into thousands, one after the other."""
        for sent in self._outer_parents.values():
            sent.discard(container_id)

    def _has_threads(self, pid: int) -> bool:
        try:
            return self._reader.has_threads(pid)
        except CollectorError:
            return False

    def _tell(self, event: ProcessEvent) -> None:
        tracked = self._tracked.get(event.process.key.pid)
        if tracked is not None:
            tracked.told = event.process
        self._births.tell_children(event.process.key.pid)
        self.counts["told"] += 1
        self._emit(event)

    def _tell_held(self, process: Process, at_ns: int) -> None:
        """Tell which watched files a task has open, each once; after the task itself was told."""
        tracked = self._tracked.get(process.key.pid)
        if tracked is None or not tracked.held:
            return
        found, tracked.held = tracked.held, ()
        for each in found:
            if each in tracked.touched:
                continue
            tracked.touched = (tracked.touched if len(tracked.touched) < MAX_TOUCHED else frozenset()) | {each}
            self._tell(FileTouched(at_ns, process, each.touch, each.path, each.file, each.mode, 0, each.watched))

    def _tell_end(self, tracked: Tracked, at_ns: int) -> None:
        """Tell that a task has ended, if anybody was told that it began."""
        if tracked.birth is None:
            self._births.tell_children(tracked.key.pid)
            self._emit(Exit(at_ns, tracked.key))
        else:
            self._births.forget(tracked)

    def _remember(self, tracked: Tracked, at_ns: int) -> bool:
        """Keep it, if there is room."""
        known = self._tracked.get(tracked.key.pid)
        if known is None and len(self._tracked) >= self._limit:
            self.counts["not_remembered"] += 1
            return False
        if known is not None:
            self._births.forget(known)
        self._tracked[tracked.key.pid] = tracked
        before = known.mnt_namespace if known is not None else None
        if before != tracked.mnt_namespace:
            if tracked.mnt_namespace is not None:
                self._mounts.entered(tracked.mnt_namespace)
            if before is not None:
                self._mounts.left(before, at_ns)
        return True
