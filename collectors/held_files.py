"""Watched files of the host that a task has open: which, and how, judged by device and inode of its descriptors.

That a task holds a file says for certain that it is the one: nothing has to be guessed from a time or a name. How it is
open is in its ``fdinfo`` (proc_pid_fdinfo(5)): as open(2) was asked, access mode and ``O_PATH`` included.

An inode number may come again, for a file of nobody's interest, while our table still has it for one that was replaced:
so a match counts only if the host's path leads to that very inode now. The descriptor keeps it from being given away.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from collectors.bounded import open_process, read_bounded
from collectors.errors import CollectorError, Malformed, from_os_error
from collectors.events import Touch, Watched
from collectors.facts import FileId, Process, ProcessKey, Unknown
from collectors.hosttree import locate_below
from collectors.proc.stat import read_stat
from collectors.statx import read_file_status
from collectors.watched_objects import Watch

SOURCE = "proc/fdinfo"
_MAX_BYTES = 4096
_FLAGS_LINE = re.compile(rb"^flags:[ \t]*([0-7]{1,22})$", re.MULTILINE)


class WatchedFile(NamedTuple):
    """What a file is to be watched for, and where the host has it. ``is_entry``: for the directory that it is in."""

    watch: Watch
    watched: tuple[Watched, ...]
    root: str
    path: bytes
    is_entry: bool = False


class Held(NamedTuple):
    """A watched file that a task has open. ``path`` is the text of the link: evidence."""

    touch: Touch
    path: bytes
    file: FileId
    mode: int
    watched: tuple[Watched, ...]


class Holding(NamedTuple):
    """A task, and what it was found to hold."""

    key: ProcessKey
    held: tuple[Held, ...]


Wanted = Mapping[FileId, tuple[WatchedFile, ...]]


def parse_open_flags(data: bytes) -> int:
    """The ``flags`` line of ``/proc/PID/fdinfo/N``, which is octal; raises ``Malformed``."""
    found = _FLAGS_LINE.search(data)
    if found is None:
        raise Malformed(SOURCE, "no flags line")
    return int(found[1], 8)


def touch_of(flags: int, files: Iterable[WatchedFile]) -> tuple[Touch, WatchedFile] | None:
    """What it is to hold a file open so, the first of what it is watched for first; ``None`` for nothing to tell."""
    if flags & os.O_PATH:
        return None
    is_writable = flags & os.O_ACCMODE in {os.O_WRONLY, os.O_RDWR}
    for each in files:
        if each.watch & (Watch.WRITE if is_writable else Watch.READ):
            how = Touch.ENTRY if each.is_entry else Touch.WRITTEN
            return (how if is_writable else Touch.READ), each
    return None


class HeldFiles:
    """Finds them. ``files`` is what is watched now: replaced whole by its one writer, and read by any thread."""

    def __init__(self, proc: str) -> None:
        self.files: Wanted = {}
        self._proc = proc

    def among(self, process: Process) -> tuple[Held, ...]:
        """Of the descriptors that were read with a task; what has been closed since is left out."""
        files = self.files
        if not files or isinstance(process.descriptors, Unknown):
            return ()
        numbers = [(each.number, each.place.file) for each in process.descriptors if each.place.file in files]
        if not numbers:
            return ()
        found = self._read(process.key.pid, files, lambda _: numbers)
        return found.held if found is not None and found.key == process.key else ()

    def scan(self, pid: int, wanted: Wanted, limit: int) -> Holding | None:
        """Of the first ``limit`` descriptors of a task that may be gone; ``None`` where none is a wanted one."""
        return self._read(pid, wanted, lambda descriptors: _matching(descriptors, wanted, limit))

    def _read(
        self, pid: int, wanted: Wanted, candidates: Callable[[int], Iterable[tuple[int, FileId]]]
    ) -> Holding | None:
        """Look at the candidates among a task's descriptors, through one descriptor of its own directory."""
        try:
            directory = open_process(self._proc, pid)
        except CollectorError:
            return None
        try:
            descriptors = os.open("fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
            try:
                looked = [
                    _look_at(directory, descriptors, number, file, wanted[file])
                    for number, file in candidates(descriptors)
                ]
            finally:
                os.close(descriptors)
            held = tuple(each for each in looked if each is not None)
            return Holding(ProcessKey(pid, read_stat(directory).start_ticks), held) if held else None
        except (OSError, CollectorError):
            return None
        finally:
            os.close(directory)


def _matching(descriptors: int, wanted: Wanted, limit: int) -> Iterable[tuple[int, FileId]]:
    """The descriptors that are one of the wanted files; one that was closed meanwhile is passed by."""
    with os.scandir(descriptors) as entries:
        for entry in itertools.islice(entries, limit):
            try:
                file = read_file_status(os.fsencode(entry.name), descriptors, "proc/fd").place.file
            except CollectorError:
                continue
            if file in wanted:
                yield int(entry.name), file


def _look_at(
    directory: int, descriptors: int, number: int, file: FileId, files: tuple[WatchedFile, ...]
) -> Held | None:
    """How one descriptor is open; ``None`` where that is nothing to tell, or it is another file by now."""
    try:
        flags = parse_open_flags(read_bounded(f"fdinfo/{number}", _MAX_BYTES, dir_fd=directory, source=SOURCE))
        touched = touch_of(flags, files)
        if touched is None:
            return None
        touch, watched = touched
        path = os.readlink(b"%d" % number, dir_fd=descriptors)
        status = read_file_status(b"%d" % number, descriptors, "proc/fd")
        if status.place.file != file or not is_now(watched, file):
            return None
    except CollectorError:
        return None
    except OSError as error:
        raise from_os_error("proc/fd", error) from error
    return Held(touch, path, file, status.mode, watched.watched)


def is_now(watched: WatchedFile, file: FileId) -> bool:
    """The host's path leads to that very file."""
    try:
        return locate_below(watched.root, watched.path).chain[-1] == file
    except CollectorError:
        return False
