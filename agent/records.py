"""What is remembered of a task, of a container and of a mount table."""

from __future__ import annotations

from dataclasses import dataclass, field

from collectors.events import MountTable
from collectors.facts import Container, Mount, Process, ProcessKey
from collectors.mount_tables import ids_of

MAX_ANCESTORS = 16
MAX_MOUNT_IDS_EVER = 65_536


@dataclass(slots=True, eq=False)
class Record:
    """One live task, and what we remember of it. ``entry`` is ``None`` while it is becoming a container."""

    process: Process
    parent: Record | None
    container_id: str | None = None
    by_lineage: bool = False
    entry: Process | None = None
    previous: Process | None = None


@dataclass(slots=True, eq=False)
class ContainerState:
    """A container and what was seen of it. ``first`` is its first process as it was when it entered."""

    container: Container
    first: Process | None = None
    mounts_at_start: tuple[Mount, ...] | None = None
    live: dict[ProcessKey, None] = field(default_factory=dict)  # a set, at a third of the memory
    is_gone: bool = False


@dataclass(slots=True, eq=False)
class MountState:
    """The mount table of one namespace, the one before it, and every mount id that was ever in it."""

    event: MountTable
    before: tuple[Mount, ...] | None
    ids: frozenset[int]
    ids_ever: frozenset[int]

    def became(self, event: MountTable) -> None:
        """The table is another now."""
        self.before, self.event, self.ids = self.event.mounts, event, ids_of(event.mounts)
        if len(self.ids_ever) < MAX_MOUNT_IDS_EVER:
            self.ids_ever |= self.ids


def is_the_same(process: Process, before: Process) -> bool:
    """Nothing that is compared with what was before has changed, so there is no need to keep that too."""
    return (
        process.image_mark == before.image_mark
        and process.confinement == before.confinement
        and process.executable == before.executable
    )


def trim(record: Record) -> None:
    """Cut the chain of parents behind the sixteenth, so that a program that forks for ever holds no endless chain."""
    ancestor: Record | None = record
    for _ in range(MAX_ANCESTORS):
        ancestor = ancestor.parent if ancestor is not None else None
    if ancestor is not None:
        ancestor.parent = None
