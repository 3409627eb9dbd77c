"""Whose a process is by its cgroups: ids in paths (``ids``), and the cgroups that runtimes wrote down for containers.

Not thread-safe, except ``cached``: the registry has the lock. Bounded: the cache of paths is emptied when it is full.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from collectors.containers.ids import CgroupId, parse_path
from collectors.facts import CgroupMembership, Container

MAX_PATHS = 16_384


@dataclass(frozen=True, slots=True)
class Reference:
    """A container as the cgroups of a process name it; ``prefixes`` are its cgroups, none when it was found on disk."""

    id: str
    runtime: str
    pod_uid: str | None = None
    prefixes: frozenset[bytes] = frozenset()


class CgroupOwners:
    """Remembers which cgroup is whose; ``emptied`` counts how often the cache was full."""

    def __init__(self, max_paths: int = MAX_PATHS) -> None:
        self._max_paths = max_paths
        self._known: dict[bytes, CgroupId] = {}
        # Replaced when something in it is no longer so, never emptied: `cached` reads it from any thread.
        self._paths: dict[bytes, CgroupId | None] = {}
        self.emptied = 0

    def cached(self, cgroups: Iterable[CgroupMembership]) -> str | Unanswered | None:
        """The owner's id where every path was asked before and they agree; safe from any thread, without a lock."""
        last: bytes | None = None
        only: str | None = None
        paths = self._paths
        for line in cgroups:
            path = line.path
            if path in (last, b"/"):
                continue
            last = path
            try:
                found = paths[path]
            except KeyError:
                return UNANSWERED
            if found is not None:
                if only is not None and only != found.id:
                    return UNANSWERED
                only = found.id
        return only

    def refer(self, cgroups: Iterable[CgroupMembership]) -> Reference | None:
        """The container that most hierarchies name (a tie goes to cgroup v2), ``None`` for a process of the host."""
        votes: dict[str, tuple[int, bool, list[CgroupId]]] = {}
        for line in cgroups:
            found = self._refer_path(line.path)
            if found is not None:
                count, is_v2, all_found = votes.get(found.id, (0, False, []))
                votes[found.id] = count + 1, is_v2 or line.hierarchy == 0, [*all_found, found]
        if not votes:
            return None
        _, _, best = max(votes.values(), key=lambda vote: vote[:2])
        return Reference(best[0].id, best[0].runtime, best[0].pod_uid, frozenset(each.prefix for each in best))

    def learn(self, container: Container) -> None:
        """Takes the container's cgroups for its own, where their names alone do not say it."""
        new = [path for path in container.cgroup_paths if path not in self._known and not parse_path(path)]
        for path in new:
            self._known[path] = CgroupId(container.id, container.runtime, None, path)
        if new:
            self._paths = {}

    def forget(self, container_id: str) -> None:
        """The container is gone."""
        paths = [path for path, known in self._known.items() if known.id == container_id]
        for path in paths:
            del self._known[path]
        if paths:
            self._paths = {}

    def _refer_path(self, path: bytes) -> CgroupId | None:
        if path in self._paths:
            return self._paths[path]
        ids = parse_path(path)
        found = self._outermost_known(path, ids[0] if ids else None) if self._known else (ids[0] if ids else None)
        if len(self._paths) >= self._max_paths:
            self._paths = {}
            self.emptied += 1
        self._paths[path] = found
        return found

    def _outermost_known(self, path: bytes, outermost: CgroupId | None) -> CgroupId | None:
        """What owns an ancestor of ``path`` further out than ``outermost``, else that."""
        end = 0
        while end >= 0:
            end = path.find(b"/", end + 1)
            prefix = path if end < 0 else path[:end]
            if outermost is not None and len(prefix) >= len(outermost.prefix):
                break
            if prefix in self._known:
                return self._known[prefix]
        return outermost


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The cache does not know: ask ``refer``."""


UNANSWERED = Unanswered()
