"""The numbers that stat(2) shows of a file, where they are not those of its inode (btrfs, overlayfs).

The kernel's programs see the inode; /proc shows what stat(2) does. The two are compared whenever a task is looked at in
both ways. Between the two looks it may have gone elsewhere, so what is known is given up only when it is contradicted
twice in a row by the same numbers (``test_a_task_that_went_elsewhere_renumbers_nothing``).

Concurrency: learned by the sweep's thread, read by any. Bounded: a full table is begun anew.
"""

from __future__ import annotations

from collectors.facts import FileId

MAX_FILES = 8192


class FileNumbers:
    """From (device, inode) of the kernel to those of stat(2)."""

    def __init__(self, limit: int = MAX_FILES) -> None:
        self._limit = limit
        self._shown: dict[FileId, FileId] = {}
        self._doubted: dict[FileId, FileId] = {}

    def shown(self, file: FileId) -> FileId:
        """As stat(2) shows it; the same numbers where nothing else is known."""
        return self._shown.get(file, file)

    def compare(self, inode: FileId, shown: FileId) -> None:
        """A task held ``inode`` when the kernel told, and ``shown`` when /proc was read a moment later."""
        known = self._shown.get(inode)
        if known == shown:
            self._doubted.pop(inode, None)
        elif known is None or self._doubted.get(inode) == shown:
            if len(self._shown) >= self._limit:
                self._shown.clear()
            self._shown[inode] = shown
            self._doubted.pop(inode, None)
        else:
            if len(self._doubted) >= self._limit:
                self._doubted.clear()
            self._doubted[inode] = shown
