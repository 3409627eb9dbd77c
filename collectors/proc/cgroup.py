"""``/proc/PID/cgroup``: the path of a task in every cgroup hierarchy.

Source: cgroups(7), ``kernel/cgroup/cgroup.c`` (proc_cgroup_show). A path may hold any byte but a newline, colons
included (containerd's systemd driver writes them). In a cgroup namespace of its own the reader sees others' paths as
``/../..``. A removed cgroup of version 2 shows as ``/path (deleted)``; the suffix stays, because a cgroup may really be
called so.
"""

from __future__ import annotations

from functools import lru_cache

from collectors.bounded import read_bounded
from collectors.errors import Malformed
from collectors.facts import CgroupMembership
from collectors.flyweight import flyweight

SOURCE = "proc/cgroup"
MAX_BYTES = 65536
_SHARED_BYTES = 2048  # longer ones are an attacker's, and would make the cache large


_intern = flyweight(1024)


def parse_cgroup(data: bytes) -> tuple[CgroupMembership, ...]:
    """The hierarchies in the kernel's order; raises ``Malformed``."""
    lines = data.split(b"\n")
    if lines.pop():
        raise Malformed(SOURCE, "the last line has no end")
    return tuple(map(_parse_line, lines))


def _parse_line(line: bytes) -> CgroupMembership:
    """``hierarchy:controllers:path``."""
    parts = line.split(b":", 2)
    if len(parts) != 3 or not parts[2].startswith(b"/"):  # noqa: PLR2004 (three fields)
        raise Malformed(SOURCE, "not hierarchy:controllers:/path")
    hierarchy, controllers, path = parts
    if not hierarchy.isdigit() or len(hierarchy) > 10:  # noqa: PLR2004 (digits of an int)
        raise Malformed(SOURCE, "a hierarchy that is no number")
    return CgroupMembership(int(hierarchy), _intern(controllers), _intern(path))


_parse_shared = lru_cache(maxsize=2048)(parse_cgroup)  # a flyweight: processes of one cgroup share one value


def read_cgroup(dir_fd: int) -> tuple[CgroupMembership, ...]:
    """The cgroups of the task whose directory ``dir_fd`` is; raises a ``CollectorError`` kind."""
    data = read_bounded(b"cgroup", MAX_BYTES, dir_fd=dir_fd, source=SOURCE)
    return _parse_shared(data) if len(data) <= _SHARED_BYTES else parse_cgroup(data)
