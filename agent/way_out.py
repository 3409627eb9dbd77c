"""All that is between the core and the receivers, put together: alert path, outbox, delivery, sinks.

Owned by the main thread; delivery has the threads (``agent.delivery``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from agent.alert_path import AlertPath
from agent.config_schema import Config
from agent.delivery import Delivery
from agent.formats.instant import timestamp
from agent.heartbeat import Heartbeat
from agent.limits import AlertLimits
from agent.outbox import Outbox, Query
from agent.redaction import Redactor
from agent.report import Alert, AlertBuilder
from agent.sinks.catalog import open_sinks
from agent.sinks.file import FileSink
from agent.stored_alert import StoredAlert
from collectors.events import AgentTrouble, Event, TroubleKind

SINK_AWAY_NS = 30 * 1_000_000_000


class WayOut:
    """Opened at the start: raises ``ConfigError`` where state directory or sinks cannot be as they are configured."""

    def __init__(self, config: Config, on_gone: Callable[[], None], emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._failing_since: dict[str, int] = {}
        self._told: set[str] = set()
        directory = None if config.state.directory is None else Path(config.state.directory)
        self._heartbeat = Heartbeat(directory)
        self._sinks = open_sinks(config)
        self._outbox = Outbox(
            directory,
            max_bytes=config.state.max_bytes,
            max_age_seconds=config.state.max_age_seconds,
            clock_ns=time.time_ns,
        )
        self.delivery = Delivery(self._outbox, self._sinks, on_gone=on_gone)
        self._redaction = config.output.redaction
        self._rate_limit = config.output.rate_limit
        self._path: AlertPath | None = None
        self._log = structlog.get_logger("way_out")

    @property
    def first_sequence(self) -> int:
        """The number of this run's first alert."""
        return self._outbox.next_sequence

    @property
    def is_gone(self) -> bool:
        """No sink will ever take anything again."""
        return self.delivery.is_gone

    def held_back(self) -> int:
        """How many alerts the rate limit has replaced by a summary."""
        return self._path.held_back if self._path is not None else 0

    def history(self, wanted: Query, limit: int) -> list[StoredAlert]:
        """The newest alerts that are wanted, newest first; from any thread. Raises ``OutboxFileError``."""
        return self._outbox.query(wanted, limit)

    def start(self, builder: AlertBuilder, committed: Callable[[Sequence[StoredAlert]], None] = lambda _: None) -> None:
        """Begin to deliver; what was left by the run before goes first. ``committed`` as of ``AlertPath``."""
        rate = self._rate_limit
        self._path = AlertPath(
            self._outbox,
            Redactor(self._redaction) if self._redaction.enabled else None,
            AlertLimits(burst=rate.burst, per_minute=rate.per_minute) if rate.enabled else None,
            builder.next_sequence,
            committed,
        )
        self.note_troubles()
        now_ns = time.time_ns()
        if (since_ns := self._heartbeat.away_since(now_ns)) is not None:
            why = f"nobody watched from {timestamp(since_ns)} to {timestamp(now_ns)}"
            self._emit(AgentTrouble(now_ns, TroubleKind.AWAY, "agent", why))
        self.delivery.start()

    def take(self, alert: Alert) -> None:
        """An alert was raised."""
        self._started().take(alert)

    def swept(self, at_ns: int) -> None:
        """Once a sweep: tell what the rate limit held back, what the outbox met, and which sink is away."""
        self._started().tick(at_ns)
        self.note_troubles()
        self._note_sinks(at_ns)
        self._heartbeat.beat(at_ns)

    def turned(self, *, is_idle: bool) -> None:
        """Once for each event, when its alerts were taken: ``is_idle`` says that no other event waits."""
        self._started().flush_if_due(is_idle=is_idle)

    def spare_memory(self, *, is_sparing: bool) -> None:
        """Memory is short: what is on disk need not be in memory as well."""
        self._outbox.spare_memory(is_sparing=is_sparing)

    def reopen(self) -> None:
        """SIGHUP: open files anew."""
        for sink in self._sinks:
            if isinstance(sink, FileSink):
                sink.reopen()

    def stop(self, timeout_seconds: float) -> None:
        """Commit the rest, and deliver what can be delivered within the time."""
        self._started().finish()
        is_complete = self.delivery.stop(timeout_seconds)
        self.note_troubles()
        if not is_complete:
            waiting = {each.name: each.waiting for each in self.delivery.sink_statuses() if each.waiting}
            self._log.warning("alerts_wait_for_next_run", alerts=waiting)

    def note_troubles(self) -> None:
        """Log what the outbox met since the last time."""
        for report in self._outbox.take_reports():
            log = self._log.info if report.reason == "recovered" else self._log.warning
            log("outbox", reason=report.reason, detail=report.detail, dropped=report.dropped)
            if report.reason != "recovered":
                lost = f", {report.dropped} alerts were dropped" if report.dropped else ""
                why = f"{report.reason}: {report.detail}{lost}"
                self._emit(AgentTrouble(time.time_ns(), TroubleKind.SINK_UNREACHABLE, "outbox", why))

    def _note_sinks(self, at_ns: int) -> None:
        """Tell of a sink that has failed for a while; once for each time that it is away."""
        for name, is_failing in self.delivery.failing().items():
            if not is_failing:
                self._failing_since.pop(name, None)
                self._told.discard(name)
                continue
            # A clock that was set back begins anew.
            since_ns = self._failing_since[name] = min(self._failing_since.get(name, at_ns), at_ns)
            if name not in self._told and at_ns - since_ns >= SINK_AWAY_NS:
                self._told.add(name)
                why = f"every attempt has failed since {timestamp(since_ns)}"
                self._emit(AgentTrouble(at_ns, TroubleKind.SINK_UNREACHABLE, name, why))

    def _started(self) -> AlertPath:
        assert self._path is not None
        return self._path
