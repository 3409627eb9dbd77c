"""Keeps the kernel's table of watched objects in step with the host's files (``collectors.object_table``).

Each object is handed to a program that notes what the kernel itself calls it (``kernel/watched.h``). Its place in our
own list is the number that comes back with an event.

Concurrency: ``look`` and ``use`` belong to the sweep's thread; ``objects`` is asked by the sensor's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from collectors.ebpf.libbpf import BpfObject
from collectors.errors import CollectorError
from collectors.object_table import ObjectTable
from collectors.watched_objects import Pattern, opened

_REQUEST = struct.Struct("<4Q")
_ROOT = 16  # WATCH_ROOT


class ObjectWatch(ObjectTable):
    """See the module's docstring. ``host_mnt`` is the host's mount namespace, 0 where it is not known."""

    def __init__(self, patterns: Iterable[Pattern], root: str, host_mnt: int, *, clock_ns: Callable[[], int]) -> None:
        super().__init__(patterns, root, clock_ns=clock_ns)
        self._host_mnt = host_mnt

    def look(self, programs: BpfObject) -> None:
        """Note what is new or was replaced since the last look."""
        self.follow(
            lambda found: self._hand_over(programs, found.fd, found.number, self.flags(found.number)),
            lambda: self._note_root(programs),
        )

    def _note_root(self, programs: BpfObject) -> None:
        try:
            with opened(self._root, "/") as fd:
                self._hand_over(programs, fd, 0, _ROOT)
        except CollectorError:
            return

    def _hand_over(self, programs: BpfObject, fd: int, index: int, flags: int) -> None:
        programs.run("watch", _REQUEST.pack(fd, index, flags, self._host_mnt))
