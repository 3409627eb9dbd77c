"""Reads with a bound, and the one way in which an exception becomes a value at a collector's edge."""

from __future__ import annotations

import os

from collectors.errors import CollectorError, TooLarge, from_os_error
from collectors.facts import Unknown

_CHUNK_BYTES = 65536


def read_bounded(name: str | bytes, limit: int, *, dir_fd: int | None = None, source: str) -> bytes:
    """The whole of a file, at most ``limit`` bytes; /proc may give it in pieces, so we read until it ends.

    Raises ``Gone`` (also when the process ends while it is read), ``Denied``, ``Unsupported``, ``TooLarge`` or a plain
    ``CollectorError``.
    """
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=dir_fd)
    except OSError as error:
        raise from_os_error(source, error) from error
    try:
        size = min(limit + 1, _CHUNK_BYTES)
        data = os.read(fd, size)
        if data:
            more = os.read(fd, size)
            if more:
                data = _read_rest(fd, [data, more], limit, source)
    except OSError as error:
        raise from_os_error(source, error) from error
    finally:
        os.close(fd)
    if len(data) > limit:
        raise TooLarge(source, f"more than {limit} bytes")
    return data


def _read_rest(fd: int, parts: list[bytes], limit: int, source: str) -> bytes:
    """The rest of a file that came in pieces."""
    size = sum(map(len, parts))
    while size <= limit:
        part = os.read(fd, _CHUNK_BYTES)
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
    raise TooLarge(source, f"more than {limit} bytes")


def unknown(error: CollectorError) -> Unknown:
    """The value that an exception becomes at the edge of a collector."""
    return Unknown(f"{error.kind}: {error.source}")


def open_process(proc: str, pid: int) -> int:
    """A descriptor of ``/proc/PID``: every read through it is of this one process, also after its pid is reused.

    The caller closes it. Raises ``Gone`` or ``Denied``.
    """
    try:
        return os.open(f"{proc}/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise from_os_error("proc", error) from error
