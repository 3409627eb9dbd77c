"""``/proc/PID/attr/current``: the label that AppArmor or SELinux confines a task with.

Source: proc_pid_attr(5), ``security/security.c`` (security_getprocattr): EINVAL means that no security module labels
tasks. A profile's name may hold any byte but NUL and newline.
"""

from __future__ import annotations

from functools import lru_cache

from collectors.bounded import read_bounded
from collectors.errors import Unsupported

SOURCE = "proc/attr/current"
MAX_BYTES = 65536
_SHARED_BYTES = 512


def parse_label(data: bytes) -> bytes | None:
    """The label without AppArmor's newline or SELinux' NUL; ``None`` when it is empty. Nothing is raised."""
    return data.rstrip(b"\n\0") or None


_parse_shared = lru_cache(maxsize=1024)(parse_label)


def read_label(dir_fd: int) -> bytes | None:
    """The label of the task whose directory ``dir_fd`` is; ``None`` where the kernel labels no tasks.

    Raises a ``CollectorError`` kind. A kernel without security modules has no such file, so the caller knows by another
    file that the task is still there.
    """
    try:
        data = read_bounded(b"attr/current", MAX_BYTES, dir_fd=dir_fd, source=SOURCE)
    except Unsupported:
        return None  # for this task as for all others, so ``ProcessReader`` asks no more
    return _parse_shared(data) if len(data) <= _SHARED_BYTES else parse_label(data)
