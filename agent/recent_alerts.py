"""The newest alerts in memory: what sinks that keep up are served from, and what waits while the disk takes nothing.

In order of ``sequence``, bounded in bytes. Not safe among threads: ``agent.outbox`` holds its lock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from agent.stored_alert import StoredAlert

OVERHEAD_BYTES = 512
"""What an alert takes beside its document, in memory and (generously) on disk."""


def size_of(alert: StoredAlert) -> int:
    """What an alert counts for, in bytes."""
    return len(alert.document) + OVERHEAD_BYTES


@dataclass(frozen=True, slots=True)
class Recent:
    """An alert, and when it came in."""

    alert: StoredAlert
    stored_ns: int


class RecentAlerts:
    """``limit_bytes`` is kept by ``trim``, which says what it let go of."""

    def __init__(self, limit_bytes: int) -> None:
        self.size_bytes = 0
        self._limit_bytes = limit_bytes
        self._alerts: list[Recent] = []

    def __len__(self) -> int:
        return len(self._alerts)

    def __iter__(self) -> Iterator[Recent]:
        return iter(self._alerts)

    @property
    def is_over(self) -> bool:
        """There is more than there may be."""
        return self.size_bytes > self._limit_bytes

    def extend(self, alerts: Iterable[StoredAlert], stored_ns: int) -> None:
        """Put alerts behind those that are here; their sequences are higher."""
        for alert in alerts:
            self._alerts.append(Recent(alert, stored_ns))
            self.size_bytes += size_of(alert)

    def after(self, sequence: int, limit: int, max_bytes: int) -> list[StoredAlert]:
        """The next alerts behind ``sequence``: at least one if there is one, else within both bounds."""
        found: list[StoredAlert] = []
        room = max_bytes
        for recent in self._alerts[(start := self._index(sequence)) : start + limit]:
            room -= size_of(recent.alert)
            if found and room < 0:
                break
            found.append(recent.alert)
        return found

    def since(self, sequence: int) -> Sequence[Recent]:
        """All that is behind ``sequence``."""
        return self._alerts[self._index(sequence) :]

    def trim(self, until: int) -> int | None:
        """Let go of the oldest up to ``until``, as long as there is too much; the last sequence that went.

        A quarter more than needed goes, so that it is not done for each alert.
        """
        if not self.is_over:
            return None
        return self._drop_oldest(lambda recent: recent.alert.sequence <= until)

    def let_go(self, until: int) -> int | None:
        """Let go of all up to ``until``; the last sequence that went."""
        count = self._index(until)
        if not count:
            return None
        last = self._alerts[count - 1].alert.sequence
        self.size_bytes -= sum(size_of(recent.alert) for recent in self._alerts[:count])
        del self._alerts[:count]
        return last

    def evict(self) -> dict[int, int]:
        """Let go of the lowest severities, oldest first, as long as there is too much; how many went, by severity."""
        gone: dict[int, int] = {}
        if not self.is_over:
            return gone
        doomed: set[int] = set()
        for recent in sorted(self._alerts, key=lambda each: (each.alert.severity, each.alert.sequence)):
            if self.size_bytes <= self._target_bytes:
                break
            gone[recent.alert.severity] = gone.get(recent.alert.severity, 0) + 1
            doomed.add(recent.alert.sequence)
            self.size_bytes -= size_of(recent.alert)
        self._alerts = [recent for recent in self._alerts if recent.alert.sequence not in doomed]
        return gone

    @property
    def _target_bytes(self) -> int:
        return self._limit_bytes * 3 // 4

    def _drop_oldest(self, may_go: Callable[[Recent], bool]) -> int | None:
        count = 0
        for recent in self._alerts:
            if self.size_bytes <= self._target_bytes or not may_go(recent):
                break
            self.size_bytes -= size_of(recent.alert)
            count += 1
        last = self._alerts[count - 1].alert.sequence if count else None
        del self._alerts[:count]
        return last

    def _index(self, sequence: int) -> int:
        return bisect_right(self._alerts, sequence, key=lambda recent: recent.alert.sequence)
