"""The mount tables of containers, as the observer meets them, and what they say of a process.

A table is told (``MountTable``) before the process that was judged by it. It is read through a process that stands at
the root of its mount namespace: the kernel shows it from the reader's root on, so a chroot shows a cut one. Tables are
kept by the namespace's inode, and forgotten with the last task in it, because the kernel soon gives that inode to
another namespace (``test_namespace_that_got_an_inode_again_has_no_past``).

Owned by the observer and called under its lock. Bounded: ``MAX_TABLES`` tables and ``MAX_LAYERS`` judged programs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

from collectors.containers.registry import ContainerRegistry
from collectors.errors import CollectorError
from collectors.events import Event, MountNamespaceGone, MountTable
from collectors.facts import (
    Descriptor,
    DescriptorKind,
    Executable,
    HostBaseline,
    Layer,
    Mount,
    Process,
    ProcessKey,
    Unknown,
)
from collectors.host import Roots
from collectors.layers import layer_of
from collectors.mountwatch import MountWatch
from collectors.proc.process import ProcessReader

MAX_TABLES = 4096
MAX_LAYERS = 8192


@dataclass(slots=True, eq=False)
class _Table:
    """The last table of a namespace; ``mnt_ids`` for a quick look-up, ``version`` never comes again."""

    mounts: tuple[Mount, ...]
    mnt_ids: frozenset[int]
    root_id: int | None
    version: int


class ContainerMounts:
    """Knows the mount tables; tells each when it is new or has changed."""

    def __init__(
        self,
        reader: ProcessReader,
        registry: ContainerRegistry,
        host: HostBaseline,
        roots: Roots,
        emit: Callable[[Event], None],
    ) -> None:
        self._reader = reader
        self._registry = registry
        self._host = host
        self._roots = roots
        self._emit = emit
        self._watch: MountWatch | None = None
        self._tables: dict[int, _Table] = {}
        self._namespace_of: dict[str, int] = {}  # by container id: the first one that is not the host's
        self._tasks_in: dict[int, int] = {}
        self._layers: dict[tuple[str, Executable, int], Layer | Unknown] = {}
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

    def taken(self, event: MountTable) -> None:
        """Take a table in, and tell it if it is new or has changed."""
        known = self._tables.get(event.mnt_namespace)
        if known is not None and known.mounts == event.mounts:
            return
        if known is None and len(self._tables) >= MAX_TABLES:
            self._tables.pop(next(iter(self._tables)))
        mnt_ids = frozenset(mount.mnt_id for mount in event.mounts)
        root = _root_of(event.mounts)
        self._tables[event.mnt_namespace] = _Table(
            event.mounts, mnt_ids, root.mnt_id if root is not None else None, next(self._versions)
        )
        self._emit(event)

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

    def with_layer(self, process: Process, container_id: str, at_ns: int, *, is_table_old: bool) -> Process:
        """Judge where the executable comes from, by the container's mount table, which is read anew where it is old."""
        executable = process.executable
        namespace = process.confinement.namespaces.mnt
        if isinstance(namespace, Unknown):
            return process
        place = executable.place if isinstance(executable, Executable) else executable
        wanted = None if is_table_old or isinstance(place, Unknown) else place.mnt_id
        table = self._table(process, namespace, container_id, at_ns, wanted=wanted)
        if isinstance(executable, Unknown):
            return process
        return replace(process, executable=replace(executable, layer=self._layer(executable, table, container_id)))

    def with_notable_descriptors(self, process: Process) -> Process:
        """Keep the descriptors that stand outside the task's mount table, and those of namespaces and block devices.

        A busy server opens and closes its own files and sockets all the time; those are nobody's business.
        """
        namespace = process.confinement.namespaces.mnt
        table = self._tables.get(namespace) if isinstance(namespace, int) else None
        if table is None or isinstance(process.descriptors, Unknown):
            return process
        kept = tuple(each for each in process.descriptors if self._is_notable(each, table))
        return replace(process, descriptors=kept)

    def _is_notable(self, descriptor: Descriptor, table: _Table) -> bool:
        if descriptor.kind in (DescriptorKind.NAMESPACE, DescriptorKind.BLOCK_DEVICE):
            return True
        if descriptor.kind not in (DescriptorKind.DIRECTORY, DescriptorKind.FILE):
            return False
        place = descriptor.place
        return place.mnt_id not in table.mnt_ids and place.file.device not in self._host.internal_devices

    def _layer(self, executable: Executable, table: _Table | None, container_id: str) -> Layer | Unknown:
        """Asked once for each program of a container: the answer hangs on its file, its last change and the table."""
        question = (container_id, executable, table.version if table is not None else 0)
        known = self._layers.get(question)
        if known is not None:
            return known
        container = self._registry.get(container_id)
        layer = layer_of(
            executable,
            table.mounts if table is not None else Unknown("not_read: no mount table"),
            host=self._host,
            roots=self._roots,
            container_started_ns=container.created_ns if container is not None else None,
        )
        if len(self._layers) >= MAX_LAYERS:
            self._layers.clear()
        self._layers[question] = layer
        return layer

    def _table(
        self, process: Process, namespace: int, container_id: str, at_ns: int, *, wanted: int | None
    ) -> _Table | None:
        """The mount table to judge a process by: its own namespace's, or its container's when it is in the host's.

        ``wanted`` is a mount that it must have; ``None`` has it read anew.
        """
        is_host = namespace == self._host.namespaces.mnt
        if is_host and container_id in self._namespace_of:
            return self._tables.get(self._namespace_of[container_id])
        known = self._tables.get(namespace)
        if known is not None and wanted is not None and wanted in known.mnt_ids:
            return known
        try:
            mounts = self._reader.read_mounts(process.key.pid)
        except CollectorError:
            return known
        if not _is_whole(mounts, known) or (not is_host and self._stands_in_host_root(process)):
            return known
        if not is_host:
            self._namespace_of.setdefault(container_id, namespace)
        self.taken(MountTable(at_ns, namespace, None if is_host else container_id, process.key, mounts))
        return self._tables.get(namespace)

    def _stands_in_host_root(self, process: Process) -> bool:
        """A process that was chrooted into a mounted host's ``/`` shows that as the root of its table."""
        root = process.confinement.root
        return not isinstance(root, Unknown) and root.file == self._host.root


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
