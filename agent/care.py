"""The care for what runs on a thread of its own: whatever it meets, it is counted, and it runs again.

This is one of the two places that catch broadly (the other is the call of a detector, ``agent.pipeline``): a thread
that died of an error which nobody foresaw would be silence that looks like health.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Pauses:
    """How long something rests before it runs again: twice as long each time, as at first after a long run."""

    def __init__(
        self, first_seconds: float, longest_seconds: float, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._monotonic = monotonic
        self._next_seconds = first_seconds
        self._runs_from = monotonic()

    def take(self) -> float:
        """It has ended with an error now; the seconds of its rest, after which it runs."""
        now = self._monotonic()
        is_first = now - self._runs_from >= self._longest_seconds
        pause = self._first_seconds if is_first else self._next_seconds
        self._next_seconds = min(pause * 2, self._longest_seconds)
        self._runs_from = now + pause
        return pause


def keep_running(body: Callable[[], None], go_on: Callable[[Exception], bool]) -> None:
    """Run ``body`` until it returns. When it raises, ``go_on`` counts that, waits, and says whether it runs again."""
    while True:
        try:
            body()
        except Exception as error:  # noqa: BLE001  see the module
            if not go_on(error):
                return
        else:
            return
