"""The watched objects of the host that the kernel tells us of (``collectors.inotify``), kept in step with its files.

An honest host changes its files too. So an object about which somebody was looked for is not listened to for a while:
50 ms, or 20 times what the look took of CPU; doubled, up to half a second, while it goes on and no container holds it.

Watches are of a budget that everybody with our uid on the node shares (``fs.inotify.max_user_watches``): no more than
an eighth of it is taken, and by directories below the watched ones no more than half of that. What there is no room for
is counted. Where inotify is refused the objects are known all the same.

Owned by one thread. Bounded: watches, names in a batch, entries of a directory, and how deep it is gone into one.
"""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from collectors import inotify
from collectors.bounded import read_bounded
from collectors.errors import CollectorError, TooLarge
from collectors.facts import FileId, Mount
from collectors.held_files import WatchedFile
from collectors.host import Roots, read_host_mounts
from collectors.hosttree import directories_below, open_below
from collectors.inotify import Happening, Inotify
from collectors.mount_tables import FsPlace, place_of
from collectors.object_table import ObjectTable, Opened
from collectors.statx import read_file_status
from collectors.watched_objects import Pattern, Watch

MAX_WATCHES = 4096
SHARE = 8  # of the watches that our uid may have
FOLLOW_SECONDS = 10.0
FOLLOW_SOON_SECONDS = 2.0  # after something that may have replaced an object
LEAST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.5
BUSY_SHARE = 4  # what comes again within so much of its pause goes on
PAUSE_PER_COST = 20
MAX_NAMES = 256
MAX_DEPTH = 8  # MAX_DIRECTORIES_UP of the eBPF programs
_MAX_ENTRIES = 4096
_MAX_VALUE_BYTES = 64
_AT_FDCWD = -100
_REPLACED = inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.UNMOUNT | inotify.ATTRIB
_NEW = inotify.CREATE | inotify.MOVED_TO


@dataclass(slots=True)
class Counters:
    """What was watched and found; written by the thread, readable from any."""

    watches: int = 0
    refused: int = 0  # watches, and instances, for which there was no room, each time that they were wanted
    failed: int = 0  # objects that could not be placed, or that may not be watched
    events: int = 0
    overruns: int = 0  # times that the kernel's queue was full
    looks: int = 0  # at the descriptors of tasks
    found: int = 0  # tasks of containers that held what was looked for


class _Below(NamedTuple):
    """A directory below a watched one, that is to be watched too."""

    root: str
    path: bytes
    number: int
    mnt_id: int
    depth: int


@dataclass(slots=True, eq=False)
class ListenedTo:
    """An object. ``named`` is how it is found again, ``path`` its real path; ``watch`` is the kernel's number.

    ``due`` is when it is listened to again, ``None`` while it is; ``since`` when that began. ``names`` are the entries
    of a directory that were touched.
    """

    root: str
    named: bytes
    path: bytes
    number: int
    flags: Watch
    file: FileId
    place: FsPlace
    mnt_id: int
    is_directory: bool
    depth: int = 0
    watch: int | None = None
    due: float | None = None
    since: float = 0.0
    pause: float = 0.0
    names: set[bytes] = field(default_factory=set)

    def entry(self, name: bytes) -> bytes:
        """The path of an entry of the directory that it is."""
        return self.path.rstrip(b"/") + b"/" + name


def watch_limit(proc: str) -> int:
    """How many watches may be taken here; 0 where the kernel knows no inotify."""
    try:
        data = read_bounded(f"{proc}/sys/fs/inotify/max_user_watches", _MAX_VALUE_BYTES, source=inotify.SOURCE)
        return min(MAX_WATCHES, int(data) // SHARE)
    except (CollectorError, ValueError):
        return 0


class Listening:
    """See the module's docstring. ``files`` are the watched files by identity; replaced whole when they change.

    ``touched`` are the objects to which something happened, ``is_all_touched`` that we do not know to which: who takes
    them up empties both.
    """

    def __init__(
        self,
        patterns: Iterable[Pattern],
        roots: Roots,
        counters: Counters,
        *,
        limit: int,
        monotonic: Callable[[], float],
    ) -> None:
        self.files: dict[FileId, tuple[WatchedFile, ...]] = {}
        self.touched: set[ListenedTo] = set()
        self.is_all_touched = False
        self._counters = counters
        self._roots = roots
        self._limit = limit
        self._monotonic = monotonic
        self._table = ObjectTable(patterns, roots.host, clock_ns=time.monotonic_ns)
        self._mounts: dict[int, Mount] = {}
        self._by_file: dict[FileId, ListenedTo] = {}
        self._by_watch: dict[int, ListenedTo] = {}
        self._silent: set[ListenedTo] = set()
        self._below: deque[_Below] = deque()
        self._unheard: list[_Below] = []  # for which there was no room; tried again when all is noted anew
        self._follow_at = self._followed = 0.0
        self._inotify: Inotify | None = None

    def fileno(self) -> int | None:
        """The descriptor to poll, where there is one; it may be had later."""
        return self._inotify.fileno() if self._inotify is not None else None

    def close(self) -> None:
        """Let go of every watch."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None

    @property
    def due(self) -> float:
        """When something is to be done next."""
        return min([self._follow_at, *(each.due for each in self._silent if each.due is not None)])

    def turn(self, patterns: Iterable[Pattern]) -> None:
        """Listen again to what has been silent for long enough, and see which objects there are now and then.

        ``patterns`` as in ``ObjectTable.use``.
        """
        now = self._monotonic()
        for each in [each for each in self._silent if each.due is not None and each.due <= now]:
            self._listen_again(each)
        if now >= self._follow_at:
            self._table.use(patterns)
            self._table.follow(self._note, self._anew)
            while self._below:
                self._note_below(self._below.popleft())
            self.files = dict(self.files)
            self._followed, self._follow_at = now, now + FOLLOW_SECONDS
        self._counters.watches = len(self._by_watch)

    def files_of(self, touched: ListenedTo) -> dict[FileId, tuple[WatchedFile, ...]]:
        """The object itself, or what was touched in a directory, as the host has it now."""
        if not touched.is_directory:
            return {touched.file: self.files.get(touched.file, ())}
        found: dict[FileId, tuple[WatchedFile, ...]] = {}
        for name in touched.names:
            path = touched.entry(name)
            try:
                with open_below(touched.root, path, follow_links=False) as (fd, _):
                    status = os.fstat(fd)
            except CollectorError:
                continue
            if stat.S_ISREG(status.st_mode):
                file = FileId(status.st_dev, status.st_ino)
                objects = self._table.objects(touched.number)
                entry = WatchedFile(Watch.WRITE, objects, touched.root, path, is_entry=True)
                found[file] = (*self.files.get(file, ()), entry)
        return found

    # What the kernel tells ---------------------------------------------------------------------------------------

    def take(self) -> None:
        """Note what was touched."""
        for happening in self._inotify.read() if self._inotify is not None else ():
            self._counters.events += 1
            if happening.mask & inotify.Q_OVERFLOW:
                self._counters.overruns += 1
                self.is_all_touched = True
            elif (touched := self._by_watch.get(happening.watch)) is not None:
                self._take(touched, happening)

    def _take(self, touched: ListenedTo, happening: Happening) -> None:
        _, mask, name = happening
        if mask & (inotify.IGNORED | inotify.MOVE_SELF):
            self._forget(touched)
            return
        if mask & (_NEW if name else _REPLACED):
            self._follow_soon()
        if mask & inotify.ISDIR:
            if mask & _NEW and touched.flags & Watch.BELOW:
                self._below.append(_below(touched, name))
        elif bool(name) == touched.is_directory:
            self.touched.add(touched)
            if name and len(touched.names) < MAX_NAMES:
                touched.names.add(name)

    def _follow_soon(self) -> None:
        self._follow_at = min(self._follow_at, self._followed + FOLLOW_SOON_SECONDS)

    # Listening ---------------------------------------------------------------------------------------------------

    def silence(self, each: ListenedTo, *, is_found: bool, cost: float) -> None:
        """Listen to an object no more: for longer and longer while it goes on and no container has to do with it."""
        each.names.clear()
        if each.watch is None:
            return
        now = self._monotonic()
        least = max(LEAST_PAUSE_SECONDS, PAUSE_PER_COST * cost)
        goes_on = not is_found and now - each.since < each.pause / BUSY_SHARE
        each.pause = max(least, min(2 * each.pause, LONGEST_PAUSE_SECONDS)) if goes_on else least
        self._stop(each)
        each.due = now + each.pause
        self._silent.add(each)

    def _listen_again(self, each: ListenedTo) -> None:
        """If it is still that object; what is there now in its place is found when the table is followed."""
        self._silent.discard(each)
        each.due = None
        try:
            with open_below(each.root, each.named, follow_links=not each.depth) as (fd, _):
                status = os.fstat(fd)
                if (status.st_dev, status.st_ino) == each.file:
                    self._listen(fd, each)
                else:
                    self._forget(each)
        except CollectorError:
            self._forget(each)

    def _listen(self, fd: int, each: ListenedTo) -> None:
        """Have the kernel tell of an object, where there is room."""
        if self._inotify is None:
            return
        if each.watch is None and len(self._by_watch) >= (self._limit // 2 if each.depth else self._limit):
            self._counters.refused += 1
            return
        try:
            each.watch = self._inotify.add(fd, _mask(each))
        except TooLarge:
            self._counters.refused += 1
            return
        except CollectorError:
            self._counters.failed += 1
            return
        each.since = self._monotonic()
        self._by_watch[each.watch] = each

    def _stop(self, each: ListenedTo) -> None:
        if each.watch is not None and self._inotify is not None:
            self._by_watch.pop(each.watch, None)
            self._inotify.remove(each.watch)
            each.watch = None

    def _forget(self, each: ListenedTo) -> None:
        """It is gone, or not where it was."""
        self._stop(each)
        self._silent.discard(each)
        if self._by_file.get(each.file) is each:
            del self._by_file[each.file]
        self._follow_soon()

    # Which objects -----------------------------------------------------------------------------------------------

    def _anew(self) -> None:
        """All objects are about to be noted."""
        if self._inotify is None:
            try:
                self._inotify = Inotify()
            except CollectorError:
                self._counters.refused += 1
        self._mounts = {each.mnt_id: each for each in read_host_mounts(self._roots)}
        self.files = {}
        self._below.extend(self._unheard)
        self._unheard.clear()

    def _note(self, opened: Opened) -> None:
        """An object that is new, or is to be noted anew."""
        root, named = opened.where.root, os.fsencode(opened.where.path)
        each = self._placed(opened.fd, named, _Below(root, opened.path, opened.number, 0, 0))
        if each is None:
            return
        if not each.is_directory or each.flags & Watch.READ:
            objects = self._table.objects(each.number)
            self.files[each.file] = (WatchedFile(each.flags, objects, root, named),)
        self._begin(opened.fd, each)

    def _note_below(self, found: _Below) -> None:
        """A directory in a watched one: on the same mount only, so that nobody waits for a volume's server."""
        try:
            with open_below(found.root, found.path, follow_links=False) as (fd, _):
                each = self._placed(fd, found.path, found)
                if each is not None and each.is_directory and each.mnt_id == found.mnt_id:
                    self._begin(fd, each)
        except CollectorError:
            return

    def _placed(self, fd: int, named: bytes, found: _Below) -> ListenedTo | None:
        """What is known of an open object; ``None`` where it lies on no mount of the host."""
        try:
            status = read_file_status(b"/proc/self/fd/%d" % fd, _AT_FDCWD, "host file")
        except CollectorError:
            self._counters.failed += 1
            return None
        file, mnt_id = status.place
        mount = self._mounts.get(mnt_id)
        if mount is None:
            self._counters.failed += 1
            return None
        return ListenedTo(
            found.root,
            named,
            found.path,
            found.number,
            self._table.flags(found.number),
            file,
            place_of(found.path, mount),
            mnt_id,
            stat.S_ISDIR(status.mode),
            found.depth,
        )

    def _begin(self, fd: int, each: ListenedTo) -> None:
        """Listen to an object that is new to us, or is more than it was: named itself, or for more reasons."""
        known = self._by_file.get(each.file)
        if known is not None:
            if each.depth and not known.depth:
                return  # a watched object below a watched one
            is_same = (known.number, known.flags, known.named) == (each.number, each.flags, each.named)
            if is_same and (known.watch is not None or known.due is not None):
                known.path, known.place, known.mnt_id = each.path, each.place, each.mnt_id
                return
            self._stop(known)
            self._silent.discard(known)
        self._by_file[each.file] = each
        self._listen(fd, each)
        if each.watch is None:
            if each.depth:
                self._unheard.append(_Below(each.root, each.path, each.number, each.mnt_id, each.depth))
        elif each.is_directory and each.flags & Watch.BELOW and each.depth < MAX_DEPTH:
            try:
                names = directories_below(each.root, each.path, _MAX_ENTRIES)
            except CollectorError:
                return
            self._below.extend(_below(each, name) for name in names)


def _below(each: ListenedTo, name: bytes) -> _Below:
    return _Below(each.root, each.entry(name), each.number, each.mnt_id, each.depth + 1)


def _mask(each: ListenedTo) -> int:
    """What the kernel is to tell of an object."""
    itself = inotify.DELETE_SELF | inotify.MOVE_SELF
    if each.is_directory:
        return itself | _NEW | inotify.MODIFY | inotify.EXCL_UNLINK
    wanted = itself | inotify.ATTRIB
    if each.flags & Watch.READ:
        wanted |= inotify.OPEN
    if each.flags & Watch.WRITE:
        wanted |= inotify.MODIFY
    return wanted
