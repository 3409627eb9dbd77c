"""Names for cgroup ids, so that a task's cgroups can be told when the task is gone before we look.

Two sources: the kernel tells the path of each cgroup when it is made, and every living process shows paths in
``/proc/PID/cgroup`` beside the ids that the kernel gave us for it. Thread-safe. Bounded: the oldest name goes.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from collectors.ebpf.records import CgroupKey
from collectors.facts import CgroupMembership, Unknown

MAX_NAMES = 65_536


class CgroupNames:
    """(hierarchy, id) to path, and the hierarchies in the order in which ``/proc/PID/cgroup`` lists them."""

    def __init__(self, limit: int = MAX_NAMES) -> None:
        self._limit = limit
        self._paths: dict[CgroupKey, bytes] = {}
        self._layout: tuple[tuple[int, bytes], ...] = ()
        self._shared: dict[tuple[CgroupKey, ...], tuple[CgroupMembership, ...]] = {}
        self._lock = threading.Lock()

    def made(self, cgroup: CgroupKey, path: bytes) -> None:
        """A cgroup was made; an id that was another's is this one's now."""
        with self._lock:
            self._put(cgroup, path)

    def learn(self, keys: Sequence[CgroupKey], memberships: tuple[CgroupMembership, ...] | Unknown) -> None:
        """What a living process showed for these ids."""
        if isinstance(memberships, Unknown):
            return
        ids = {key.hierarchy: key for key in keys}
        with self._lock:
            self._layout = tuple((line.hierarchy, line.controllers) for line in memberships)
            for line in memberships:
                if (key := ids.get(line.hierarchy)) is not None and self._paths.get(key) != line.path:
                    self._put(key, line.path)

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
                lines.append(CgroupMembership(hierarchy, controllers, path))
            if not lines:
                return Unknown("not_read: no cgroup has been named yet")
            if len(self._shared) >= self._limit:
                self._shared.clear()
            self._shared[keys] = tuple(lines)
            return self._shared[keys]

    def _put(self, key: CgroupKey, path: bytes) -> None:
        if self._paths.pop(key, None) is not None:
            self._shared.clear()
        elif len(self._paths) >= self._limit:
            del self._paths[next(iter(self._paths))]
        self._paths[key] = path
