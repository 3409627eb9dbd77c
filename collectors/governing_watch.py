"""Keeps an eye on which files of the host are sockets of somebody who governs, so that a mount of one is told.

A look reads one table of the kernel; only when another socket listens or another governor is there are their
descriptors read, and only of those who govern more than one container: a node has a shim for every container. So a
daemon under another name, at another address, or started after the container that was given the directory, is found.

Whoever calls ``look`` owns it. Bounded: as ``collectors.governing``.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from collectors.containers.registry import ContainerRegistry
from collectors.errors import CollectorError
from collectors.events import ContainerSeen, Event
from collectors.facts import HostBaseline, Process, ProcessKey
from collectors.governing import find_files, open_net
from collectors.governors import Governor, Governors, Scope
from collectors.host import Roots
from collectors.observer import Observer
from collectors.proc.unix import read_listening

EVERY = 5  # sweeps
_WATCHED = frozenset({Scope.NODE, Scope.BUS})


class GoverningWatch:
    """Tells the registry of governing sockets, and ``emit`` of each container that comes to other ones by that."""

    def __init__(
        self,
        roots: Roots,
        host: HostBaseline,
        observer: Observer,
        registry: ContainerRegistry,
        emit: Callable[[Event], None],
        *,
        governors: Governors,
        clock_ns: Callable[[], int],
    ) -> None:
        self.counts = {"looks": 0, "read": 0, "unread": 0}
        self._roots = roots
        self._host = host
        self._observer = observer
        self._registry = registry
        self._emit = emit
        self._governors = governors
        self._clock_ns = clock_ns
        self._calls = 0
        self._seen: tuple[frozenset[ProcessKey], frozenset[tuple[int, bytes]]] | None = None

    def look(self) -> None:
        """To be called after every sweep; looks at every fifth call."""
        self._calls += 1
        if self._calls % EVERY == 1:
            self.look_now()

    def look_now(self) -> None:
        """Look at the sockets of those who govern, among the processes that are in no container."""
        self.counts["looks"] += 1
        processes: list[Process] = []
        holders: dict[ProcessKey, Governor] = {}
        for container_id, process in self._observer.told_processes():
            governor = self._governors.of(process) if container_id is None and process.thread_of is None else None
            if governor is not None and governor.scope in _WATCHED:
                holders[process.key] = governor
                processes.append(process)
        try:
            rows = self._listening(processes) if processes else frozenset()
        except CollectorError:
            self.counts["unread"] += 1
            return
        seen = (frozenset(holders), rows)
        if seen == self._seen:
            return
        self._seen = seen
        self.counts["read"] += 1
        for container in self._registry.learn_sockets(find_files(self._roots, rows, holders)):
            self._emit(ContainerSeen(self._clock_ns(), container))

    def _listening(self, processes: list[Process]) -> frozenset[tuple[int, bytes]]:
        """The sockets with a path on which somebody in the host's net namespace listens."""
        directory = open_net(self._roots, self._host, processes)
        try:
            return read_listening(directory)
        finally:
            os.close(directory)
