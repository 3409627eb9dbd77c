"""The one bounded queue between everything that reads the node and the thread that owns its state.

Any thread puts, one takes. When it is full, an event is dropped and counted, and ``Lost`` takes its place as soon as
there is room: loss is an event like any other, so whoever consumes the queue learns of it in order.

To be woken costs more than an event's own work: the scheduler, the interpreter's lock, and caches that others have used
meanwhile. So an event on a quiet node is taken at once, and in a burst the consumer looks up every ``BURST_SECONDS``:
not where the kernel leaves out what is boring, and each event may be the one that matters (``gathers_bursts``).
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from collectors.events import Event, Lost
from collectors.streamed import STREAM, Streamed

BURST_SECONDS = 0.005


class Wake(Event):
    """No event: somebody wants the consumer to look up (a signal came, or it is time to stop)."""


class Inbox:
    """``limit`` is in events. ``on_loss`` is called, from the thread that lost an event, at the first of a series.

    ``pause`` lets a burst go on for so many seconds, of the clock that ``monotonic`` reads.
    """

    def __init__(
        self,
        limit: int,
        clock_ns: Callable[[], int],
        on_loss: Callable[[], None],
        *,
        pause: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.gathers_bursts = True
        self.dropped = 0
        self.taken = 0
        self._limit = limit
        self._clock_ns = clock_ns
        self._on_loss = on_loss
        self._pause = pause
        self._monotonic = monotonic
        self._is_burst = False
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._unreported = 0
        self._stream_dropped = 0  # of the sensor's thread alone
        self._lock = threading.Lock()

    def put(self, event: Event) -> None:
        """Hand an event over; never blocks. What is for who watches has half of the room, and its loss is nobody's."""
        waiting = self._queue.qsize()
        if isinstance(event, Streamed):
            self._put_streamed(event, waiting)
            return
        if waiting >= self._limit:
            self._drop()
            return
        if self._unreported:
            with self._lock:
                count, self._unreported = self._unreported, 0
            if count:
                self._queue.put(Lost(self._clock_ns(), "inbox", "queue_full", count))
        self._queue.put(event)

    def wake(self) -> None:
        """Make ``take`` return; may be called from a signal handler (``SimpleQueue.put`` is reentrant)."""
        self._queue.put(Wake(0))

    def take(self, timeout_seconds: float) -> Event | None:
        """The next event, ``None`` after the timeout or when woken."""
        try:
            event = self._next(timeout_seconds)
        except queue.Empty:
            return None
        if type(event) is Wake:
            return None
        self.taken += 1
        return event

    def _next(self, timeout_seconds: float) -> Event:
        """The next event; raises ``queue.Empty``. A burst is from a short wait for an event to a pause without one."""
        queued = self._queue
        if self._is_burst and queued.empty():
            self._pause(BURST_SECONDS)
        if not queued.empty():
            return queued.get_nowait()
        self._is_burst = False
        started = self._monotonic()
        event = queued.get(timeout=timeout_seconds)
        self._is_burst = self.gathers_bursts and self._monotonic() - started < BURST_SECONDS
        return event

    def __len__(self) -> int:
        return self._queue.qsize()

    def _put_streamed(self, event: Streamed, waiting: int) -> None:
        if waiting >= self._limit // 2:
            self._stream_dropped += 1
            return
        dropped, self._stream_dropped = self._stream_dropped, 0
        if dropped:
            self._queue.put(Streamed(event.at_ns, Lost(event.at_ns, STREAM, "queue_full", dropped)))
        self._queue.put(event)

    def _drop(self) -> None:
        with self._lock:
            self.dropped += 1
            self._unreported += 1
            is_first = self._unreported == 1
        if is_first:
            self._on_loss()
