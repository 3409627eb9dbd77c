"""Files below a runtime's state directory, opened so that nobody can lead us elsewhere.

The directory itself is the operator's and trusted, symbolic links included (``resolve_directory`` follows them on the
host's side). Everything below it is opened one component at a time with ``O_NOFOLLOW``, must be a directory or a
regular file, and is read up to a bound.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from collectors.errors import CollectorError, Malformed, TooLarge, from_os_error
from collectors.hosttree import open_below

MAX_ENTRIES = 8192
"""Entries of one directory that are listed; the rest of a larger one is not looked at."""

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_CHUNK_BYTES = 1 << 20


def read_below(directory: str, path: str, limit: int) -> bytes:
    """The whole of the file ``path`` (relative) below the trusted ``directory``; raises ``CollectorError``.

    ``Malformed`` for a symbolic link, a FIFO, a device; ``TooLarge`` beyond ``limit`` bytes, without reading them.
    """
    source = f"{directory}/{path}"
    *parents, name = path.split("/")
    with _open_directory(directory, parents, source) as dir_fd:
        try:
            # Looked at before it is opened: opening a device can do something (tested: fifo-as-config).
            _require_regular(os.stat(name, dir_fd=dir_fd, follow_symlinks=False), source)
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
        except OSError as error:
            raise from_os_error(source, error) from error
        except ValueError as error:
            raise Malformed(source, str(error)) from error
        try:
            return _read(fd, limit, source)
        except OSError as error:
            raise from_os_error(source, error) from error
        finally:
            os.close(fd)


def list_below(directory: str, path: str = "") -> tuple[str, ...]:
    """The names of the directories in ``path`` (relative, may be empty) below ``directory``, sorted; may raise."""
    source = f"{directory}/{path}"
    with _open_directory(directory, path.split("/") if path else [], source) as dir_fd:
        try:
            fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=dir_fd)
            try:
                with os.scandir(fd) as entries:
                    names: list[str] = []
                    for entry in entries:
                        if len(names) == MAX_ENTRIES:
                            break
                        if entry.is_dir(follow_symlinks=False):
                            names.append(entry.name)
            finally:
                os.close(fd)
        except OSError as error:
            raise from_os_error(source, error) from error
    return tuple(sorted(names))


def is_component(name: str) -> bool:
    """``name`` can be one component of a path below a state directory: no slash, no NUL, not ``.`` or ``..``."""
    return bool(name) and name not in (".", "..") and "/" not in name and "\x00" not in name


def resolve_directory(root: str, path: str) -> str:
    """The real path of the directory ``path`` of the host whose root is seen at ``root``; raises ``CollectorError``."""
    try:
        with open_below(root, os.fsencode(path), follow_links=True) as (fd, real):
            if not stat.S_ISDIR(os.fstat(fd).st_mode):
                raise Malformed(path, "is not a directory")
            return root.rstrip("/") + os.fsdecode(real)
    except CollectorError as error:
        raise type(error)(path, error.detail) from error


@contextmanager
def _open_directory(directory: str, parents: list[str], source: str) -> Iterator[int]:
    try:
        fd = os.open(directory, _DIRECTORY)
    except OSError as error:
        raise from_os_error(directory, error) from error
    except ValueError as error:
        raise Malformed(source, str(error)) from error
    try:
        for name in parents:
            if not is_component(name):
                raise Malformed(source, f"{name!r} is no name of a directory")
            inner = _open_component(fd, name, source)
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


def _open_component(dir_fd: int, name: str, source: str) -> int:
    try:
        return os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=dir_fd)
    except NotADirectoryError as error:  # also what a symbolic link gives
        try:
            mode = os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode
        except OSError as vanished:
            raise from_os_error(source, vanished) from vanished
        if stat.S_ISLNK(mode):
            raise Malformed(source, f"{name} is a symbolic link, which is not followed") from error
        raise Malformed(source, f"{name} is not a directory") from error
    except OSError as error:
        raise from_os_error(source, error) from error


def _require_regular(found: os.stat_result, source: str) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise Malformed(source, "is a symbolic link, which is not followed")
    if not stat.S_ISREG(found.st_mode):
        raise Malformed(source, "is not a regular file")


def _read(fd: int, limit: int, source: str) -> bytes:
    found = os.fstat(fd)
    _require_regular(found, source)
    if found.st_size > limit:
        raise TooLarge(source, f"{found.st_size} bytes, more than the {limit} that are read")
    chunks: list[bytes] = []
    left = limit + 1
    while left > 0:
        chunk = os.read(fd, min(left, _CHUNK_BYTES))
        if not chunk:
            break
        chunks.append(chunk)
        left -= len(chunk)
    if left <= 0:
        raise TooLarge(source, f"more than the {limit} bytes that are read")
    return b"".join(chunks)
