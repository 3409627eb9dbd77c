"""Which task, which file, which place in the node's tree; and that it could not be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Unknown:
    """A fact that could not be had, with the reason; never equal to a fact, never wider or narrower than one.

    ``why`` starts with the kind of the error (``denied``, ``gone``, ``malformed``, ``too_large``,
    ``unsupported``) or with ``not_read`` where nobody looked.
    """

    why: str


NOT_READ = Unknown("not_read")


class ProcessKey(NamedTuple):
    """The identity of a task: its thread id in the host's pid namespace and its start, in clock ticks since boot.

    A pid alone is never an identity. For a process this is the thread group leader's id.
    """

    pid: int
    start_ticks: int


class FileId(NamedTuple):
    """The identity of a file: ``st_dev`` and ``st_ino``. A path is only evidence."""

    device: int
    inode: int


class Place(NamedTuple):
    """Where a directory or file descriptor stands: which file, and on which mount (``mnt_id``)."""

    file: FileId
    mnt_id: int
