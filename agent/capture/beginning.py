"""The node's state as a capture begins with it: as it is now, or as it was before the latest events. Pure.

What is known at that moment is in it, what was forgotten is not: how a process came to be where it is, and what was
told of it already. So a replay tells again what is the case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter

from agent.state import NodeState
from collectors.events import (
    ContainerGone,
    ContainerSeen,
    Event,
    Exit,
    Fork,
    HostSeen,
    MountNamespaceGone,
    MountTable,
    ProcessEvent,
    Seen,
)
from collectors.facts import Container, HostBaseline, Process, ProcessKey


@dataclass(frozen=True, slots=True)
class Resident:
    """A process, the container that it belonged to at that moment, and the parent that it was linked with."""

    process: Process
    container: Container | None
    parent: ProcessKey | None


@dataclass(frozen=True, slots=True)
class Moment:
    """What was known at one moment, by reference: all of it is frozen."""

    host: HostBaseline
    containers: dict[str, Container]
    residents: dict[int, Resident]
    tables: dict[int, MountTable]

    def events(self, at_ns: int, container_id: str | None = None) -> Iterator[Event]:
        """It as events, as if all had been met at that time; of one container and the host if it is given."""
        yield HostSeen(at_ns, self.host)
        for container in self.containers.values():
            if container_id in {None, container.id}:
                yield ContainerSeen(at_ns, container)
        told: set[int] = set()
        for each in self._as_they_came():
            owner = each.container.id if each.container is not None else None
            if container_id is not None and owner not in {None, container_id}:
                continue
            namespace = each.process.confinement.namespaces.mnt
            if isinstance(namespace, int) and namespace not in told:
                told.add(namespace)
                if (table := self.tables.get(namespace)) is not None:
                    yield MountTable(at_ns, namespace, owner, each.process.key, table.mounts)
            yield Seen(at_ns, each.process)

    def _as_they_came(self) -> Iterator[Resident]:
        """Everybody, in an order that links them as they are: who knows its parent after it, who does not before it.

        A sweep may meet a child before its parent, and the state then does not link the two.
        """
        order: TopologicalSorter[int] = TopologicalSorter()
        for each in sorted(self.residents.values(), key=lambda one: one.process.key.start_ticks):
            pid, above = each.process.key.pid, parent_pid(each.process)
            order.add(pid)
            if above in self.residents and above != pid:
                order.add(*((pid, above) if each.parent == self.residents[above].process.key else (above, pid)))
        return (self.residents[pid] for pid in order.static_order())


Before = HostBaseline | Container | Resident | MountTable | None
"""What an event took the place of, in the terms of ``Moment``."""


def now(state: NodeState) -> Moment:
    """The present moment: for the core's thread, or under its lock; it takes a microsecond or so for each process."""
    records, containers, tables = state.remembered()
    known = {each.container.id: each.container for each in containers}
    return Moment(
        state.host,
        known,
        {
            each.process.key.pid: Resident(
                each.process,
                known.get(each.container_id or ""),
                each.parent.process.key if each.parent is not None else None,
            )
            for each in records
        },
        {each.event.mnt_namespace: each.event for each in tables},
    )


def before(state: NodeState, event: Event) -> Before:  # noqa: PLR0911 (one return a kind of event)
    """What the event will take the place of; to be asked before the state applies it, by the core's thread."""
    match event:
        case ProcessEvent(process=process):
            return _resident(state, process.key.pid)
        case Fork(child=key) | Exit(key=key):
            return _resident(state, key.pid)
        case ContainerSeen(container=container):
            return state.container(container.id)
        case ContainerGone(container_id=container_id):
            return state.container(container_id)
        case MountTable(mnt_namespace=namespace) | MountNamespaceGone(mnt_namespace=namespace):
            return state.mount_table(namespace)
        case HostSeen():
            return state.host
        case _:
            return None


def undone(moment: Moment, done: Iterable[tuple[Event, Before]]) -> Moment:
    """The moment before these events, the latest of which comes first."""
    host, containers = moment.host, dict(moment.containers)
    residents, tables = dict(moment.residents), dict(moment.tables)
    for event, was in done:
        match event:
            case ProcessEvent(process=process):
                _put_back(residents, containers, process.key.pid, was)
            case Fork(child=key) | Exit(key=key):
                _put_back(residents, containers, key.pid, was)
            case ContainerSeen(container=container):
                if isinstance(was, Container):
                    containers[container.id] = was
                else:
                    containers.pop(container.id, None)
            case ContainerGone() if isinstance(was, Container):
                containers.setdefault(was.id, was)
            case MountTable(mnt_namespace=namespace) | MountNamespaceGone(mnt_namespace=namespace):
                if isinstance(was, MountTable):
                    tables[namespace] = was
                else:
                    tables.pop(namespace, None)
            case HostSeen() if isinstance(was, HostBaseline):
                host = was
            case _:
                pass
    return replace(moment, host=host, containers=containers, residents=residents, tables=tables)


def _resident(state: NodeState, pid: int) -> Resident | None:
    process = state.process_by_pid(pid)
    if process is None:
        return None
    parent = state.parent(process)
    return Resident(process, state.container_of(process), parent.key if parent is not None else None)


def parent_pid(process: Process) -> int:
    """Whose child it is; of a thread, its process."""
    return process.thread_of.pid if process.thread_of is not None else process.parent_pid


def _put_back(residents: dict[int, Resident], containers: dict[str, Container], pid: int, was: Before) -> None:
    """Who had the number before; a container that went away with its last process comes back with it."""
    if not isinstance(was, Resident):
        residents.pop(pid, None)
        return
    residents[pid] = was
    if was.container is not None:
        containers.setdefault(was.container.id, was.container)
