"""From the outbox to the sinks: a thread for each, so that one that is slow or dead delays nobody.

Concurrency: each thread owns its sink and moves its cursor; what it counts is read by others as it is. Nothing is
queued here: what waits, waits in the outbox. One more thread does the outbox' upkeep.

A batch that fails comes again after a pause of chance length (full jitter) below a bound that doubles, or after what
the receiver asked for. A batch that the receiver rejects is sent one by one; what is rejected alone is counted as
dropped. An error that no sink should let out is counted, and the alert that meets it ``MAX_SURPRISES`` times alone is
dropped as well: it would hold up all that come after it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from agent.errors import SinkError, SinkGone
from agent.health import OutboxStatus, SinkStatus
from agent.outbox import Outbox
from agent.sinks.base import Sink
from agent.stored_alert import StoredAlert

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
LONGEST_RETRY_AFTER_SECONDS = 900.0
IDLE_SECONDS = 60.0
TEND_SECONDS = 0.5
MAX_SURPRISES = 8
LOGGED_ATTEMPTS = (3, 10)


@dataclass(slots=True)
class SinkCounts:
    """What became of the alerts of one sink; written by its thread alone. ``is_gone``: for good."""

    sent: int = 0
    retried: int = 0
    dropped: int = 0
    failures: int = 0
    surprises: dict[str, int] = field(default_factory=dict)
    last_success_ns: int | None = None
    last_error: str = ""
    is_failing: bool = False
    is_gone: bool = False


class Delivery:
    """Owns the threads. ``chance`` gives numbers from 0 to 1 for the jitter."""

    def __init__(
        self,
        outbox: Outbox,
        sinks: Iterable[Sink],
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        chance: Callable[[], float] = random.random,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
        on_gone: Callable[[], None] = lambda: None,
    ) -> None:
        self._outbox = outbox
        self._stopping = threading.Event()
        self._couriers = tuple(
            _Courier(outbox, sink, self._stopping, clock_ns, chance, first_pause_seconds, on_gone) for sink in sinks
        )
        self._threads: list[threading.Thread] = []
        self._keeper = threading.Thread(target=self._tend, name="hullwatch-outbox", daemon=True)
        self._is_closed = threading.Event()

    def start(self) -> None:
        """Register the sinks with the outbox and start to deliver."""
        self._outbox.register(courier.sink.name for courier in self._couriers)
        for courier in self._couriers:
            thread = threading.Thread(target=courier.run, name=f"hullwatch-{courier.sink.name}"[:15], daemon=True)
            self._threads.append(thread)
            thread.start()
        self._keeper.start()

    def stop(self, timeout_seconds: float) -> bool:
        """Deliver what there is, within the time; then close the outbox. ``False`` if a sink has not had everything."""
        deadline = time.monotonic() + timeout_seconds
        self._stopping.set()
        self._outbox.wake()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        is_complete = not any(
            self._outbox.waiting(each.sink.name, each.sink.min_severity)[0] for each in self._couriers
        )
        self._is_closed.set()
        self._keeper.join(max(TEND_SECONDS, deadline - time.monotonic()))
        self._outbox.close()
        return is_complete

    @property
    def is_gone(self) -> bool:
        """There are sinks, and none of them will ever take anything again."""
        return bool(self._couriers) and all(courier.counts.is_gone for courier in self._couriers)

    def counts(self) -> dict[str, SinkCounts]:
        """What became of the alerts of each sink."""
        return {courier.sink.name: courier.counts for courier in self._couriers}

    def outbox_status(self) -> OutboxStatus | None:
        """See ``agent.health.DeliveryView``."""
        return self._outbox.status()

    def sink_statuses(self) -> tuple[SinkStatus, ...]:
        """See ``agent.health.DeliveryView``."""
        return tuple(courier.status() for courier in self._couriers)

    def _tend(self) -> None:
        while not self._is_closed.wait(TEND_SECONDS):
            self._outbox.tend()


class _Courier:
    """The thread of one sink."""

    def __init__(
        self,
        outbox: Outbox,
        sink: Sink,
        stopping: threading.Event,
        clock_ns: Callable[[], int],
        chance: Callable[[], float],
        first_pause_seconds: float,
        on_gone: Callable[[], None],
    ) -> None:
        self.sink = sink
        self.counts = SinkCounts()
        self._outbox = outbox
        self._stopping = stopping
        self._clock_ns = clock_ns
        self._chance = chance
        self._first_pause_seconds = first_pause_seconds
        self._on_gone = on_gone
        self._attempts = 0
        self._was_last_attempt = False
        self._log = structlog.get_logger("delivery")

    def run(self) -> None:
        """Deliver until the agent stops and nothing is left, or until the agent stops and the sink fails."""
        try:
            while not self.counts.is_gone:
                self._outbox.wait(self.sink.name, IDLE_SECONDS)
                batch = self._outbox.read(self.sink.name, self.sink.max_batch)
                if not batch and self._stopping.is_set():
                    return
                if batch and not self._deliver(batch):
                    return
        finally:
            self.sink.close()

    def status(self) -> SinkStatus:
        """How the sink does."""
        counts = self.counts
        waiting, oldest_ns = self._outbox.waiting(self.sink.name, self.sink.min_severity)
        return SinkStatus(
            name=self.sink.name,
            sent=counts.sent,
            retried=counts.retried,
            dropped=counts.dropped,
            waiting=waiting,
            oldest_waiting_ns=oldest_ns,
            last_success_ns=counts.last_success_ns,
            is_failing=counts.is_failing,
            failures=counts.failures,
        )

    def _deliver(self, batch: Sequence[StoredAlert]) -> bool:
        """Bring a batch to its end: sent or dropped, and acknowledged. ``False`` when the agent stops before that."""
        wanted = [alert for alert in batch if alert.severity >= self.sink.min_severity]
        if wanted and not self._bring(wanted):
            return False
        self._outbox.acknowledge(self.sink.name, batch[-1].sequence)
        return True

    def _bring(self, alerts: Sequence[StoredAlert]) -> bool:
        """Send until they are taken, or split them where they are refused."""
        surprises = 0
        while True:
            error = self._send(alerts)
            if error is None:
                return True
            if isinstance(error, SinkGone):
                self.counts.is_gone = True
                self._on_gone()
                return False
            surprises += not isinstance(error, SinkError)
            is_refused = error.rejected if isinstance(error, SinkError) else True
            if is_refused and len(alerts) > 1:
                return self._one_by_one(alerts)
            if is_refused and (isinstance(error, SinkError) or surprises >= MAX_SURPRISES):
                self._drop(alerts[0])
                return True
            self.counts.retried += len(alerts)
            if not self._pause(error.retry_after_seconds if isinstance(error, SinkError) else None):
                return False

    def _one_by_one(self, alerts: Sequence[StoredAlert]) -> bool:
        for alert in alerts:
            if not self._bring((alert,)):
                return False
            self._outbox.acknowledge(self.sink.name, alert.sequence)
        return True

    def _send(self, alerts: Sequence[StoredAlert]) -> Exception | None:
        """Try once. The third and last place that catches broadly: what a sink should not let out is counted."""
        try:
            self.sink.send(alerts)
        except SinkError as error:
            self._failed(error, error.detail)
            return error
        except Exception as error:  # noqa: BLE001  see above; a thread that died would be silence
            what = f"{type(error).__name__}: {error}"[:200]
            self.counts.surprises[type(error).__name__] = self.counts.surprises.get(type(error).__name__, 0) + 1
            self._failed(error, what)
            return error
        counts = self.counts
        counts.sent += len(alerts)
        counts.last_success_ns = self._clock_ns()
        self._attempts = 0
        if counts.is_failing:
            counts.is_failing = False
            self._log.info("sink_recovered", sink=self.sink.name)
        return None

    def _failed(self, error: Exception, detail: str) -> None:
        counts = self.counts
        counts.failures += 1
        # A receiver may say something else each time: the log hears of it when the trouble is new, or grows old.
        if not counts.is_failing or self._attempts in LOGGED_ATTEMPTS:
            surprise = None if isinstance(error, SinkError) else error
            self._log.warning("sink_failed", sink=self.sink.name, error=detail, exc_info=surprise)
        counts.is_failing = True
        counts.last_error = detail

    def _drop(self, alert: StoredAlert) -> None:
        self.counts.dropped += 1
        self._log.error("alert_rejected", sink=self.sink.name, alert=alert.id, error=self.counts.last_error)

    def _pause(self, retry_after_seconds: float | None) -> bool:
        """Wait before the next attempt; ``False`` when the agent stops, and the last attempt has been."""
        if retry_after_seconds is not None:
            seconds = min(max(retry_after_seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)
        else:
            bound = min(self._first_pause_seconds * 2 ** min(self._attempts, 16), LONGEST_PAUSE_SECONDS)
            seconds = bound * self._chance()
        self._attempts += 1
        if self._was_last_attempt:
            return False
        self._was_last_attempt = self._stopping.wait(seconds)
        return True
