"""``/proc/PID/cmdline``: the arguments as the process now shows them; it can rewrite them at any time.

Source: proc_pid_cmdline(5). Empty for zombies and kernel threads. The kernel reads the memory of the process.
"""

from __future__ import annotations

import os
from functools import lru_cache

from collectors.errors import from_os_error

SOURCE = "proc/cmdline"
MAX_BYTES = 4096
_SHARED_BYTES = 256


def parse_cmdline(data: bytes) -> tuple[bytes, ...]:
    """The arguments; the last NUL ends the last one. Any bytes are a command line, so nothing is raised."""
    return tuple(data.removesuffix(b"\0").split(b"\0")) if data else ()


@lru_cache(maxsize=4096)
def _intern(data: bytes) -> bytes:
    """The first of equal values (a flyweight that evicts the least recently used)."""
    return data


def read_cmdline(dir_fd: int) -> bytes:
    """The first 4 KiB, raw; raises a ``CollectorError`` kind. A longer one is cut, not refused."""
    try:
        fd = os.open(b"cmdline", os.O_RDONLY | os.O_CLOEXEC, dir_fd=dir_fd)
        try:
            data = os.read(fd, MAX_BYTES)
        finally:
            os.close(fd)
    except OSError as error:
        raise from_os_error(SOURCE, error) from error
    return _intern(data) if len(data) <= _SHARED_BYTES else data
