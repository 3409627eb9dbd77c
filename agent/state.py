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
from dataclasses import replace

from agent.detached_mounts import DetachedMounts
from agent.entry import as_entered, is_overdue, is_stage, runs_parents_file
from agent.records import ContainerState, MountState, Record, is_the_same, trim
from agent.senders import Senders
from agent.state_view import StateView
from collectors.events import (
    ContainerGone,
    ContainerSeen,
    Event,
    Exec,
    Exit,
    Fork,
    HostSeen,
    MountMade,
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
    Place,
    Process,
    ProcessKey,
)
from collectors.moments import is_earlier
from collectors.mount_tables import ids_of
from detectors.base import Member, Tier

MAX_RUNTIMES_SEEN = 64


class NodeState(StateView):
    """``apply`` takes events in the order in which they came; what may be asked is ``StateView``'s."""

    def __init__(self, host: HostBaseline, tier: Tier, *, max_processes: int, max_containers: int) -> None:
        super().__init__(host, tier)
        self.overflow: dict[str, int] = {"processes": 0, "containers": 0, "mount_namespaces": 0}
        self.refused_host_processes = 0
        self._max_processes = max_processes
        self._max_containers = max_containers
        self.refuses_host_processes = False  # the last step by which memory is saved (agent.memory)
        self._pending: dict[object, Event] = {}
        self._becoming: set[ProcessKey] = set()
        self._runtimes_seen: set[FileId] = set()
        self._senders = Senders()
        self._detached = DetachedMounts()

    def apply(self, event: Event) -> None:
        """Take one event into the state. An event that is older than what is known already changes nothing."""
        self._resolved = None
        match event:
            case ProcessEvent():
                self._observed(event)
                self._hold_detached(event)
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
                self._pending.update((each.mount, each) for each in self._detached.left(event.at_ns))
            case _:
                pass

    def take_pending(self) -> tuple[Event, ...]:
        """What must be judged again, as events, because what it is compared with became known only now."""
        pending = tuple(self._pending.values())
        self._pending.clear()
        return pending

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

    def _observed(self, event: ProcessEvent) -> None:
        process = event.process
        record = self._record(process)
        if record is None:
            record = self._admit(process)
            if record is None:
                return
        elif is_earlier(process.observed_ns, record.process.observed_ns):
            return
        else:
            if process.parent_pid != record.process.parent_pid:
                self._reparented(record, process.parent_pid)
            record.previous = process if is_the_same(process, record.process) else record.process
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
        trim(record)
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
            self._senders.note(record.parent, owner)

    def _reparented(self, record: Record, parent_pid: int) -> None:
        """Who sent it in has ended; whoever has it now is its shim, and will send more into the same container."""
        parent = self._records.get(parent_pid)
        if record.container_id is None:
            record.parent = parent
        elif not record.by_lineage:
            self._senders.note(parent, record.container_id)

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
            for container_id in self._senders.sent_by(sender):
                state = self._containers.get(container_id)
                if state is not None and state.first is not None:
                    first = state.first.confinement.namespaces.mnt
                    if isinstance(first, int) and first == namespace:
                        return container_id
        return None

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
        trim(child)
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
        self._senders.forget(pid)
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
        self._senders.forget_container(state.container.id)
        for path in state.container.cgroup_paths:
            if self._cgroups.get(path) == state.container.id:
                del self._cgroups[path]

    # Mounts ------------------------------------------------------------------------------------------------------

    def _hold_detached(self, event: ProcessEvent) -> None:
        """A mount that no table has is judged later, when none has taken it; not the runtime's on its way in."""
        if isinstance(event, MountMade) and isinstance(member := self.member(event.process), Member):
            left = self._detached.made(event, member.container.id)
            if left is not None:
                self._pending[left.mount] = left

    def _mounted(self, event: MountTable) -> None:
        if (known := self._mounts.get(event.mnt_namespace)) is not None:
            known.became(event)
        else:
            if len(self._mounts) >= 2 * self._max_containers:
                self._evict_mounts()
            ids = ids_of(event.mounts)
            known = self._mounts[event.mnt_namespace] = MountState(event, None, ids, ids)
        self._detached.attached(known.ids)

    def _evict_mounts(self) -> None:
        """Drop the table of a namespace that is no container's own; the oldest goes first."""
        own = {state.first.confinement.namespaces.mnt for state in self._containers.values() if state.first is not None}
        victim = next((each for each in self._mounts if each not in own), None)
        if victim is not None:
            self.overflow["mount_namespaces"] += 1
            del self._mounts[victim]
