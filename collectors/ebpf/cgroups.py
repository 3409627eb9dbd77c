"""Names for cgroup ids, so that a task's cgroups can be told when the task is gone before we look.

Only the kernel names them: each when it is made, and those that were there before by a pass over all tasks. What
``/proc/PID/cgroup`` shows is no name for the ids of a record, because a runtime's process moves from cgroup to cgroup
(``test_a_task_that_moved_names_nothing``); it tells only which hierarchies there are, and where we stand ourselves: a
reader in a cgroup namespace of its own is shown paths from there. Thread-safe. Bounded: the oldest name goes.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from collectors.ebpf.records import CgroupKey
from collectors.facts import CgroupMembership, Unknown

MAX_NAMES = 65_536


class CgroupNames:
    """(hierarchy, id) to path, and the hierarchies in the order in which ``/proc/PID/cgroup`` lists them.

    ``renames`` counts the names that were others before: whose tasks are elsewhere now without having moved.
    """

    def __init__(self, limit: int = MAX_NAMES) -> None:
        self.renames = 0
        self._limit = limit
        self._paths: dict[CgroupKey, bytes] = {}
        self._layout: tuple[tuple[int, bytes], ...] = ()
        self._roots: dict[int, bytes] = {}
        self._shared: dict[tuple[CgroupKey, ...], tuple[CgroupMembership, ...]] = {}
        self._lock = threading.Lock()

    def made(self, cgroup: CgroupKey, path: bytes) -> None:
        """The kernel says what a cgroup is called, from its hierarchy's root on; the id may have been another's."""
        with self._lock:
            before = self._paths.get(cgroup)
            if before == path:
                return
            if before is not None:
                self._rename(cgroup, before, path)
            elif len(self._paths) >= self._limit:
                del self._paths[next(iter(self._paths))]
            self._paths[cgroup] = path

    def _rename(self, cgroup: CgroupKey, before: bytes, path: bytes) -> None:
        """What is below bears the new name as well, and keeps its age."""
        self.renames += 1
        self._shared.clear()
        for each, its in self._paths.items():
            if each.hierarchy == cgroup.hierarchy and its.startswith(before + b"/"):
                self._paths[each] = path + its[len(before) :]
        del self._paths[cgroup]

    def lay_out(self, memberships: tuple[CgroupMembership, ...] | Unknown) -> None:
        """Take from what any task shows which hierarchies there are."""
        if isinstance(memberships, Unknown):
            return
        layout = tuple((line.hierarchy, line.controllers) for line in memberships)
        if layout != self._layout:
            with self._lock:
                self._layout = layout
                self._shared.clear()

    def stand_at(self, keys: Sequence[CgroupKey], memberships: tuple[CgroupMembership, ...] | Unknown) -> None:
        """Our own cgroups, by id and as we are shown them: where the paths that we are shown begin."""
        if isinstance(memberships, Unknown):
            return
        ids = {key.hierarchy: key for key in keys}
        roots = {}
        with self._lock:
            for line in memberships:
                path = self._paths.get(ids.get(line.hierarchy, CgroupKey(-1, 0)))
                if path is not None and (root := _root(path, line.path)):
                    roots[line.hierarchy] = root
            if roots != self._roots:
                self._roots = roots
                self._shared.clear()

    def resolve(self, keys: tuple[CgroupKey, ...]) -> tuple[CgroupMembership, ...] | Unknown:
        """The cgroups as ``/proc/PID/cgroup`` would list them."""
        known = self._shared.get(keys)
        if known is not None:
            return known
        with self._lock:
            ids = {key.hierarchy: key for key in keys}
            lines = []
            for hierarchy, controllers in self._layout:
                path = self._paths.get(ids.get(hierarchy, CgroupKey(-1, 0)))
                if path is None:
                    return Unknown("gone: proc/cgroup")
                lines.append(
                    CgroupMembership(hierarchy, controllers, _seen_from(self._roots.get(hierarchy, b""), path))
                )
            if not lines:
                return Unknown("not_read: the hierarchies are not known yet")
            if len(self._shared) >= self._limit:
                self._shared.clear()
            self._shared[keys] = tuple(lines)
            return self._shared[keys]


def _root(path: bytes, shown: bytes) -> bytes:
    """The root of the cgroup namespace in which ``path`` is shown so; empty where that is the hierarchy's."""
    if shown == b"/":
        return path.rstrip(b"/")
    return path.removesuffix(shown) if path.endswith(shown) else b""


def _seen_from(root: bytes, path: bytes) -> bytes:
    """The path as a reader in a cgroup namespace is shown it (kernfs_path_from_node in ``fs/kernfs/dir.c``)."""
    if not root:
        return path
    ours, theirs = root.split(b"/")[1:], [part for part in path.split(b"/")[1:] if part]
    common = 0
    while common < min(len(ours), len(theirs)) and ours[common] == theirs[common]:
        common += 1
    up = b"/.." * (len(ours) - common)
    return up + b"".join(b"/" + part for part in theirs[common:]) or b"/"
