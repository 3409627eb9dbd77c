"""The directory that outlives the agent: made, checked and held by one agent at a time.

What is in it decides what the pipeline gets to hear, so nobody else may write there, and nobody may say where it is:
a symlink, another owner or a mode that lets everybody write is refused. The lock is flock(2), which the kernel lets go
of when the agent ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from pathlib import Path

from agent.errors import ConfigError

LOCK_NAME = "lock"
_KEY = "state.directory"


class StateUnavailable(Exception):
    """The directory cannot be made or written now; the agent does without, and says so."""


class StateDirectory:
    """A directory that this process holds alone until ``release``.

    Raises ``ConfigError`` where it must not be used (also: another agent has it), ``StateUnavailable`` where it cannot.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None
        try:
            _make(path)
            directory = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                _check_owner(path, os.fstat(directory))
                self._lock = _locked(path, directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise StateUnavailable(f"{path}: {error.strerror or error}") from error

    def release(self) -> None:
        """Let another agent have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _make(path: Path) -> None:
    """Make the directory, and refuse what stands in its place."""
    with contextlib.suppress(FileExistsError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        raise ConfigError("", None, _KEY, f"is {str(path)!r}, a symlink; wanted the directory itself")
    if not stat.S_ISDIR(mode):
        raise ConfigError("", None, _KEY, f"is {str(path)!r}, which is no directory")


def _check_owner(path: Path, found: os.stat_result) -> None:
    if found.st_mode & stat.S_IWOTH:
        raise ConfigError("", None, _KEY, f"is {str(path)!r}, which everybody may write to; wanted mode 0700")
    if found.st_uid not in (0, os.geteuid()):
        raise ConfigError("", None, _KEY, f"is {str(path)!r}, which belongs to uid {found.st_uid}; wanted our own")


def _locked(path: Path, directory: int) -> int:
    """The descriptor that holds the lock; on a read-only file system an existing file is locked as well."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        lock = os.open(LOCK_NAME, os.O_RDWR | os.O_CREAT | flags, 0o600, dir_fd=directory)
    except OSError:
        lock = os.open(LOCK_NAME, os.O_RDONLY | flags, dir_fd=directory)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        problem = f"is {str(path)!r}, which another agent uses; wanted a directory of its own for each"
        raise ConfigError("", None, _KEY, problem) from error
    return lock
