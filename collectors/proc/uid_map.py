"""``/proc/PID/uid_map`` and ``gid_map``: which ids of its user namespace are which of ours.

Source: user_namespaces(7). The second column is in the *reader's* user namespace, so the host's for us. Empty until
somebody writes it; at most 340 lines (kernel 4.15).
"""

from __future__ import annotations

from typing import NamedTuple

from collectors.bounded import read_bounded
from collectors.errors import Malformed

SOURCE = "proc/uid_map"
MAX_BYTES = 65536
_MAX_ID = 2**32
_COLUMNS = 3
_MAX_DIGITS = 10


class IdRange(NamedTuple):
    """``length`` ids from ``inside`` on are those from ``outside`` on in the host's user namespace."""

    inside: int
    outside: int
    length: int

    @property
    def is_identity_of_all(self) -> bool:
        """Every id is itself: the initial user namespace, or one that maps the same."""
        return self.inside == 0 and self.outside == 0 and self.length >= _MAX_ID - 1


def parse_id_map(data: bytes) -> tuple[IdRange, ...]:
    """The ranges in the kernel's order; raises ``Malformed``."""
    lines = data.split(b"\n")
    if lines.pop():
        raise Malformed(SOURCE, "the last line has no end")
    return tuple(map(_parse_line, lines))


def _parse_line(line: bytes) -> IdRange:
    """Three right-aligned numbers."""
    fields = line.split()
    if len(fields) != _COLUMNS or not all(field.isdigit() and len(field) <= _MAX_DIGITS for field in fields):
        raise Malformed(SOURCE, "not three numbers")
    return IdRange(*map(int, fields))


def read_uid_map(dir_fd: int) -> tuple[IdRange, ...]:
    """The map of uids of the task whose directory ``dir_fd`` is; raises a ``CollectorError`` kind."""
    return parse_id_map(read_bounded(b"uid_map", MAX_BYTES, dir_fd=dir_fd, source=SOURCE))


def read_gid_map(dir_fd: int) -> tuple[IdRange, ...]:
    """The map of gids of the task whose directory ``dir_fd`` is; raises a ``CollectorError`` kind."""
    return parse_id_map(read_bounded(b"gid_map", MAX_BYTES, dir_fd=dir_fd, source=SOURCE))
