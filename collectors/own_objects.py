"""The agent's own objects as they were when it started: its cgroup and its state directory, and what became of them.

Who moves the agent to another cgroup takes its CPU away or freezes it; who puts another directory in the place of its
state, or opens it to others, has its alerts. Compared are the lines of ``/proc/self/cgroup`` and the directory's
(device, inode), owner and mode. One thread asks.

On cgroup v1 systemd itself moves a service down, from the root or from its slice to a cgroup of its own, when a
controller is first wanted there (systemd.resource-control(5)). That is no move of somebody else's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping

from collectors.bounded import read_bounded
from collectors.errors import CollectorError

SOURCE = "proc/cgroup"
MAX_BYTES = 65_536
CGROUP = "cgroup"
STATE_DIRECTORY = "state directory"


class OwnObjects:
    """Remembers each object as it was first seen; what cannot be seen is a state like any other."""

    def __init__(self, proc: str, state_directory: str | None) -> None:
        self._looks: Mapping[str, Callable[[], str]] = {
            CGROUP: lambda: _cgroup(proc),
            STATE_DIRECTORY: lambda: _directory(state_directory),
        }
        self._known: dict[str, str] = {}

    def changes(self) -> Iterator[tuple[str, str]]:
        """Each object that is another one than at the last look, and what it was and is; nothing at the first look."""
        for name, look in self._looks.items():
            now = look()
            before = self._known.setdefault(name, now)
            if now == before:
                continue
            self._known[name] = now
            if name != CGROUP or not _was_settled_by_systemd(before, now):
                yield name, f"{before} -> {now}"


def _was_settled_by_systemd(before: str, now: str) -> bool:
    """In each hierarchy the path is the same, or below what was the root or a slice."""
    old, new = (dict(_hierarchies(text)) for text in (before, now))
    return old.keys() == new.keys() and all(
        new[name] == path or ((path == "/" or path.endswith(".slice")) and new[name].startswith(path.rstrip("/") + "/"))
        for name, path in old.items()
    )


def _hierarchies(text: str) -> Iterator[tuple[str, str]]:
    """Each line's hierarchy and path (cgroups(7))."""
    for line in text.split("\n"):
        number, controllers, path = (*line.split(":", 2), "", "")[:3]
        yield f"{number}:{controllers}", path


def _cgroup(proc: str) -> str:
    try:
        lines = read_bounded(f"{proc}/self/cgroup", MAX_BYTES, source=SOURCE)
    except CollectorError as error:
        return str(error)
    return lines.rstrip(b"\n").decode("utf-8", "replace")


def _directory(path: str | None) -> str:
    if path is None:
        return "none"
    try:
        found = os.lstat(path)
    except OSError as error:
        return error.strerror or str(error)
    kind = "directory" if stat.S_ISDIR(found.st_mode) else "no directory"
    return f"{kind} {found.st_dev}:{found.st_ino}, mode {stat.S_IMODE(found.st_mode):04o}, uid {found.st_uid}"
