"""Outboxes for tests: on a clock that stands still, with alerts of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.outbox import Outbox
from agent.stored_alert import StoredAlert
from detectors.base import Severity
from tests.agent import alerts

NOW_NS = 1_700_000_000_000_000_000

Opened = Callable[..., Outbox]


class Clock:
    """Wall time and monotonic time, both set by the test."""

    def __init__(self) -> None:
        self.now_ns = NOW_NS
        self.monotonic = 100.0

    def ns(self) -> int:
        """Wall time."""
        return self.now_ns

    def seconds(self) -> float:
        """Monotonic time."""
        return self.monotonic


@contextmanager
def outboxes(in_directory: Path, clock: Clock) -> Iterator[Opened]:
    """Opens outboxes, there or elsewhere; closes all that were opened."""
    boxes: list[Outbox] = []

    def open_outbox(directory: Path | None = in_directory, **settings: float) -> Outbox:
        bounds = {"max_bytes": 1 << 24, "max_age_seconds": 3600.0, **settings}
        box = Outbox(directory, clock_ns=clock.ns, monotonic=clock.seconds, **bounds)  # type: ignore[arg-type]
        boxes.append(box)
        return box

    yield open_outbox
    for box in boxes:
        box.close()


def some(box: Outbox, count: int, severity: Severity = Severity.HIGH, size: int = 100) -> list[StoredAlert]:
    """The next alerts of an outbox, with documents of ``size`` bytes and a little more."""
    made = []
    for number in range(box.next_sequence, box.next_sequence + count):
        plain = alerts.stored(number, severity)
        made.append(alerts.stored(number, severity, document=plain.document[:-1] + b',"x":"%s"}' % (b"x" * size)))
    return made


def drained(box: Outbox, sink: str) -> list[StoredAlert]:
    """Everything that a sink still gets."""
    got: list[StoredAlert] = []
    while batch := box.read(sink, 7):
        got += batch
        box.acknowledge(sink, batch[-1].sequence)
    return got
