"""``/proc/PID/root``, ``cwd`` and ``exe``: where a task stands, by identity and by mount.

Source: proc_pid_root(5), proc_pid_cwd(5), proc_pid_exe(5). The links are magic: the kernel follows them to the very
directory or file that the task holds, whatever path it has or no longer has, so no path that a container chose is
walked. Their text is evidence: the path from the root of the task's mount namespace (after pivot_root that is the
container's own ``/``), or from the reader's root when that is above it; it is not cut at a chroot
(``tests/collectors/proc/test_places.py`` does both).
"""

from __future__ import annotations

import os
from functools import lru_cache

from collectors.errors import from_os_error
from collectors.facts import Executable, FileId, Place
from collectors.statx import read_file_status

_DELETED = b" (deleted)"
_SHARED_BYTES = 512


@lru_cache(maxsize=8192)
def _intern(place: Place) -> Place:
    """The first of equal places (a flyweight that evicts the least recently used)."""
    return Place(FileId(*place.file), place.mnt_id)


def read_root(dir_fd: int) -> Place:
    """The root directory of the task whose directory ``dir_fd`` is; raises a ``CollectorError`` kind."""
    return _intern(read_file_status(b"root", dir_fd, "proc/root").place)


def read_cwd(dir_fd: int) -> Place:
    """The working directory of the task whose directory ``dir_fd`` is; raises a ``CollectorError`` kind."""
    return _intern(read_file_status(b"cwd", dir_fd, "proc/cwd").place)


def parse_exe_link(text: bytes, links: int) -> bytes:
    """The path in the link's text: the kernel's ``(deleted)`` is cut only when no directory names the file any more."""
    return text.removesuffix(_DELETED) if links == 0 else text


@lru_cache(maxsize=4096)
def _shared_executable(path: bytes, place: Place, mode: int, owner_uid: int, links: int, changed_ns: int) -> Executable:
    """One value for all processes that run one file (a flyweight that evicts the least recently used)."""
    return Executable(path, place, mode, owner_uid, links, changed_ns)


def read_executable(dir_fd: int) -> Executable:
    """The program of the task whose directory ``dir_fd`` is; raises a ``CollectorError`` kind.

    ``Gone`` for kernel threads and zombies too: they have none.
    """
    try:
        text = os.readlink(b"exe", dir_fd=dir_fd)
    except OSError as error:
        raise from_os_error("proc/exe", error) from error
    status = read_file_status(b"exe", dir_fd, "proc/exe")
    path = parse_exe_link(text, status.links)
    make = _shared_executable if len(path) <= _SHARED_BYTES else Executable
    return make(path, _intern(status.place), status.mode, status.owner_uid, status.links, status.changed_ns)
