"""The node's state as it can be asked: everything that is remembered, and ``NodeView``, which detectors see.

Nothing here changes anything; what does is ``agent.state``.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.records import MAX_ANCESTORS, ContainerState, MountState, Record
from collectors.confinement import Frame
from collectors.events import MountTable
from collectors.facts import Container, HostBaseline, Mount, Process, ProcessKey, Unknown
from collectors.moments import is_earlier
from detectors.base import Member, Tier


class StateView:
    """Implements ``detectors.base.NodeView`` over the tables of ``NodeState``."""

    def __init__(self, host: HostBaseline, tier: Tier) -> None:
        self.host = host
        self.tier = tier
        self._records: dict[int, Record] = {}
        self._containers: dict[str, ContainerState] = {}
        self._mounts: dict[int, MountState] = {}
        self._cgroups: dict[bytes, str] = {}
        self._resolved: tuple[Process, Member | Unknown | None] | None = None

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

    def remembered(self) -> tuple[tuple[Record, ...], tuple[ContainerState, ...], tuple[MountState, ...]]:
        """Everything that is held, by reference: for the owner's thread, or under its lock."""
        return tuple(self._records.values()), tuple(self._containers.values()), tuple(self._mounts.values())

    # What the answers are made of --------------------------------------------------------------------------------

    def _record(self, process: Process) -> Record | None:
        record = self._records.get(process.key.pid)
        return record if record is not None and record.process.key == process.key else None

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


def _is_before_entry(record: Record, process: Process) -> bool:
    """The task was seen so on its way in, and what it became has been told already: two sensors saw it.

    The runtime's other threads end with its exec: one that is told of later was seen before.
    """
    entry, whose = record.entry, process.thread_of or process.key
    return entry is not None and entry.key == whose and is_earlier(process.observed_ns, entry.observed_ns)
