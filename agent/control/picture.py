"""The node's state on its way to who asks: taken from the agent's in slices, and made a state again at the other end.

``pictured`` reads under the core's lock, ``SLICE`` records at a time, so that the core never waits for longer than a
millisecond or so; between two slices the node goes on, and what ended meanwhile is left out. Values are frozen, so the
other thread encodes them at its leisure. What happened before the present moment (``Record.previous``) stays behind,
and so does ``Process.image_mark``, a number of 192 bits by which only a sensor knows an exec.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from agent.control.values import Malformed, build
from agent.records import ContainerState, MountState, Record
from agent.state import NodeState
from collectors.events import MountTable
from collectors.facts import NOT_READ, Container, HostBaseline, Mount, Process
from detectors.base import Tier

SLICE = 256

Part = dict[str, Any]


def pictured(state: NodeState, lock: AbstractContextManager[object], container_id: str | None = None) -> Iterator[Part]:
    """The state in parts: of the whole node, or of one container with the ancestors of its processes."""
    with lock:
        records, containers, tables = state.remembered()
        given = [
            (each.container, each.first, each.mounts_at_start)
            for each in containers
            if container_id in {None, each.container.id}
        ]
        mounts = [(each.event, each.ids_ever) for each in tables if container_id in {None, each.event.container_id}]
        head: Part = {"host": state.host, "tier": state.tier, "overflow": dict(state.overflow)}
    yield head
    for container, _, _ in given:
        yield {"container": container}
    known = _Known()
    wanted = records if container_id is None else tuple(each for each in records if each.container_id == container_id)
    for start in range(0, len(wanted), SLICE):
        with lock:
            rows = [row for record in wanted[start : start + SLICE] for row in known.rows(record)]
        yield {"processes": known.take_new(), "records": rows}
    for container, first, at_start in given:
        if first is not None or at_start is not None:
            row = known.number(first) if first is not None else None
            yield {"of": container.id, "processes": known.take_new(), "first": row, "mounts_at_start": at_start}
    for event, ids_ever in mounts:
        now = frozenset(mount.mnt_id for mount in event.mounts)
        yield {"mounts": event, "ids_before": ids_ever - now}


class _Known:
    """Processes and records by number, each told once. It holds them, so that no other gets the same identity."""

    def __init__(self) -> None:
        self._processes: dict[int, tuple[int, Process]] = {}
        self._records: dict[int, tuple[int, Record]] = {}
        self._new: list[Process] = []

    def number(self, process: Process) -> int:
        """The number of a process as it was observed at one moment."""
        known = self._processes.get(id(process))
        if known is None:
            known = self._processes[id(process)] = (len(self._processes), process)
            self._new.append(process)
        return known[0]

    def take_new(self) -> list[Process]:
        """The processes that have got a number since the last call, in the order of their numbers."""
        new, self._new = self._new, []
        return [replace(each, image_mark=NOT_READ) for each in new]

    def rows(self, record: Record) -> Iterator[list[Any]]:
        """The record, before it those of its ancestors that were not told yet: dead ones are among them."""
        chain: list[Record] = []
        current: Record | None = record
        while current is not None and id(current) not in self._records:
            chain.append(current)
            current = current.parent
        for each in reversed(chain):
            parent = self._records[id(each.parent)][0] if each.parent is not None else None
            self._records[id(each)] = (len(self._records), each)
            yield [
                self.number(each.process),
                parent,
                each.container_id,
                each.by_lineage,
                self.number(each.entry) if each.entry is not None else None,
            ]
        yield [self._records[id(record)][0]]  # this one is alive


def restored(parts: Iterable[Part], *, max_processes: int, max_containers: int) -> NodeState:
    """The state that the parts are of. Raises ``Malformed``."""
    try:
        return _restored(iter(parts), max_processes, max_containers)
    except (KeyError, TypeError, ValueError, IndexError, StopIteration) as error:
        raise Malformed(f"no picture of a node: {type(error).__name__}: {error}") from error


def _restored(parts: Iterator[Part], max_processes: int, max_containers: int) -> NodeState:
    head = next(parts)
    state = NodeState(
        build(HostBaseline, head["host"]),
        Tier(head["tier"]),
        max_processes=max_processes,
        max_containers=max_containers,
    )
    state.overflow.update(head["overflow"])
    processes: list[Process] = []
    records: list[Record] = []
    live: list[Record] = []
    containers: dict[str, ContainerState] = {}
    mounts: list[MountState] = []
    for part in parts:
        processes += (build(Process, each) for each in part.get("processes", ()))
        if "container" in part:
            container = build(Container, part["container"])
            containers[container.id] = ContainerState(container)
        elif "records" in part:
            _take_records(part["records"], processes, records, live)
        elif "of" in part:
            of = containers[part["of"]]
            of.first = processes[part["first"]] if part["first"] is not None else None
            at_start = part["mounts_at_start"]
            of.mounts_at_start = build(tuple[Mount, ...], at_start) if at_start is not None else None
        elif "mounts" in part:
            event = build(MountTable, part["mounts"])
            ids = frozenset(mount.mnt_id for mount in event.mounts)
            mounts.append(MountState(event, None, ids, ids | frozenset(part["ids_before"])))
    state.take_up(live, containers.values(), mounts)
    return state


def _take_records(rows: list[list[Any]], processes: list[Process], records: list[Record], live: list[Record]) -> None:
    for row in rows:
        if len(row) == 1:
            live.append(records[row[0]])
            continue
        process, parent, container_id, by_lineage, entry = row
        records.append(
            Record(
                processes[process],
                records[parent] if parent is not None else None,
                container_id,
                by_lineage=by_lineage,
                entry=processes[entry] if entry is not None else None,
            )
        )
