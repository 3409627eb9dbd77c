"""The agent's sign of life in the state directory: how long nobody watched is told at the next start (HW-904).

A file whose modification time is the sign; its content is nothing. Owned by the main thread. A directory that can't be
written costs the sign and nothing else: the outbox tells of it.
"""

from __future__ import annotations

import os
from pathlib import Path

NAME = "heartbeat"
EVERY_NS = 10 * 1_000_000_000
AWAY_NS = 60 * 1_000_000_000


class Heartbeat:
    """``directory`` is ``None`` for an agent without state; times are wall time in nanoseconds."""

    def __init__(self, directory: Path | None) -> None:
        self._path = None if directory is None else directory / NAME
        self._last_ns: int | None = None

    def away_since(self, now_ns: int) -> int | None:
        """When the last sign of life was given, if that is so long ago that nobody watched since."""
        if self._path is None:
            return None
        try:
            last_ns = os.stat(self._path, follow_symlinks=False).st_mtime_ns
        except OSError:
            return None
        return last_ns if now_ns - last_ns > AWAY_NS else None

    def beat(self, now_ns: int) -> None:
        """Give a sign of life, if the last one is long enough ago."""
        if self._path is None or (self._last_ns is not None and 0 <= now_ns - self._last_ns < EVERY_NS):
            return
        self._last_ns = now_ns
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.utime(descriptor, ns=(now_ns, now_ns))
            finally:
                os.close(descriptor)
        except OSError:
            return
