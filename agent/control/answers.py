"""What an answer of the control socket is: an iterator of values, driven by the server when the client has room. Pure.

``NOTHING_YET`` says that the answer goes on, but not now: somebody will ring. ``GO_ON`` says that there is more to do
before the next value, and others may have their turn. ``Feed`` is how the core hands live things to an answer without
ever waiting for it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any, Final, Generic, TypeVar

from agent.control.protocol import Code

T = TypeVar("T")

FEED_LIMIT = 4096


class Nothing(Enum):
    """The type of what is no value."""

    YET = "yet"
    NOW = "now"


NOTHING_YET: Final = Nothing.YET
GO_ON: Final = Nothing.NOW

Answer = Iterator[object]
Method = Callable[[Mapping[str, Any]], Answer]
"""Takes the parameters of a request. Raises ``Unanswerable``, at once or while the answer goes on."""


class Unanswerable(Exception):
    """There is no answer, or no more of it; the client is told."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code


class Feed(Generic[T]):
    """A bounded way from the core's thread to one answer. What does not fit ends it: the client was too slow."""

    def __init__(self, ring: Callable[[], None], limit: int = FEED_LIMIT) -> None:
        self._ring = ring
        self._limit = limit
        self._lock = threading.Lock()
        self._waiting: deque[T] = deque()
        self._is_overrun = False

    def offer(self, thing: T) -> None:
        """Hand something over; never waits."""
        with self._lock:
            if len(self._waiting) >= self._limit:
                self._is_overrun = True
                return
            self._waiting.append(thing)
            is_first = len(self._waiting) == 1
        if is_first:
            self._ring()

    def take(self) -> T | Nothing:
        """The next thing. Raises ``Unanswerable`` when some did not fit."""
        with self._lock:
            if self._is_overrun:
                raise Unanswerable(Code.TOO_SLOW, f"more than {self._limit} things waited for you: you are too slow")
            return self._waiting.popleft() if self._waiting else NOTHING_YET
