"""From the outbox to the sinks: a thread for each, so that one that is slow or dead delays nobody.

Concurrency: each thread owns its sink and moves its cursor; what it counts is read by others as it is. Nothing is
queued here: what waits, waits in the outbox. One more thread does the outbox' upkeep.

A batch that fails comes again after a pause of chance length (full jitter) below a bound that doubles, or after what
the receiver asked for. A batch that the receiver rejects is sent one by one; what is rejected alone is counted as
dropped. An error that no sink should let out ends the run of its thread, and ``agent.care`` starts it again; the batch
comes again one by one, and the alert that meets it ``MAX_SURPRISES`` times alone is dropped as well: it would hold up
all that come after it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from agent import tally
from agent.care import keep_running
from agent.errors import SinkError, SinkGone
from agent.health import OutboxStatus, SinkStatus
from agent.outbox import Outbox
from agent.sinks.base import Selective, Sink
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
    """Owns the threads. ``chance`` gives numbers from 0 to 1 for the jitter; ``wait`` lets the pauses pass."""

    def __init__(
        self,
        outbox: Outbox,
        sinks: Iterable[Sink],
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        chance: Callable[[], float] = random.random,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
        on_gone: Callable[[], None] = lambda: None,
    ) -> None:
        self._outbox = outbox
        self._stopping = threading.Event()
        patience = _Patience(self._stopping, chance, wait, first_pause_seconds)
        self._couriers = tuple(_Courier(outbox, sink, patience, clock_ns, on_gone) for sink in sinks)
        self._upkeep_failures: dict[str, int] = {}
        self._log = structlog.get_logger("delivery")
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

    def failing(self) -> dict[str, bool]:
        """Of each sink whether its latest attempt failed; looks at nothing else, and so waits for nobody."""
        return {courier.sink.name: courier.counts.is_failing for courier in self._couriers}

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
        keep_running(self._tend_until_closed, self._tend_failed)

    def _tend_until_closed(self) -> None:
        while not self._is_closed.wait(TEND_SECONDS):
            self._outbox.tend()

    def _tend_failed(self, error: Exception) -> bool:
        what = f"{type(error).__name__}: {error}"[:200]
        if tally.count(self._upkeep_failures, what) == 1:
            self._log.error("upkeep_failed", error=what, exc_info=error)
        return not self._is_closed.wait(TEND_SECONDS)


@dataclass(frozen=True, slots=True)
class _Patience:
    """How the threads of the sinks wait, all in the same way."""

    stopping: threading.Event
    chance: Callable[[], float]
    wait: Callable[[threading.Event, float], bool]
    first_pause_seconds: float

    def pause(self, attempts: int) -> float:
        """Seconds before the next attempt, when so many have failed: full jitter below a bound that doubles."""
        bound = min(self.first_pause_seconds * 2.0 ** min(attempts, 16), LONGEST_PAUSE_SECONDS)
        return bound * self.chance()


class _Courier:
    """The thread of one sink."""

    def __init__(
        self,
        outbox: Outbox,
        sink: Sink,
        patience: _Patience,
        clock_ns: Callable[[], int],
        on_gone: Callable[[], None],
    ) -> None:
        self.sink = sink
        self.counts = SinkCounts()
        self._outbox = outbox
        self._patience = patience
        self._stopping = patience.stopping
        self._clock_ns = clock_ns
        self._on_gone = on_gone
        self._attempts = 0
        self._sending: Sequence[StoredAlert] = ()
        self._alone_until = 0
        self._surprises_alone = 0
        self._was_last_attempt = False
        self._log = structlog.get_logger("delivery")

    def run(self) -> None:
        """Deliver until the agent stops and nothing is left, or until the agent stops and the sink fails."""
        try:
            keep_running(self._run, self._surprised)
        finally:
            self.sink.close()

    def _run(self) -> None:
        while not self.counts.is_gone:
            self._outbox.wait(self.sink.name, IDLE_SECONDS)
            batch = self._outbox.read(self.sink.name, self.sink.max_batch)
            if not batch and self._stopping.is_set():
                return
            if batch and batch[0].sequence <= self._alone_until:
                batch = batch[:1]
            if batch and not self._deliver(batch):
                return

    def _surprised(self, error: Exception) -> bool:
        """An error that no sink should let out, nor the outbox: count it, and send what met it one by one."""
        kind = type(error).__name__
        tally.count(self.counts.surprises, kind)
        self._failed(f"{kind}: {error}"[:200], error)
        sending, self._sending = self._sending, ()
        if sending:
            self.counts.retried += len(sending)
            self._surprises_alone = self._surprises_alone + 1 if len(sending) == 1 else 0
            self._alone_until = max(self._alone_until, sending[-1].sequence)
        if self._surprises_alone >= MAX_SURPRISES:
            self._surprises_alone = 0
            self._drop(sending[0])
            self._outbox.acknowledge(self.sink.name, sending[0].sequence)
            return True
        return self._pause(None)

    def status(self) -> SinkStatus:
        """How the sink does."""
        counts = self.counts
        waiting, oldest_ns = self._outbox.waiting(self.sink.name, self.sink.min_severity)
        return SinkStatus(
            name=self.sink.name,
            sent=counts.sent,
            retried=counts.retried,
            dropped=counts.dropped + (self.sink.refused if isinstance(self.sink, Selective) else 0),
            waiting=waiting,
            oldest_waiting_ns=oldest_ns,
            last_success_ns=counts.last_success_ns,
            is_failing=counts.is_failing,
            failures=counts.failures,
            left_out=self.sink.left_out if isinstance(self.sink, Selective) else 0,
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
        while True:
            error = self._send(alerts)
            if error is None:
                return True
            if isinstance(error, SinkGone):
                self.counts.is_gone = True
                self._on_gone()
                return False
            if error.rejected and len(alerts) > 1:
                return self._one_by_one(alerts)
            if error.rejected:
                self._drop(alerts[0])
                return True
            self.counts.retried += len(alerts)
            if not self._pause(error.retry_after_seconds):
                return False

    def _one_by_one(self, alerts: Sequence[StoredAlert]) -> bool:
        for alert in alerts:
            if not self._bring((alert,)):
                return False
            self._outbox.acknowledge(self.sink.name, alert.sequence)
        return True

    def _send(self, alerts: Sequence[StoredAlert]) -> SinkError | None:
        """Try once."""
        self._sending = alerts
        try:
            self.sink.send(alerts)
        except SinkError as error:
            self._failed(error.detail)
            return error
        self._sending = ()
        self._surprises_alone = 0
        counts = self.counts
        counts.sent += len(alerts)
        counts.last_success_ns = self._clock_ns()
        self._attempts = 0
        if counts.is_failing:
            counts.is_failing = False
            self._log.info("sink_recovered", sink=self.sink.name)
        return None

    def _failed(self, detail: str, surprise: Exception | None = None) -> None:
        counts = self.counts
        counts.failures += 1
        # A receiver may say something else each time: the log hears of it when the trouble is new, or grows old.
        if not counts.is_failing or self._attempts in LOGGED_ATTEMPTS:
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
            seconds = self._patience.pause(self._attempts)
        self._attempts += 1
        if self._was_last_attempt:
            return False
        self._was_last_attempt = self._patience.wait(self._stopping, seconds)
        return True
