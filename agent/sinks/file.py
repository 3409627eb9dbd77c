"""Alerts in a file, one line each, synced before they count as written; rotated by size and by time.

The file is opened to append, mode 0600, and never through a symlink. A line that was torn, by a full disk or by a
``kill -9``, is ended before the next one: a reader meets one line that is no JSON, and the alert again, whole. The file
is opened anew when it is no longer where it was (logrotate moved it) and after ``reopen`` (SIGHUP).
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.errors import SinkError
from agent.stored_alert import Render, StoredAlert
from detectors.base import Severity

_LINE_FEED = b"\n"


class FileSink:
    """``rotate_seconds`` is the length of a period, counted from 1970 UTC; a file holds lines of one period."""

    name = "file"
    max_batch = 256

    def __init__(
        self,
        path: Path,
        render: Render,
        min_severity: Severity = Severity.INFO,
        *,
        max_bytes: int,
        rotate_seconds: int,
        keep: int,
        clock_ns: Callable[[], int],
    ) -> None:
        self.min_severity = min_severity
        self._path = path
        self._render = render
        self._max_bytes = max_bytes
        self._period_ns = rotate_seconds * 1_000_000_000
        self._keep = keep
        self._clock_ns = clock_ns
        self._descriptor: int | None = None
        self._wants_reopening = threading.Event()

    def send(self, batch: Sequence[StoredAlert]) -> None:
        """Append one line an alert, and sync."""
        try:
            lines = b"".join(self._render(alert) + _LINE_FEED for alert in batch)
            descriptor = self._opened()
            if self._must_rotate(descriptor, len(lines)):
                self._rotate()
                descriptor = self._opened()
            self._append(descriptor, lines)
        except OSError as error:
            self._close()  # what was torn is ended when the file is opened again
            raise SinkError(self.name, f"{self._path}: {error.strerror or error}") from error

    def reopen(self) -> None:
        """Open the file anew for the next alert; any thread, a signal handler's too."""
        self._wants_reopening.set()

    def close(self) -> None:
        """Close the file."""
        self._close()

    def _opened(self) -> int:
        """The descriptor of the file that is at the path now."""
        if self._wants_reopening.is_set() or not self._is_in_place():
            self._wants_reopening.clear()
            self._close()
        if self._descriptor is None:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            self._descriptor = os.open(self._path, flags, 0o600)
            found = os.fstat(self._descriptor)
            if not stat.S_ISREG(found.st_mode):
                self._close()  # else the next attempt would take it for a file that is open
                raise SinkError(self.name, f"{self._path}: is no regular file")
            if found.st_size and os.pread(self._descriptor, 1, found.st_size - 1) != _LINE_FEED:
                self._append(self._descriptor, _LINE_FEED)
        return self._descriptor

    def _is_in_place(self) -> bool:
        if self._descriptor is None:
            return False
        try:
            return os.path.samestat(os.lstat(self._path), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _must_rotate(self, descriptor: int, more_bytes: int) -> bool:
        found = os.fstat(descriptor)
        if not found.st_size:
            return False
        is_of_other_period = found.st_mtime_ns // self._period_ns != self._clock_ns() // self._period_ns
        return is_of_other_period or found.st_size + more_bytes > self._max_bytes

    def _rotate(self) -> None:
        """``PATH.1`` is the newest of those that were moved; the oldest goes."""
        for number in range(self._keep, 0, -1):
            source = f"{self._path}.{number - 1}" if number > 1 else self._path
            with contextlib.suppress(FileNotFoundError):  # there have not been so many yet
                os.replace(source, f"{self._path}.{number}")

    def _append(self, descriptor: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fdatasync(descriptor)

    def _close(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)
