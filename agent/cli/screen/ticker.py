"""What happens, line after line, as the screen shows it: the last so many events.

Concurrency: one thread adds, the screen's reads; a lock holds the two apart. Bounded: the oldest line goes.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from agent.cli import events as told_events
from agent.cli import told
from agent.cli.tables import Span
from agent.cli.told import Document

LIMIT = 500


@dataclass(frozen=True, slots=True)
class EventLine:
    """One event; ``number`` is its place since the beginning."""

    number: int
    at: str
    kind: Span
    container_id: str
    called: str
    pid: str
    what: str


def event_line(number: int, event: Document) -> EventLine:
    """An event as the agent's live stream has it."""
    at, kind, _, called, pid, _, _, what = told_events.row(event, no_trunc=False)
    assert not isinstance(kind, str)
    return EventLine(number, str(at), kind[0], told.text(event, "container.id"), str(called), str(pid), str(what))


class Ticker:
    """See the module. ``lines`` is another tuple only when something was added."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[EventLine] = deque(maxlen=LIMIT)
        self._count = 0
        self._lines: tuple[EventLine, ...] | None = ()

    def add(self, event: Document) -> None:
        """One more event."""
        with self._lock:
            self._count += 1
            self._kept.append(event_line(self._count, event))
            self._lines = None

    @property
    def lines(self) -> tuple[EventLine, ...]:
        """The oldest first."""
        with self._lock:
            if self._lines is None:
                self._lines = tuple(self._kept)
            return self._lines
