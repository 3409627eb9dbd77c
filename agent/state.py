"""The node's state: who runs, who belongs to which container, and what it was like before.

One thread owns a ``NodeState`` (the pipeline's), so it needs no lock. It is fed with events and nothing else: it reads
no clock, no /proc and no network, so the same events always give the same state. Detectors see it as ``NodeView``.

Membership is sticky. A process belongs to a container by its cgroup, or because it descends from one that belonged; it
keeps that through fork, exec, setns, a move to another cgroup and re-parenting. One state is between: a process that
the runtime made *on its way into* a container is *becoming* it, until it runs a program of the container.

Bounded: processes and containers have limits; what does not fit is counted in ``overflow`` and not kept. A chain of
parents is kept 16 deep.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from agent.entry import as_entered, is_overdue, is_stage, runs_parents_file
from collectors.confinement import Frame
from collectors.events import (
    ContainerGone,
    ContainerSeen,
    Event,
    Exec,
    Exit,
    Fork,
    HostSeen,
    MountNamespaceGone,
    MountTable,
    ProcessEvent,
    Seen,
    SweepDone,
)
from collectors.facts import (
    Container,
    Executable,
    FileId,
    HostBaseline,
    Mount,
    Place,
    Process,
    ProcessKey,
    Unknown,
)
from collectors.mount_tables import ids_of
from detectors.base import Member, Tier

MAX_ANCESTORS = 16
MAX_MOUNT_IDS_EVER = 65_536
MAX_RUNTIMES_SEEN = 64
MAX_SENDERS = 4096


@dataclass(slots=True, eq=False)
class Record:
    """One live task, and what we remember of it. ``entry`` is ``None`` while it is becoming a container."""

    process: Process
    parent: Record | None
    container_id: str | None = None
    by_lineage: bool = False
    entry: Process | None = None
    previous: Process | None = None


@dataclass(slots=True, eq=False)
class ContainerState:
    """A container and what was seen of it. ``first`` is its first process as it was when it entered."""

    container: Container
    first: Process | None = None
    mounts_at_start: tuple[Mount, ...] | None = None
    live: dict[ProcessKey, None] = field(default_factory=dict)  # a set, at a third of the memory
    is_gone: bool = False


@dataclass(slots=True, eq=False)
class MountState:
    """The mount table of one namespace, the one before it, and every mount id that was ever in it."""

    event: MountTable
    before: tuple[Mount, ...] | None
    ids: frozenset[int]
    ids_ever: frozenset[int]


class NodeState:
    """Implements ``detectors.base.NodeView``; ``apply`` takes events in the order in which they came."""

    def __init__(self, host: HostBaseline, tier: Tier, *, max_processes: int, max_containers: int) -> None:
        self.host = host
        self.tier = tier
        self.overflow: dict[str, int] = {"processes": 0, "containers": 0, "mount_namespaces": 0}
        self.refused_host_processes = 0
        self._max_processes = max_processes
        self._max_containers = max_containers
        self.refuses_host_processes = False  # the last step by which memory is saved (agent.memory)
        self._records: dict[int, Record] = {}
        self._containers: dict[str, ContainerState] = {}
        self._mounts: dict[int, MountState] = {}
        self._cgroups: dict[bytes, str] = {}
        self._pending: dict[object, Event] = {}
        self._becoming: set[ProcessKey] = set()
        self._runtimes_seen: set[FileId] = set()
        self._senders: dict[int, set[str]] = {}
        self._resolved: tuple[Process, Member | Unknown | None] | None = None

    def apply(self, event: Event) -> None:
        """Take one event into the state. An event that is older than what is known already changes nothing."""
        self._resolved = None
        match event:
            case ProcessEvent():
                self._observed(event)
            case Fork():
                self._forked(event)
            case Exit():
                self._exited(event.key)
            case ContainerSeen():
                self._container_seen(event.container, event.at_ns)
            case ContainerGone():
                self._container_gone(event.container_id)
            case MountTable():
                self._mounted(event)
            case MountNamespaceGone():
                self._mounts.pop(event.mnt_namespace, None)
            case HostSeen():
                self.host = event.host
            case SweepDone():
                self._overdue(event.at_ns)
            case _:
                pass

    def take_pending(self) -> tuple[Event, ...]:
        """What must be judged again, as events, because what it is compared with became known only now."""
        pending = tuple(self._pending.values())
        self._pending.clear()
        return pending

    # What detectors see ------------------------------------------------------------------------------------------

    def member(self, process: Process) -> Member | Unknown | None:
        """See ``NodeView.member``. Every detector asks for the event's process, so the last answer is kept."""
        if self._resolved is None or self._resolved[0] is not process:
            self._resolved = (process, self._member(process))
        return self._resolved[1]

    def _member(self, process: Process) -> Member | Unknown | None:
        record = self._record(process)
        if record is None or record.container_id is None or record.entry is None or _is_before_entry(record, process):
            return None
        state = self._containers.get(record.container_id)
        if state is None:
            return Unknown("not_read: the container is not known")
        frame = self._frame(state)
        return Member(
            process=process,
            container=state.container,
            first=self._first(state),
            entry=record.entry,
            frame=frame,
            by_lineage=record.by_lineage,
            in_container_cgroup=self._owner(process) == record.container_id,
            previous=record.previous,
        )

    def is_becoming(self, process: Process) -> bool:
        """See ``NodeView.is_becoming``."""
        record = self._record(process)
        if record is None or record.container_id is None:
            return False
        return record.entry is None or _is_before_entry(record, process)

    def process(self, key: ProcessKey) -> Process | None:
        """See ``NodeView.process``."""
        record = self._records.get(key.pid)
        return record.process if record is not None and record.process.key == key else None

    def process_by_pid(self, pid: int) -> Process | None:
        """See ``NodeView.process_by_pid``."""
        record = self._records.get(pid)
        return record.process if record is not None else None

    def parent(self, process: Process) -> Process | None:
        """See ``NodeView.parent``."""
        record = self._record(process)
        return record.parent.process if record is not None and record.parent is not None else None

    def ancestors(self, process: Process) -> tuple[Process, ...]:
        """See ``NodeView.ancestors``."""
        found: list[Process] = []
        record = self._record(process)
        while record is not None and record.parent is not None and len(found) < MAX_ANCESTORS:
            record = record.parent
            found.append(record.process)
        return tuple(found)

    def container(self, container_id: str) -> Container | None:
        """See ``NodeView.container``."""
        state = self._containers.get(container_id)
        return state.container if state is not None else None

    def container_of(self, process: Process) -> Container | None:
        """The container the task belongs to, also while it is still becoming it."""
        record = self._record(process)
        return self.container(record.container_id) if record is not None and record.container_id is not None else None

    def containers(self) -> Iterable[Container]:
        """See ``NodeView.containers``."""
        return tuple(state.container for state in self._containers.values())

    def processes(self) -> Iterable[Process]:
        """All live tasks, in no order."""
        return tuple(record.process for record in self._records.values())

    def first_process(self, container_id: str) -> Process | Unknown:
        """See ``NodeView.first_process``."""
        state = self._containers.get(container_id)
        return self._first(state) if state is not None else Unknown("not_read: the container is not known")

    def namespace_owners(self, kind: str, inode: int) -> tuple[str, ...]:
        """See ``NodeView.namespace_owners``."""
        return tuple(
            container_id
            for container_id, state in self._containers.items()
            if state.first is not None and getattr(state.first.confinement.namespaces, kind) == inode
        )

    def mounts(self, mnt_namespace: int) -> tuple[Mount, ...] | Unknown:
        """See ``NodeView.mounts``."""
        known = self._mounts.get(mnt_namespace)
        return known.event.mounts if known is not None else Unknown("not_read: no mount table of that namespace")

    def mount_table(self, mnt_namespace: int) -> MountTable | None:
        """The latest table of that namespace, as it was told."""
        known = self._mounts.get(mnt_namespace)
        return known.event if known is not None else None

    def mounts_before(self, mnt_namespace: int) -> tuple[Mount, ...] | Unknown:
        """See ``NodeView.mounts_before``."""
        known = self._mounts.get(mnt_namespace)
        if known is None or known.before is None:
            return Unknown("not_read: the first table of that namespace")
        return known.before

    def mounts_at_start(self, container_id: str) -> tuple[Mount, ...] | Unknown:
        """See ``NodeView.mounts_at_start``."""
        state = self._containers.get(container_id)
        if state is None or state.mounts_at_start is None:
            return Unknown("not_read: the container was there before the agent")
        return state.mounts_at_start

    def mount_ids_ever(self, mnt_namespace: int) -> frozenset[int]:
        """See ``NodeView.mount_ids_ever``."""
        known = self._mounts.get(mnt_namespace)
        return known.ids_ever if known is not None else frozenset()

    def counts(self) -> dict[str, int]:
        """How many of what the state holds."""
        return {
            "processes": len(self._records),
            "container_processes": sum(1 for record in self._records.values() if record.container_id is not None),
            "containers": len(self._containers),
            "mount_namespaces": len(self._mounts),
        }

    # The state as a whole: what is handed to who asks the agent, and taken up there -------------------------------

    def remembered(self) -> tuple[tuple[Record, ...], tuple[ContainerState, ...], tuple[MountState, ...]]:
        """Everything that is held, by reference: for the owner's thread, or under its lock."""
        return tuple(self._records.values()), tuple(self._containers.values()), tuple(self._mounts.values())

    def take_up(
        self, records: Iterable[Record], containers: Iterable[ContainerState], mounts: Iterable[MountState]
    ) -> None:
        """Begin with what another state remembered; of an empty state only."""
        for each in containers:
            self._containers[each.container.id] = each
            self._cgroups.update(dict.fromkeys(each.container.cgroup_paths, each.container.id))
        self._mounts.update((each.event.mnt_namespace, each) for each in mounts)
        for record in records:
            self._records[record.process.key.pid] = record
            if (state := self._containers.get(record.container_id or "")) is not None:
                state.live[record.process.key] = None

    # Processes ---------------------------------------------------------------------------------------------------

    def _record(self, process: Process) -> Record | None:
        record = self._records.get(process.key.pid)
        return record if record is not None and record.process.key == process.key else None

    def _observed(self, event: ProcessEvent) -> None:
        process = event.process
        record = self._record(process)
        if record is None:
            record = self._admit(process)
            if record is None:
                return
        elif process.observed_ns < record.process.observed_ns:
            return
        else:
            if process.parent_pid != record.process.parent_pid:
                self._reparented(record, process.parent_pid)
            record.previous = process if _is_the_same(process, record.process) else record.process
            record.process = process
        if record.container_id is None:
            self._join(record)
        elif record.entry is None and self._owner(process) is None and not record.by_lineage:
            self._leave(record)
        if record.container_id is not None and record.entry is None:
            self._enter(record, event.at_ns, is_exact=isinstance(event, Exec))
        if record.entry is not None and record.process.thread_of is None:
            self._pend_nested_table(record, event.at_ns)

    def _admit(self, process: Process) -> Record | None:
        """Make room for a task that is new to us; its parent is whoever bears the parent's pid now."""
        if len(self._records) >= self._max_processes and process.key.pid not in self._records:
            self.overflow["processes"] += 1
            return None
        if self.refuses_host_processes and self._is_hosts_own(process):
            self.refused_host_processes += 1
            return None
        self._forget(process.key.pid)
        parent_pid = process.thread_of.pid if process.thread_of is not None else process.parent_pid
        record = Record(process, self._records.get(parent_pid))
        _trim(record)
        self._records[process.key.pid] = record
        return record

    def _is_hosts_own(self, process: Process) -> bool:
        """It has the host's mount namespace, is in no container's cgroup, and descends from no container."""
        if process.confinement.namespaces.mnt != self.host.namespaces.mnt or self._owner(process) is not None:
            return False
        parent_pid = process.thread_of.pid if process.thread_of is not None else process.parent_pid
        parent = self._records.get(parent_pid)
        return parent is None or parent.container_id is None

    def _join(self, record: Record) -> None:
        """Decide whether the task belongs to a container: by lineage first, since a container may lie about cgroups."""
        parent = record.parent
        if parent is not None and parent.container_id is not None and parent.entry is not None:
            self._belong(record, parent.container_id, by_lineage=True)
            record.entry = parent.entry
        elif (sent := self._sent_into(record)) is not None:
            self._belong(record, sent, by_lineage=self._owner(record.process) != sent)
        elif (owner := self._owner(record.process)) is not None:
            self._belong(record, owner, by_lineage=False)
            self._note_sender(record.parent, owner)

    def _reparented(self, record: Record, parent_pid: int) -> None:
        """Who sent it in has ended; whoever has it now is its shim, and will send more into the same container."""
        parent = self._records.get(parent_pid)
        if record.container_id is None:
            record.parent = parent
        elif not record.by_lineage:
            self._note_sender(parent, record.container_id)

    def _sent_into(self, record: Record) -> str | None:
        """The container whose mount namespace the task has, if a shim above it has sent others into that one.

        The runtime put it there, and may still stand between. Its cgroup may say otherwise by now: it has left it, or
        hides in a neighbour's.
        """
        namespace = record.process.confinement.namespaces.mnt
        if namespace == self.host.namespaces.mnt:
            return None
        above = record.parent.parent if record.parent is not None else None
        for sender in (record.parent, above):
            for container_id in self._sent_by(sender):
                state = self._containers.get(container_id)
                if state is not None and state.first is not None:
                    first = state.first.confinement.namespaces.mnt
                    if isinstance(first, int) and first == namespace:
                        return container_id
        return None

    def _sent_by(self, sender: Record | None) -> Iterable[str]:
        """The containers that a process has sent others into; pid 1 has everybody in the end."""
        pid = sender.process.key.pid if sender is not None else 1
        return self._senders.get(pid, ()) if pid != 1 else ()

    def _note_sender(self, sender: Record | None, container_id: str) -> None:
        """Remember who has a child in a container without being in one; the oldest is forgotten."""
        if sender is None or sender.container_id is not None:
            return
        self._senders.setdefault(sender.process.key.pid, set()).add(container_id)
        if len(self._senders) > MAX_SENDERS:
            del self._senders[next(iter(self._senders))]

    def _belong(self, record: Record, container_id: str, *, by_lineage: bool) -> None:
        record.container_id, record.by_lineage = container_id, by_lineage
        state = self._containers.get(container_id)
        if state is not None:
            state.live[record.process.key] = None

    def _leave(self, record: Record) -> None:
        state = self._containers.get(record.container_id or "")
        if state is not None:
            state.live.pop(record.process.key, None)
        record.container_id = None

    def _enter(self, record: Record, at_ns: int, *, is_exact: bool) -> None:
        """The runtime's process has become the container when it runs a program of the container."""
        if self._is_stage(record) and not is_overdue(record.process, at_ns, self.host):
            self._becoming.add(record.process.key)
            return
        self._becoming.discard(record.process.key)
        state = self._containers.get(record.container_id or "")
        container = state.container if state is not None else None
        record.entry = as_entered(record.process, container, is_exact=is_exact)
        if state is not None and state.first is None and self._is_first(record, state):
            self._first_entered(state, record, at_ns, is_exact=is_exact)

    def _is_stage(self, record: Record) -> bool:
        """A runtime's own process; a file that was seen to send itself in is remembered as a runtime's."""
        parent = record.parent
        outer = parent.process if parent is not None else None
        executable = record.process.executable
        if (
            runs_parents_file(record.process, outer)
            and isinstance(executable, Executable)
            and isinstance(executable.place, Place)
            and len(self._runtimes_seen) < MAX_RUNTIMES_SEEN
        ):
            self._runtimes_seen.add(executable.place.file)
        in_hook = parent is not None and parent.container_id is not None and parent.entry is None
        return is_stage(record.process, outer, self.host.runtime_binaries | self._runtimes_seen, in_hook=in_hook)

    def _overdue(self, at_ns: int) -> None:
        """Whatever has been becoming a container for too long is judged as what it is."""
        for key in tuple(self._becoming):
            record = self._records.get(key.pid)
            if record is None or record.process.key != key or record.container_id is None:
                self._becoming.discard(key)
                continue
            self._enter(record, at_ns, is_exact=False)
            if record.entry is not None:
                self._pending[key] = Seen(at_ns, record.process)

    def _is_first(self, record: Record, state: ContainerState) -> bool:
        if record.process.thread_of is not None:
            return False
        first_pid = state.container.first_pid
        return first_pid is None or first_pid == record.process.key.pid

    def _first_entered(self, state: ContainerState, record: Record, at_ns: int, *, is_exact: bool) -> None:
        """From now on the container's members can be compared; what came before is judged (again)."""
        state.first = record.entry
        table = self._begin_past(record)
        if table is not None and is_exact:
            state.mounts_at_start = table.event.mounts
        self._pend(state, at_ns)

    def _begin_past(self, first: Record) -> MountState | None:
        """The table of a first process: what it was like while the runtime built it is nobody's past."""
        namespace = first.process.confinement.namespaces.mnt
        table = self._mounts.get(namespace) if isinstance(namespace, int) else None
        if table is not None:
            table.before = None
        return table

    def _pend(self, state: ContainerState, at_ns: int) -> None:
        """Have a container, its mount table and its processes judged again."""
        self._pending[state.container.id] = ContainerSeen(at_ns, state.container)
        namespace = state.first.confinement.namespaces.mnt if state.first is not None else None
        if isinstance(namespace, int) and (table := self._mounts.get(namespace)) is not None:
            self._pending[namespace] = replace(table.event, at_ns=at_ns)
        for key in state.live:
            if (process := self.process(key)) is not None:
                self._pending[key] = Seen(at_ns, process)

    def _pend_nested_table(self, record: Record, at_ns: int) -> None:
        """The first task of ours in a namespace of its own: its table came before it, and is judged now."""
        namespace = record.process.confinement.namespaces.mnt
        before = record.previous or (record.parent.process if record.parent is not None else None)
        if not isinstance(namespace, int) or namespace == self.host.namespaces.mnt:
            return
        if before is not None and before.confinement.namespaces.mnt == namespace:
            return
        if (table := self._mounts.get(namespace)) is not None:
            self._pending[namespace] = replace(table.event, at_ns=at_ns)

    def _forked(self, event: Fork) -> None:
        """A child is its parent until it says otherwise: same facts, same membership, same entry."""
        parent = self._records.get(event.parent.pid)
        known = self._records.get(event.child.pid)
        if parent is None or (known is not None and known.process.key == event.child):
            return
        if len(self._records) >= self._max_processes and known is None:
            self.overflow["processes"] += 1
            return
        self._forget(event.child.pid)
        process = replace(
            parent.process, key=event.child, parent_pid=event.parent.pid, observed_ns=event.at_ns, thread_of=None
        )
        child = Record(process, parent, entry=parent.entry)
        _trim(child)
        self._records[event.child.pid] = child
        if parent.container_id is not None:
            self._belong(child, parent.container_id, by_lineage=parent.entry is not None)

    def _exited(self, key: ProcessKey) -> None:
        record = self._records.get(key.pid)
        if record is not None and record.process.key == key:
            self._forget(key.pid)

    def _forget(self, pid: int) -> None:
        record = self._records.pop(pid, None)
        if record is None:
            return
        self._pending.pop(record.process.key, None)
        self._senders.pop(pid, None)
        state = self._containers.get(record.container_id or "")
        if state is not None:
            state.live.pop(record.process.key, None)
            if not state.live:  # it ended; if it is started again, another process is its first
                state.first = state.mounts_at_start = None
            self._drop_if_over(state)

    # Containers --------------------------------------------------------------------------------------------------

    def _container_seen(self, container: Container, at_ns: int) -> None:
        state = self._containers.get(container.id)
        if state is None:
            if len(self._containers) >= self._max_containers:
                self.overflow["containers"] += 1
                return
            state = self._containers[container.id] = ContainerState(container)
        elif container.first_pid != state.container.first_pid and container.first_pid is not None:
            self._first_changed(state, container, at_ns)
        state.container, state.is_gone = container, False
        for path in container.cgroup_paths:
            self._cgroups[path] = container.id

    def _first_changed(self, state: ContainerState, container: Container, at_ns: int) -> None:
        """The first process became known, or the container was restarted: what we took for the first is not it."""
        if state.first is not None and state.first.key.pid != container.first_pid:
            state.first, state.mounts_at_start = None, None
            record = self._records.get(container.first_pid or 0)
            if record is not None and record.container_id == container.id and record.entry is not None:
                state.first = record.entry
                self._begin_past(record)
                self._pend(state, at_ns)

    def _container_gone(self, container_id: str) -> None:
        state = self._containers.get(container_id)
        if state is not None:
            state.is_gone = True
            self._drop_if_over(state)

    def _drop_if_over(self, state: ContainerState) -> None:
        """A container is kept while one of its processes lives, wherever that process went."""
        if not state.is_gone or state.live:
            return
        self._containers.pop(state.container.id, None)
        for path in state.container.cgroup_paths:
            if self._cgroups.get(path) == state.container.id:
                del self._cgroups[path]

    def _first(self, state: ContainerState) -> Process | Unknown:
        return state.first if state.first is not None else Unknown("not_read: the first process was not seen")

    def _frame(self, state: ContainerState) -> Frame:
        given: frozenset[int] | Unknown = Unknown("not_read: no mount table of the container")
        if state.first is not None and isinstance(state.first.confinement.namespaces.mnt, int):
            table = self._mounts.get(state.first.confinement.namespaces.mnt)
            given = table.ids if table is not None else given
        paths = state.container.cgroup_paths or Unknown("not_read: the container's cgroup")
        return Frame(self.host.namespaces, self.host.root, given, paths)

    def _owner(self, process: Process) -> str | None:
        """The container that the task's cgroup belongs to: the outermost known one on the way down."""
        cgroups = process.confinement.cgroups
        if isinstance(cgroups, Unknown):
            return None
        for line in cgroups:
            path = line.path
            end = path.find(b"/", 1)
            while end != -1:
                if (owner := self._cgroups.get(path[:end])) is not None:
                    return owner
                end = path.find(b"/", end + 1)
            if (owner := self._cgroups.get(path)) is not None:
                return owner
        return None

    # Mounts ------------------------------------------------------------------------------------------------------

    def _mounted(self, event: MountTable) -> None:
        known = self._mounts.get(event.mnt_namespace)
        ids = ids_of(event.mounts)
        if known is None:
            if len(self._mounts) >= 2 * self._max_containers:
                self._evict_mounts()
            self._mounts[event.mnt_namespace] = MountState(event, None, ids, ids)
        else:
            known.before, known.event, known.ids = known.event.mounts, event, ids
            if len(known.ids_ever) < MAX_MOUNT_IDS_EVER:
                known.ids_ever |= ids

    def _evict_mounts(self) -> None:
        """Drop the table of a namespace that is no container's own; the oldest goes first."""
        own = {state.first.confinement.namespaces.mnt for state in self._containers.values() if state.first is not None}
        victim = next((each for each in self._mounts if each not in own), None)
        if victim is not None:
            self.overflow["mount_namespaces"] += 1
            del self._mounts[victim]


def _is_the_same(process: Process, before: Process) -> bool:
    """Nothing that is compared with what was before has changed, so there is no need to keep that too."""
    return (
        process.image_mark == before.image_mark
        and process.confinement == before.confinement
        and process.executable == before.executable
    )


def _is_before_entry(record: Record, process: Process) -> bool:
    """The task was seen so on its way in, and what it became has been told already: two sensors saw it."""
    entry = record.entry
    return entry is not None and entry.key == process.key and process.observed_ns < entry.observed_ns


def _trim(record: Record) -> None:
    """Cut the chain of parents behind the sixteenth, so that a program that forks for ever holds no endless chain."""
    ancestor: Record | None = record
    for _ in range(MAX_ANCESTORS):
        ancestor = ancestor.parent if ancestor is not None else None
    if ancestor is not None:
        ancestor.parent = None
