"""The mount tables of containers, as the observer meets them, and what they say of a process.

A table is told (``MountTable``) before the process that was judged by it. It is read through a process that stands at
the root of its mount namespace: the kernel shows it from the reader's root on, so a chroot shows a cut one. Tables are
kept by the namespace's inode, and forgotten with the last task in it, because the kernel soon gives that inode to
another namespace (``test_namespace_that_got_an_inode_again_has_no_past``).

Owned by the observer and called under its lock. Bounded: ``MAX_TABLES`` tables and ``MAX_LAYERS`` judged programs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from collectors.confinement import is_within
from collectors.containers.registry import ContainerRegistry
from collectors.errors import CollectorError
from collectors.events import Event, MountNamespaceGone, MountTable
from collectors.facts import (
    Connection,
    Descriptor,
    Executable,
    HostBaseline,
    Mount,
    Place,
    Process,
    ProcessKey,
    Unknown,
)
from collectors.host import Roots
from collectors.layers import layer_of
from collectors.moments import is_earlier
from collectors.mount_tables import FsPlace, ids_of
from collectors.mountwatch import MountWatch
from collectors.notable import is_notable, shared_streams
from collectors.proc.process import ProcessReader

MAX_TABLES = 4096
MAX_LAYERS = 8192
MAX_CONNECTIONS = 4096


@dataclass(slots=True, eq=False)
class _Table:
    """The last table of a namespace; ``mnt_ids`` for a quick look-up, ``version`` never comes again.

    ``resident`` showed the table first, as far as it lives: it stays when whoever changed the table has ended.
    ``is_settled``: a program on a mount of its own was met in the namespace, so that the runtime had done its work.
    """

    mounts: tuple[Mount, ...]
    mnt_ids: frozenset[int]
    proc_mnt_ids: frozenset[int]
    root_id: int
    version: int
    read_ns: int
    is_building: bool
    resident: ProcessKey | None
    is_settled: bool


class _Judged(NamedTuple):
    """An executable with its layer, and which one and by which version of the table it was judged."""

    asked: Executable
    version: int
    judged: Executable


class ContainerMounts:
    """Knows the mount tables; tells each when it is new or has changed."""

    def __init__(
        self,
        reader: ProcessReader,
        registry: ContainerRegistry,
        host: HostBaseline,
        roots: Roots,
        emit: Callable[[Event], None],
        clock_ns: Callable[[], int],
    ) -> None:
        self._reader = reader
        self._registry = registry
        self._host = host
        self._roots = roots
        self._emit = emit
        self._clock_ns = clock_ns
        self._watch: MountWatch | None = None
        self._tables: dict[int, _Table] = {}
        self._namespace_of: dict[str, int] = {}  # by container id: the first one that is not the host's
        self._tasks_in: dict[int, int] = {}
        self._judged_executables: dict[tuple[str, int], _Judged] = {}
        self._built_ns: dict[int, int] = {}  # when its root was in place; outlives its tasks: a table may come late
        self._connections: dict[tuple[int | Unknown, int], Connection | None] = {}
        self._versions = itertools.count(1)

    def watch_with(self, mount_watch: MountWatch) -> None:
        """Have every mount namespace that is met watched from now on."""
        self._watch = mount_watch

    def watch(self, namespace: int, key: ProcessKey, container_id: str | None) -> None:
        """Name a process to the watch, which needs one that is alive."""
        if self._watch is not None:
            self._watch.watch(namespace, key, container_id)

    def own_namespace(self, process: Process) -> int | None:
        """The task's mount namespace unless it is the host's."""
        namespace = process.confinement.namespaces.mnt
        return namespace if isinstance(namespace, int) and namespace != self._host.namespaces.mnt else None

    def namespace_of(self, container_id: str) -> int | None:
        """The container's mount namespace, as far as one of its own was met."""
        return self._namespace_of.get(container_id)

    def taken(self, event: MountTable, read_ns: int, *, is_settled: bool = False) -> None:
        """Take a table in, and tell it if it is new or has changed; not one that was read too early to count.

        A container's first table that shows the host's root at ``/`` is the copy that the runtime has not left yet.
        """
        known = self._tables.get(event.mnt_namespace)
        root = _root_of(event.mounts)
        earliest_ns = self._built_ns.get(event.mnt_namespace, 0) if known is None else known.read_ns
        if root is None or is_earlier(read_ns, earliest_ns):
            return
        if known is None and event.container_id is not None and any(map(self._is_hosts_root, event.mounts)):
            return
        if known is not None:
            is_settled = known.is_settled = known.is_settled or is_settled
        if known is not None and known.mounts == event.mounts and known.is_building == event.is_building:
            known.read_ns = read_ns
            return
        if known is None and len(self._tables) >= MAX_TABLES:
            self._tables.pop(next(iter(self._tables)))
        mnt_ids = ids_of(event.mounts)
        proc_mnt_ids = frozenset(mount.mnt_id for mount in event.mounts if mount.fs_type == b"proc")
        self._tables[event.mnt_namespace] = _Table(
            event.mounts,
            mnt_ids,
            proc_mnt_ids,
            root.mnt_id,
            next(self._versions),
            read_ns,
            event.is_building,
            event.seen_by if known is None else known.resident,
            is_settled,
        )
        self._emit(event)

    def showing(self, places: Iterable[FsPlace] | None) -> frozenset[int]:
        """The mount namespaces in which a mount shows one of these places, something above it or something in it.

        All that are known where no places are named.
        """
        if places is None:
            return frozenset(self._tables)
        wanted: dict[int, list[bytes]] = {}
        for each in places:
            wanted.setdefault(each.device, []).append(each.path)
        return frozenset(
            namespace
            for namespace, table in self._tables.items()
            if any(
                is_within(path, mount.root) or is_within(mount.root, path)
                for mount in table.mounts
                for path in wanted.get(mount.device, ())
            )
        )

    def has_tasks(self, namespace: int) -> bool:
        """A task of a container is in that namespace."""
        return namespace in self._tasks_in

    def entered(self, namespace: int) -> None:
        """A task of a container is in a namespace."""
        self._tasks_in[namespace] = self._tasks_in.get(namespace, 0) + 1

    def left(self, namespace: int, at_ns: int) -> None:
        """A task is no longer in a namespace; with its last one the namespace ends."""
        self._tasks_in[namespace] -= 1
        if self._tasks_in[namespace] == 0:
            del self._tasks_in[namespace]
            self._tables.pop(namespace, None)
            self._emit(MountNamespaceGone(at_ns, namespace))

    def container_gone(self, container_id: str) -> None:
        """Nobody asks for the container's namespace any more."""
        self._namespace_of.pop(container_id, None)

    def built(self, process: Process, container_id: str, at_ns: int) -> None:
        """At that moment the runtime had put its new root in place of the old one: a table from before is forgotten.

        What is read now is the container's, though masks may be missing; where the process has ended, nothing is known.
        Not where others live in that namespace: it is no runtime's work then.
        """
        namespace = self.own_namespace(process)
        if namespace is None or self._tasks_in.get(namespace, 0) > 1:
            return
        self._table(process, namespace, container_id, at_ns, wanted=None, is_building=True)
        self._begins(namespace, at_ns)

    def _begins(self, namespace: int, at_ns: int) -> None:
        """What was or will be read of that namespace from before that moment is not the container's yet."""
        if namespace not in self._built_ns and len(self._built_ns) >= MAX_TABLES:
            self._built_ns.pop(next(iter(self._built_ns)))
        self._built_ns[namespace] = at_ns
        known = self._tables.get(namespace)
        if known is not None and known.read_ns < at_ns:
            del self._tables[namespace]
            self._emit(MountNamespaceGone(at_ns, namespace))

    def with_layer(self, process: Process, container_id: str, at_ns: int, *, is_table_old: bool) -> Process:
        """Judge where the executable comes from, by the container's mount table, which is read anew where it is old.

        It is old also when the task stands on a mount that it lacks: the task may have made it a moment ago.
        """
        executable = process.executable
        namespace = process.confinement.namespaces.mnt
        if isinstance(namespace, Unknown):
            return process
        place = executable.place if isinstance(executable, Executable) else executable
        stands_on = (place, process.confinement.root, process.confinement.cwd)
        wanted = None if is_table_old or isinstance(place, Unknown) else _mount_ids(stands_on)
        table = self._table(process, namespace, container_id, at_ns, wanted=wanted)
        if isinstance(executable, Unknown):
            return process
        return replace(process, executable=self._judged(executable, table, container_id))

    def with_notable_descriptors(self, process: Process) -> Process:
        """Keep the descriptors that somebody may have to judge (``collectors.notable``)."""
        namespace = process.confinement.namespaces.mnt
        table = self._tables.get(namespace) if isinstance(namespace, int) else None
        if table is None or isinstance(process.descriptors, Unknown):
            return process
        kept = tuple(
            each
            for each in process.descriptors
            if is_notable(each, self._host, mnt_ids=table.mnt_ids, proc_mnt_ids=table.proc_mnt_ids)
        )
        return replace(process, descriptors=kept + self._connected_streams(process))

    def _connected_streams(self, process: Process) -> tuple[Descriptor, ...]:
        """Standard streams that are one network connection; what a socket is, is asked once."""
        streams = shared_streams(process.descriptors)
        if not streams:
            return ()
        question = (process.confinement.namespaces.net, streams[0].place.file.inode)
        if question not in self._connections:
            if len(self._connections) >= MAX_CONNECTIONS:
                self._connections.clear()
            self._connections[question] = self._reader.read_connection(process.key.pid, question[1])
        connection = self._connections[question]
        return () if connection is None else tuple(replace(each, connection=connection) for each in streams)

    def _judged(self, executable: Executable, table: _Table | None, container_id: str) -> Executable:
        """With its layer, asked once for each program: the answer hangs on its file, its last change and the table."""
        version = table.version if table is not None else 0
        question = (container_id, id(executable))  # the reader shares equal ones, and to hash one costs more than all
        known = self._judged_executables.get(question)
        if known is not None and known.asked is executable and known.version == version:
            return known.judged
        container = self._registry.get(container_id)
        layer = layer_of(
            executable,
            table.mounts if table is not None else Unknown("not_read: no mount table"),
            host=self._host,
            roots=self._roots,
            container_started_ns=container.created_ns if container is not None else None,
        )
        if len(self._judged_executables) >= MAX_LAYERS:
            self._judged_executables.clear()
        judged = replace(executable, layer=layer)
        self._judged_executables[question] = _Judged(executable, version, judged)
        return judged

    def _table(
        self,
        process: Process,
        namespace: int,
        container_id: str,
        at_ns: int,
        *,
        wanted: frozenset[int] | None,
        is_building: bool = False,
    ) -> _Table | None:
        """The mount table to judge a process by: its own namespace's, or its container's when it is in the host's.

        ``wanted`` are mounts that it must have; ``None`` has it read anew.
        """
        is_host = namespace == self._host.namespaces.mnt
        if is_host and container_id in self._namespace_of:
            return self._tables.get(self._namespace_of[container_id])
        known = self._tables.get(namespace)
        if known is not None and wanted is not None and wanted <= known.mnt_ids:
            return known
        read_ns = self._clock_ns()
        mounts = self._read(process.key, namespace, known)
        if mounts is None:
            is_of_program = known is None or known.is_settled or known.is_building
            if wanted is None and not is_of_program and self._tasks_in.get(namespace, 0) <= 1:
                self._begins(namespace, at_ns)  # the program has ended already, and the table is its runtime's
            return self._tables.get(namespace)
        if not _is_whole(mounts, known) or (not is_host and self._stands_in_host_root(process)):
            return known
        if not is_host:
            self._namespace_of.setdefault(container_id, namespace)
        owner = None if is_host else container_id
        place = process.executable.place if isinstance(process.executable, Executable) else None
        is_settled = isinstance(place, Place) and any(mount.mnt_id == place.mnt_id for mount in mounts)
        event = MountTable(at_ns, namespace, owner, process.key, mounts, is_building=is_building)
        self.taken(event, read_ns, is_settled=is_settled)
        if known is not None and known.root_id != self._tables[namespace].root_id and self._watch is not None:
            self._watch.unwatch(namespace)  # it looks from the former root
            self._watch.watch(namespace, process.key, container_id)
        return self._tables.get(namespace)

    def _read(self, key: ProcessKey, namespace: int, known: _Table | None) -> tuple[Mount, ...] | None:
        """The table as it is now, through the task itself; through who showed it before where that has ended.

        What a task mounted and stood on may be there still when it is not (``mount_own_overlay`` of the live tests).
        """
        resident = known.resident if known is not None else None
        for each in (key,) if resident is None or resident == key else (key, resident):
            try:
                mounts = self._reader.read_mounts(each, namespace)
            except CollectorError:
                continue
            if known is not None and resident is None:
                known.resident = each
            return mounts
        if known is not None:
            known.resident = None
        return None

    def _is_hosts_root(self, mount: Mount) -> bool:
        """The row is the mount that is the host's ``/``; without the host's table, as far as the device tells."""
        if mount.point != b"/":
            return False
        host = self._host.namespaces.mnt
        table = self._tables.get(host) if isinstance(host, int) else None
        if table is not None:
            return any(
                each.mnt_id == table.root_id and (each.device, each.root) == (mount.device, mount.root)
                for each in table.mounts
            )
        root = self._host.root
        return not isinstance(root, Unknown) and (mount.device, mount.root) == (root.device, b"/")

    def _stands_in_host_root(self, process: Process) -> bool:
        """A process that was chrooted into a mounted host's ``/`` shows that as the root of its table."""
        root = process.confinement.root
        return not isinstance(root, Unknown) and root.file == self._host.root


def _mount_ids(places: Iterable[Place | Unknown]) -> frozenset[int]:
    return frozenset(each.mnt_id for each in places if isinstance(each, Place))


def _root_of(mounts: tuple[Mount, ...]) -> Mount | None:
    return next((mount for mount in mounts if mount.point == b"/"), None)


def _is_whole(mounts: tuple[Mount, ...], known: _Table | None) -> bool:
    """The table was read through a process at the root of its mount namespace, as far as the table can tell.

    After chroot(2) into a directory there is no row for ``/``; after a chroot onto a mount point that mount is the row,
    and its parent one of the mounts known before.
    """
    root = _root_of(mounts)
    if root is None:
        return False
    return known is None or root.mnt_id == known.root_id or root.parent_id not in known.mnt_ids
