"""inotify(7): the kernel says that something happened to an inode, by whatever path or mount, and not who did it.

It asks for no privilege but to be allowed to read the file, unlike the marks of fanotify(7) that name an author.
Through ctypes, because Python has no binding. An object is given as an open ``O_PATH`` descriptor: no path is walked.
Layout and numbers: ``include/uapi/linux/inotify.h``. What the kernel merges: an event that equals the one before it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import NamedTuple

from collectors.errors import Malformed, TooLarge, from_os_error

SOURCE = "inotify"
MODIFY = 0x2
ATTRIB = 0x4
OPEN = 0x20
MOVED_TO = 0x80
CREATE = 0x100
DELETE_SELF = 0x400
MOVE_SELF = 0x800
UNMOUNT = 0x2000
Q_OVERFLOW = 0x4000
IGNORED = 0x8000
EXCL_UNLINK = 0x0400_0000  # of a directory: not of what has no name in it any more
ISDIR = 0x4000_0000

_EVENT = struct.Struct("=iIII")  # wd, mask, cookie, length of the name with its padding
_READ_BYTES = 65_536
_MAX_NAME_BYTES = 4096

_libc = ctypes.CDLL(None, use_errno=True)


class Happening(NamedTuple):
    """Something happened to watch ``watch``; ``name`` is the entry of a directory, empty for the object itself."""

    watch: int
    mask: int
    name: bytes


def parse_events(data: bytes) -> tuple[Happening, ...]:
    """What one read(2) gave; raises ``Malformed``."""
    found: list[Happening] = []
    at = 0
    while at < len(data):
        if len(data) - at < _EVENT.size:
            raise Malformed(SOURCE, f"{len(data) - at} bytes of an event")
        watch, mask, _, size = _EVENT.unpack_from(data, at)
        at += _EVENT.size
        if size > _MAX_NAME_BYTES or size > len(data) - at:
            raise Malformed(SOURCE, f"a name of {size} bytes")
        found.append(Happening(watch, mask, data[at : at + size].partition(b"\0")[0]))
        at += size
    return tuple(found)


class Inotify:
    """One instance. Raises ``CollectorError`` kinds; ``TooLarge`` where the user's watches or instances are used up."""

    def __init__(self) -> None:
        self._fd = _check(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._fd

    def add(self, fd: int, mask: int) -> int:
        """Watch the object that ``fd`` is; for one that is watched the mask is replaced, and its number given again."""
        return _check(_libc.inotify_add_watch(self._fd, b"/proc/self/fd/%d" % fd, ctypes.c_uint32(mask)))

    def remove(self, watch: int) -> None:
        """End a watch, if it is still one: the kernel ends those of inodes that are gone."""
        _libc.inotify_rm_watch(self._fd, watch)

    def read(self) -> tuple[Happening, ...]:
        """What has happened; nothing where nothing has."""
        try:
            return parse_events(os.read(self._fd, _READ_BYTES))
        except BlockingIOError:
            return ()
        except OSError as error:
            raise from_os_error(SOURCE, error) from error

    def close(self) -> None:
        """Give the instance back, and with it all watches."""
        os.close(self._fd)


def _check(result: int) -> int:
    """The result of a call that gives -1 for an error."""
    if result >= 0:
        return result
    number = ctypes.get_errno()
    if number in {errno.ENOSPC, errno.EMFILE}:
        raise TooLarge(SOURCE, os.strerror(number))
    raise from_os_error(SOURCE, OSError(number, os.strerror(number)))
