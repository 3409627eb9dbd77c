"""An alert's way from the core to the outbox: rate protection, redaction, rendering, and one commit for many.

Owned by the main thread. Alerts are collected until ``flush``, or until there are ``MAX_COLLECTED``: the caller flushes
when nothing else waits, or ``LONGEST_WAIT_SECONDS`` after the first, so that a burst costs few commits and a single
alert no wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from agent.limits import AlertLimits, Overflow, summary
from agent.outbox import Outbox
from agent.redaction import Redactor
from agent.report import Alert
from agent.stored_alert import StoredAlert, stored

MAX_COLLECTED = 128
LONGEST_WAIT_SECONDS = 0.005


class AlertPath:
    """``redactor`` and ``limits`` are ``None`` where they are off; ``next_sequence`` numbers the summaries.

    ``committed`` hears of what is in the outbox; it must not wait for anybody.
    """

    def __init__(
        self,
        outbox: Outbox,
        redactor: Redactor | None,
        limits: AlertLimits | None,
        next_sequence: Callable[[], int],
        committed: Callable[[Sequence[StoredAlert]], None] = lambda _: None,
    ) -> None:
        self._outbox = outbox
        self._redactor = redactor
        self._limits = limits
        self._next_sequence = next_sequence
        self._committed = committed
        self._collected: list[StoredAlert] = []
        self._since = 0.0

    @property
    def held_back(self) -> int:
        """How many alerts the rate limit has replaced by a summary."""
        return self._limits.held_back if self._limits is not None else 0

    def take(self, alert: Alert) -> None:
        """One alert, in the order of the sequences."""
        if self._limits is not None and not self._limits.passes(alert):
            return
        self._collect(alert)

    def tick(self, now_ns: int) -> None:
        """Event time goes on: tell what was held back for long enough."""
        if self._limits is not None:
            for overflow in self._limits.due(now_ns):
                self._summarise(overflow)

    def flush_if_due(self, *, is_idle: bool) -> None:
        """Commit what was collected, if nothing else waits or it has waited long enough."""
        if self._collected and (is_idle or time.monotonic() - self._since >= LONGEST_WAIT_SECONDS):
            self.flush()

    def flush(self) -> None:
        """Commit what was collected."""
        self._outbox.append(self._collected)
        self._committed(self._collected)
        self._collected = []

    def finish(self) -> None:
        """The end: tell what is held back, and commit."""
        if self._limits is not None:
            for overflow in self._limits.rest():
                self._summarise(overflow)
        self.flush()

    def _summarise(self, overflow: Overflow) -> None:
        self._collect(summary(overflow, self._next_sequence()))

    def _collect(self, alert: Alert) -> None:
        if not self._collected:
            self._since = time.monotonic()
        self._collected.append(stored(alert if self._redactor is None else self._redactor.alert(alert)))
        if len(self._collected) >= MAX_COLLECTED:
            self.flush()
