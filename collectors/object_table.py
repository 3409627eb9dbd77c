"""Keeps a list of watched objects in step with the host's files, for whoever notes them with the kernel.

Each object is opened (``O_PATH``: nothing is read) and handed over with the number that stands for it in our own list.
A file that was replaced (another inode under the same path) is handed over anew at the next ``look``; every
``EXPAND_SECONDS`` all patterns are expanded and everything is.

Concurrency: ``follow`` and ``use`` belong to one thread; ``objects`` and ``flags`` may be asked by another. A number is
never given twice, so what it means is looked up in one step. Bounded: objects, names in a directory, and the numbers of
``MAX_FORMER`` files that are no more (tokens of pods come and go for ever).
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Callable, Iterable
from typing import NamedTuple

from collectors.errors import CollectorError
from collectors.events import Watched
from collectors.hosttree import open_below
from collectors.watched_objects import MAX_OBJECTS, Pattern, Watch, expand

EXPAND_SECONDS = 30
MAX_FORMER = MAX_OBJECTS
_OWN_ROOT = "/"
_Identity = tuple[int, int, int]


class Where(NamedTuple):
    """A path, and the root below which it is meant."""

    root: str
    path: str


class Opened(NamedTuple):
    """An object that is handed over. ``fd`` is closed afterwards; ``path`` is the one that it really has."""

    fd: int
    number: int
    where: Where
    path: bytes
    status: os.stat_result


class ObjectTable:
    """See the module's docstring. ``root`` is where the host's ``/`` is seen."""

    def __init__(self, patterns: Iterable[Pattern], root: str, *, clock_ns: Callable[[], int]) -> None:
        self.counts = {"objects": 0, "missing": 0, "beyond_limit": 0}
        self._patterns = tuple(patterns)
        self._beside: tuple[Pattern, ...] = ()
        self._root = root
        self._clock_ns = clock_ns
        self._expanded_ns: int | None = None
        self._known: dict[Where, _Identity] = {}
        self._wanted: dict[Where, tuple[Watch, tuple[Watched, ...]]] = {}
        self._index_of: dict[_Identity, int] = {}
        self._numbers = itertools.count(1)  # 0 is none
        self._objects: dict[int, tuple[Watched, ...]] = {}
        self._flags: dict[int, Watch] = {}
        self._noted: dict[int, tuple[Watch, tuple[Watched, ...]]] = {}  # since all was noted anew

    def objects(self, index: int) -> tuple[Watched, ...]:
        """What the object of a number is, of each kind that it is; empty for a number that was never given."""
        return self._objects.get(index, ())

    def flags(self, index: int) -> Watch:
        """What is to be told of the object of a number; nothing of one that is forgotten."""
        return self._flags.get(index, Watch(0))

    def use(self, patterns: Iterable[Pattern]) -> None:
        """Watch these beside those that it was made with, from the next look on; in place of what this said before.

        An object that is wanted no more stays noted as long as there is room: a place that was trusted once is told
        once too often rather than not at all.
        """
        wanted = tuple(patterns)
        if wanted != self._beside:
            self._beside = wanted
            self._expanded_ns = None

    def follow(self, note: Callable[[Opened], None], begin: Callable[[], None]) -> None:
        """Hand over what is new or was replaced since the last time; ``begin`` comes first where all is noted anew."""
        now_ns = self._clock_ns()
        is_due = self._expanded_ns is None or now_ns - self._expanded_ns >= EXPAND_SECONDS * 1_000_000_000
        if is_due:
            self._expanded_ns = now_ns
            begin()
            self._wanted = self._expand()
            self._known.clear()
            self._noted.clear()
        for where, (watch, objects) in self._wanted.items():
            self._look_at(note, where, watch, objects)
        if is_due:
            self._settle()
            self.counts["objects"] = len(self._known)
            self.counts["missing"] = len(self._wanted) - len(self._known)

    def _expand(self) -> dict[Where, tuple[Watch, tuple[Watched, ...]]]:
        """Every path that the patterns name now, with all that it is."""
        wanted: dict[Where, tuple[Watch, tuple[Watched, ...]]] = {}
        for pattern in (*self._beside, *self._patterns):
            root = _OWN_ROOT if pattern.is_own else self._root
            for each in expand(root, pattern):
                where = Where(root, each.path)
                watch, objects = wanted.get(where, (Watch(0), ()))
                if not objects and len(wanted) >= MAX_OBJECTS:
                    self.counts["beyond_limit"] += 1
                    continue
                wanted[where] = (watch | pattern.watch, (*objects, each))
        return wanted

    def _look_at(
        self, note: Callable[[Opened], None], where: Where, watch: Watch, objects: tuple[Watched, ...]
    ) -> None:
        """Note an object if it is another file than it was."""
        try:
            shown = os.stat(f"{where.root}{where.path}", follow_symlinks=False)
        except OSError:
            self._known.pop(where, None)
            return
        seen = (shown.st_dev, shown.st_ino, shown.st_ctime_ns if stat.S_ISLNK(shown.st_mode) else 0)
        if self._known.get(where) == seen:
            return
        try:
            with open_below(where.root, os.fsencode(where.path), follow_links=True) as (fd, path):
                real = os.fstat(fd)
                index = self._index((real.st_dev, real.st_ino, 0), watch, objects)
                note(Opened(fd, index, where, path, real))
        except CollectorError:
            return
        self._known[where] = seen

    def _index(self, identity: _Identity, watch: Watch, objects: tuple[Watched, ...]) -> int:
        """The number of a file; under two paths it is one object, and all that both of them are."""
        index = self._index_of.get(identity)
        if index is None:
            index = self._index_of[identity] = next(self._numbers)
        noted_watch, noted = self._noted.get(index, (Watch(0), ()))
        self._noted[index] = noted_watch | watch, tuple(dict.fromkeys((*noted, *objects)))
        self._objects[index] = tuple(dict.fromkeys((*self._objects.get(index, ()), *objects)))
        self._flags[index] = self._flags.get(index, Watch(0)) | watch
        return index

    def _settle(self) -> None:
        """All was noted anew: what a file was before (its inode's number may be another's now) it is no more."""
        for index, (watch, objects) in self._noted.items():
            self._objects[index], self._flags[index] = objects, watch
        former = [identity for identity, index in self._index_of.items() if index not in self._noted]
        for identity in former[: max(0, len(former) - MAX_FORMER)]:
            index = self._index_of.pop(identity)
            del self._objects[index], self._flags[index]
