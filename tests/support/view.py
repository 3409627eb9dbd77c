"""A ``NodeView`` over plain dicts, which a test fills with exactly what its detector may see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from collectors.events import Event, Exec, Seen
from collectors.facts import Container, HostBaseline, Mount, Process, ProcessKey, Unknown
from detectors.base import Blind, Detector, Finding, Member, NodeView, Tier
from tests.support import build


@dataclass
class FakeView:
    """What is not put in is not known: no member, no process, ``Unknown("not_in_test")``."""

    host: HostBaseline = field(default_factory=build.host_baseline)
    tier: Tier = Tier.NETLINK
    members: dict[ProcessKey, Member | Unknown] = field(default_factory=dict)
    becoming: set[ProcessKey] = field(default_factory=set)
    processes: dict[ProcessKey, Process] = field(default_factory=dict)
    parents: dict[ProcessKey, Process] = field(default_factory=dict)
    known_containers: dict[str, Container] = field(default_factory=dict)
    first_processes: dict[str, Process] = field(default_factory=dict)
    tables: dict[int, tuple[Mount, ...]] = field(default_factory=dict)
    tables_before: dict[int, tuple[Mount, ...]] = field(default_factory=dict)
    tables_at_start: dict[str, tuple[Mount, ...]] = field(default_factory=dict)
    ids_gone: dict[int, frozenset[int]] = field(default_factory=dict)

    def put(self, *members: Member) -> FakeView:
        """Make the node hold these members, their containers, first processes, entries and mount tables."""
        for member in members:
            self.members[member.process.key] = member
            self.processes[member.process.key] = member.process
            self.put_container(member.container, member.first)
        return self

    def put_container(self, container: Container, first: Process | Unknown) -> FakeView:
        """Make the node hold a container, its first process and the mount table that goes with its number."""
        self.known_containers[container.id] = container
        if isinstance(first, Process):
            self.first_processes[container.id] = first
            self.processes.setdefault(first.key, first)
            table = build.mount_table(int(container.id[:4], 16))
            mnt = first.confinement.namespaces.mnt
            if isinstance(mnt, int):
                self.tables.setdefault(mnt, table)
                self.tables_at_start.setdefault(container.id, table)
        return self

    def put_host(self, *processes: Process) -> FakeView:
        """Make the node hold these processes, which belong to no container."""
        for process in processes:
            self.processes[process.key] = process
        return self

    def put_parent(self, child: Process, parent: Process) -> FakeView:
        """Make ``parent`` the parent of ``child`` as it was at fork."""
        self.parents[child.key] = parent
        return self

    def member(self, process: Process) -> Member | Unknown | None:
        """See ``NodeView``."""
        found = self.members.get(process.key)
        return replace(found, process=process) if isinstance(found, Member) else found

    def is_becoming(self, process: Process) -> bool:
        """See ``NodeView``."""
        return process.key in self.becoming

    def process(self, key: ProcessKey) -> Process | None:
        """See ``NodeView``."""
        return self.processes.get(key)

    def process_by_pid(self, pid: int) -> Process | None:
        """See ``NodeView``."""
        return next((process for key, process in self.processes.items() if key.pid == pid), None)

    def parent(self, process: Process) -> Process | None:
        """See ``NodeView``."""
        return self.parents.get(process.key)

    def ancestors(self, process: Process) -> tuple[Process, ...]:
        """See ``NodeView``."""
        found: list[Process] = []
        parent = self.parents.get(process.key)
        while parent is not None and len(found) < 16:  # the bound that NodeView names
            found.append(parent)
            parent = self.parents.get(parent.key)
        return tuple(found)

    def container(self, container_id: str) -> Container | None:
        """See ``NodeView``."""
        return self.known_containers.get(container_id)

    def containers(self) -> Iterable[Container]:
        """See ``NodeView``."""
        return self.known_containers.values()

    def first_process(self, container_id: str) -> Process | Unknown:
        """See ``NodeView``."""
        return self.first_processes.get(container_id, Unknown("not_in_test"))

    def namespace_owners(self, kind: str, inode: int) -> tuple[str, ...]:
        """See ``NodeView``."""
        return tuple(
            container_id
            for container_id, first in self.first_processes.items()
            if getattr(first.confinement.namespaces, kind) == inode
        )

    def mounts(self, mnt_namespace: int) -> tuple[Mount, ...] | Unknown:
        """See ``NodeView``."""
        return self.tables.get(mnt_namespace, Unknown("not_in_test"))

    def mounts_before(self, mnt_namespace: int) -> tuple[Mount, ...] | Unknown:
        """See ``NodeView``."""
        return self.tables_before.get(mnt_namespace, Unknown("not_in_test"))

    def mounts_at_start(self, container_id: str) -> tuple[Mount, ...] | Unknown:
        """See ``NodeView``."""
        return self.tables_at_start.get(container_id, Unknown("not_in_test"))

    def mount_ids_ever(self, mnt_namespace: int) -> frozenset[int]:
        """See ``NodeView``."""
        now = frozenset(mount.mnt_id for mount in self.tables.get(mnt_namespace, ()))
        return now | self.ids_gone.get(mnt_namespace, frozenset())


def view_of(*members: Member, **facts: Any) -> FakeView:
    """A node that holds these members; ``facts`` are fields of ``FakeView`` (``host``, ``tier``, ...)."""
    return FakeView(**facts).put(*members)


def seen(process: Process) -> Seen:
    """The event of a sweep that met ``process``."""
    return Seen(build.NOW_NS, process)


def executed(process: Process) -> Exec:
    """The event of an exec after which ``process`` was read."""
    return Exec(build.NOW_NS, process)


def run(detector: Detector, event: Event, view: NodeView) -> list[Finding | Blind]:
    """Everything the detector yields for one event that it wants."""
    assert isinstance(event, detector.wants), f"{detector.id} does not want {type(event).__name__}"
    return list(detector.check(event, view))


def judge(detector: Detector, member: Member, **facts: Any) -> list[Finding | Blind]:
    """Everything the detector yields when a sweep meets ``member`` on a node that holds nothing else."""
    return run(detector, seen(member.process), view_of(member, **facts))
