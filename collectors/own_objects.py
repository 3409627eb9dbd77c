"""The agent's own objects as they were when it started, and what became of them: for every tier, by looking.

Who moves the agent to another cgroup takes its CPU away or freezes it; who puts another directory in the place of its
state, or opens it to others, has its alerts; who puts another socket in the place of its own is asked instead of it.
Compared are the lines of ``/proc/self/cgroup``, the (device, inode), owner and mode of directory and socket, and owner
and mode of the configuration: its content changes when an administrator or the kubelet brings another one. One thread
asks. Who did it the eBPF tier tells, which watches the files (``collectors.watched_objects``).

On cgroup v1 systemd itself moves a service down, from the root or from its slice to a cgroup of its own, when a
controller is first wanted there (systemd.resource-control(5)). That is no move of somebody else's.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping

from collectors.bounded import read_bounded
from collectors.errors import CollectorError

SOURCE = "proc/cgroup"
MAX_BYTES = 65_536
CGROUP = "cgroup"
STATE_DIRECTORY = "state directory"
CONTROL_SOCKET = "control socket"
CONFIGURATION = "configuration"
NONE = "none"
_APPEARS = frozenset({CONTROL_SOCKET})  # made after the first look, and made anew by the agent where it was taken away


class OwnObjects:
    """Remembers each object as it was first seen; what cannot be seen is a state like any other."""

    def __init__(
        self, proc: str, state_directory: str | None, socket: str | None = None, config_path: str | None = None
    ) -> None:
        self._looks: Mapping[str, Callable[[], str]] = {
            CGROUP: lambda: _cgroup(proc),
            STATE_DIRECTORY: lambda: _directory(state_directory),
            CONTROL_SOCKET: lambda: _socket(socket),
            CONFIGURATION: lambda: _configuration(config_path),
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
            if name in _APPEARS and before in {_GONE, NONE}:
                continue
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
    return _file(path, stat.S_ISDIR, "directory")


def _socket(path: str | None) -> str:
    return _file(path, stat.S_ISSOCK, "socket")


def _file(path: str | None, is_kind: Callable[[int], bool], kind: str) -> str:
    if path is None:
        return NONE
    try:
        found = os.lstat(path)
    except OSError as error:
        return error.strerror or str(error)
    what = kind if is_kind(found.st_mode) else f"no {kind}"
    return f"{what} {found.st_dev}:{found.st_ino}, {_access(found)}"


def _configuration(path: str | None) -> str:
    """Of the file that a link leads to: a ConfigMap is a tree of links, and the kubelet swaps one of them."""
    if path is None:
        return NONE
    try:
        return _access(os.stat(path))
    except OSError as error:
        return error.strerror or str(error)


def _access(found: os.stat_result) -> str:
    return f"mode {stat.S_IMODE(found.st_mode):04o}, uid {found.st_uid}"


_GONE = os.strerror(errno.ENOENT)
