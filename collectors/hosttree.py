"""Files of the host's root file system, found without the kernel following any link for us.

A path that a runtime, a sysctl or a mount option names means something below the *host's* root, which the agent may
see at ``/proc/1/root``: an absolute symlink there would lead the kernel back to the agent's own root. So paths are
walked component by component with ``O_PATH | O_NOFOLLOW`` (path_resolution(7), open(2)); links of the host are
followed by hand and start again at the host's root, and below a directory that a container can write none is followed
at all. ``O_PATH`` opens nothing: no device is touched, no FIFO waited for.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from collectors.errors import Denied, TooLarge, from_os_error
from collectors.facts import FileId

_COMPONENT = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_LINKS = 40  # MAXSYMLINKS, include/linux/namei.h
_MAX_COMPONENTS = 512


class LinkRefused(Denied):
    """A symbolic link stands where none may be followed."""


class Located(NamedTuple):
    """A file of the host: the path that it really has there, its mode, and the identity of each directory above it.

    ``chain`` begins with the root and ends with the file.
    """

    path: bytes
    mode: int
    chain: tuple[FileId, ...]


def locate_below(root: str, path: bytes) -> Located:
    """Where ``path`` leads below ``root``, without opening it; raises as ``open_below``."""
    opened: list[int] = []
    names: list[bytes] = []
    try:
        opened.append(os.open(root, os.O_PATH | os.O_CLOEXEC))
        _walk(opened, names, path, follow_links=True)
        found = [os.fstat(each) for each in opened]
    except OSError as error:
        raise from_os_error("host file", error) from error
    finally:
        for each in opened:
            os.close(each)
    chain = tuple(FileId(each.st_dev, each.st_ino) for each in found)
    return Located(b"/" + b"/".join(names), found[-1].st_mode, chain)


@contextmanager
def open_below(root: str | int, path: bytes, *, follow_links: bool) -> Iterator[tuple[int, bytes]]:
    """An ``O_PATH`` descriptor of the file that ``path`` names below ``root``, and the path that it really has there.

    ``root`` is a directory's path, or a descriptor of one. ``..`` never leads above it. The descriptor is closed at
    the end of the block. Raises ``Gone`` when there is no such file, ``LinkRefused`` when a link is met that may not be
    followed, ``TooLarge`` when the path has too many components or links.
    """
    opened: list[int] = []  # one descriptor for each component of ``names``, the root's first
    names: list[bytes] = []
    source = "host file"
    try:
        opened.append(os.dup(root) if isinstance(root, int) else os.open(root, os.O_PATH | os.O_CLOEXEC))
        _walk(opened, names, path, follow_links=follow_links)
        yield opened[-1], b"/" + b"/".join(names)
    except OSError as error:
        raise from_os_error(source, error) from error
    finally:
        for each in opened:
            os.close(each)


def _walk(opened: list[int], names: list[bytes], path: bytes, *, follow_links: bool) -> None:
    """Go down ``path``, keeping ``opened`` and ``names`` in step; raises ``OSError`` or ``CollectorError``."""
    todo = _components(path)
    links = 0
    while todo:
        name = todo.pop()
        if name == b"..":
            if names:
                names.pop()
                os.close(opened.pop())
            continue
        found = os.open(name, _COMPONENT, dir_fd=opened[-1])
        opened.append(found)
        names.append(name)
        if not stat.S_ISLNK(os.fstat(found).st_mode):
            continue
        links += 1
        if not follow_links:
            raise LinkRefused("host file", "a symbolic link that may not be followed")
        target = os.readlink(b"", dir_fd=found)
        _drop(opened, names, count=len(names) if target.startswith(b"/") else 1)
        todo += _components(target)
        if links > _MAX_LINKS or len(todo) > _MAX_COMPONENTS:
            raise TooLarge("host file", "too many symbolic links")


def _components(path: bytes) -> list[bytes]:
    """The components of a path, last first."""
    names = [name for name in path.split(b"/") if name not in (b"", b".")]
    if len(names) > _MAX_COMPONENTS or b"\0" in path:
        raise TooLarge("host file", "a path of too many components, or with a NUL in it")
    return names[::-1]


def _drop(opened: list[int], names: list[bytes], *, count: int) -> None:
    """Go ``count`` components back up."""
    for _ in range(count):
        names.pop()
        os.close(opened.pop())


def read_below(root: str, path: bytes, limit: int) -> bytes:
    """At most ``limit`` bytes of a regular file of the host; raises a ``CollectorError`` kind."""
    with open_below(root, path, follow_links=True) as (found, _):
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise Denied("host file", "not a regular file")
        fd = os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC)  # the same file, now for reading
        try:
            return os.read(fd, limit)
        finally:
            os.close(fd)


def entries_below(root: str, path: bytes, limit: int) -> list[bytes]:
    """The names in a directory of the host, at most ``limit``; raises a ``CollectorError`` kind."""
    with open_below(root, path, follow_links=True) as (found, _):
        fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=found)
        try:
            with os.scandir(fd) as scan:
                return [os.fsencode(entry.name) for entry, _ in zip(scan, range(limit), strict=False)]
        finally:
            os.close(fd)


def directories_below(root: str, path: bytes, limit: int) -> list[bytes]:
    """The names of the directories among the first ``limit`` entries of a directory; raises as ``entries_below``."""
    with open_below(root, path, follow_links=True) as (found, _):
        fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=found)
        try:
            with os.scandir(fd) as scan:
                entries = [entry for entry, _ in zip(scan, range(limit), strict=False)]
            return [os.fsencode(entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
        finally:
            os.close(fd)
