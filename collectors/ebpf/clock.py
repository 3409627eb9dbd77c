"""Wall time of moments that the kernel gives as CLOCK_BOOTTIME, which no programs of ours can turn into wall time."""

from __future__ import annotations

import time

REMEASURE_NS = 10_000_000_000


def wall_minus_boot_ns() -> int:
    """What to add to CLOCK_BOOTTIME to get wall time."""
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class WallClock:
    """Measures the difference anew every ten seconds: somebody may set the clock. For one thread at a time."""

    def __init__(self) -> None:
        self._offset_ns = wall_minus_boot_ns()
        self._measured_at_ns = 0

    def at(self, boot_ns: int) -> int:
        """Wall time of a moment."""
        if boot_ns - self._measured_at_ns > REMEASURE_NS:
            self._measured_at_ns = boot_ns
            self._offset_ns = wall_minus_boot_ns()
        return boot_ns + self._offset_ns
