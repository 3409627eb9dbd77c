"""What outlives the agent of its incidents: the number of each container's latest one, and when it was last heard of.

With it an agent that is started anew gives the same id to a story that goes on, and another one to the next. A small
file in the state directory, read at start and written when it has changed, every ten seconds at most; owned by the main
thread. A directory that can't be written, or a file that makes no sense, costs that and nothing else. Bounded: the
containers that were heard of last.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from agent.incidents import Incidents, Numbered

NAME = "incidents"
EVERY_NS = 10 * 1_000_000_000
MAX_CONTAINERS = 4096
MAX_BYTES = 1 << 20


class IncidentMemory:
    """``directory`` is ``None`` for an agent without state."""

    def __init__(self, directory: Path | None) -> None:
        self._path = None if directory is None else directory / NAME
        self._kept: tuple[Numbered, ...] = ()
        self._kept_ns: int | None = None

    def restore(self, incidents: Incidents) -> None:
        """Have the incidents go on where the last agent ended."""
        if self._path is None:
            return
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                data = os.read(descriptor, MAX_BYTES)
            finally:
                os.close(descriptor)
            self._kept = msgspec.json.decode(data, type=tuple[Numbered, ...])[-MAX_CONTAINERS:]
        except (OSError, ValueError):  # no JSON, not of this shape, or no UTF-8
            return
        incidents.resume(self._kept)

    def keep(self, incidents: Incidents, now_ns: int, *, is_last: bool = False) -> None:
        """Write what has changed, if the last time is long enough ago."""
        if self._path is None:
            return
        if not is_last and self._kept_ns is not None and 0 <= now_ns - self._kept_ns < EVERY_NS:
            return
        self._kept_ns = now_ns
        # runc takes any name for a container, also one that is no text: that one's story begins anew
        numbers = tuple(each for each in incidents.numbers() if (each.container_id or "").isascii())[-MAX_CONTAINERS:]
        if numbers == self._kept:
            return
        beside = self._path.with_suffix(".new")
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                rest = memoryview(msgspec.json.encode(numbers))
                while rest:  # a disk that becomes full takes a part, and says why not more at the next call
                    rest = rest[os.write(descriptor, rest) :]
            finally:
                os.close(descriptor)
            beside.replace(self._path)
        except OSError:
            return
        self._kept = numbers
