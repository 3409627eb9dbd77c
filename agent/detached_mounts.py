"""Mounts that containers made and no table has yet: told again, as left, when none has taken them a while later.

mount(8) makes a mount detached and attaches it at once; then the attached one is what there is to judge. Who keeps it
detached reads the files by its descriptor alone, and no table will ever show it. Owned by the node's state, fed with
its events; time is that of the events. Bounded: the oldest is told when there is no more room.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from collectors.events import MountMade, Standing

MAX_DETACHED = 256
ATTACHED_WITHIN_NS = 200_000_000


class DetachedMounts:
    """By the id that a mount keeps when it is attached."""

    def __init__(self, limit: int = MAX_DETACHED) -> None:
        self._limit = limit
        self._waiting: dict[int, MountMade] = {}

    def made(self, event: MountMade, container_id: str) -> MountMade | None:
        """Take in a mount of a container's process; the oldest, as left, where that one has to make room."""
        self._waiting.pop(event.mount.mnt_id, None)
        if event.standing is not Standing.DETACHED:
            return None
        self._waiting[event.mount.mnt_id] = replace(event, container_id=container_id)
        return self._left(next(iter(self._waiting))) if len(self._waiting) > self._limit else None

    def attached(self, mnt_ids: Collection[int]) -> None:
        """A table has these."""
        for mnt_id in [each for each in self._waiting if each in mnt_ids]:
            del self._waiting[mnt_id]

    def left(self, now_ns: int) -> tuple[MountMade, ...]:
        """Those that nothing has taken in time; each once."""
        due = [key for key, each in self._waiting.items() if now_ns - each.at_ns >= ATTACHED_WITHIN_NS]
        return tuple(map(self._left, due))

    def _left(self, mnt_id: int) -> MountMade:
        return replace(self._waiting.pop(mnt_id), standing=Standing.LEFT)
