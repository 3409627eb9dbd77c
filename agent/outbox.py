"""Every alert that was raised, until every sink has it and beyond: on disk before any sink sees it.

Concurrency: one thread appends (the one that owns the node's state), each sink's thread reads and acknowledges, one
thread calls ``tend``. ``_file_lock`` serialises what writes to the file, ``_lock`` guards what is in memory; who needs
both takes them in this order. Sinks that keep up are served from memory, a replay from the file.

Cursors are written with the next commit, or by ``tend``: what a sink took in the last moment before a ``kill -9`` it
gets again, under the same ``event.id``.

What is bounded: the file in bytes (what every sink has goes first, then the lowest severity, its oldest first, counted
as dropped), what every sink has in age, and the memory in bytes. What no sink has had is never dropped for its age, so
that a clock that jumps costs no alert. When the disk takes nothing, alerts wait in memory, within its bound, and are
written as soon as it does again.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from agent.alert_query import Query
from agent.errors import ConfigError
from agent.health import OutboxStatus
from agent.outbox_errors import FileTrouble, OutboxFileError
from agent.outbox_file import OutboxFile
from agent.outbox_salvage import ASIDE_NAME, replace_file
from agent.outbox_troubles import OutboxReport, OutboxTroubles
from agent.recent_alerts import Recent, RecentAlerts, size_of
from agent.sink_cursors import SinkCursors
from agent.state_directory import StateDirectory, StateUnavailable
from agent.stored_alert import StoredAlert

__all__ = ["Outbox", "OutboxReport", "Query", "StoredAlert"]

MEMORY_BYTES = 8 << 20
READ_BYTES = 4 << 20
EVICT_BYTES = 1 << 20
RETRY_SECONDS = 1.0
REOPEN_SECONDS = 5.0
PRUNE_SECONDS = 10.0


class Outbox:
    """``directory`` is ``None`` for an outbox that is in memory only.

    Raises ``ConfigError`` where the directory must not be used. One that cannot be made or written, now, is reported,
    and tried again.
    """

    def __init__(
        self,
        directory: Path | None,
        *,
        max_bytes: int,
        max_age_seconds: float,
        clock_ns: Callable[[], int],
        memory_bytes: int = MEMORY_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._max_age_ns = int(max_age_seconds * 1e9)
        self._clock_ns = clock_ns
        self._monotonic = monotonic
        self._claim: StateDirectory | None = None
        self._file: OutboxFile | None = None
        self._file_lock = threading.RLock()
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._recent = RecentAlerts(memory_bytes)
        self._is_sparing = False
        self._memory_bytes = memory_bytes
        self._cursors = SinkCursors()
        self._is_woken = False
        self._troubles = OutboxTroubles()
        self._retry_at = 0.0
        self._prune_at = 0.0
        self._write_failures = 0
        self._is_synced = True
        self._was_replaced = False
        # Alerts behind _edge are in memory, all of them; those before are in the file only.
        # Microseconds of the clock as the first number: a file that was lost or not written does not repeat numbers.
        self._edge = max(clock_ns() // 1000, 0)
        if directory is not None:
            self._attach(is_start=True)
        self._edge = max(self._edge, self._last_in_file(), *self._known_cursors().values())
        self._last = self._saved = self._edge

    @property
    def next_sequence(self) -> int:
        """The number that the first alert of this run takes: higher than any before."""
        return self._last + 1

    def register(self, sinks: Iterable[str]) -> None:
        """The sinks of this run; call it once, before the first alert. One that is new begins with what comes next."""
        with self._file_lock:
            known = self._known_cursors()
            beginning = 0 if self._was_replaced else self._last  # cursors that were lost: rather twice than never
            with self._lock:
                self._cursors.begin(sinks, known, beginning)
            self._save(())

    def append(self, alerts: Sequence[StoredAlert]) -> None:
        """Commit alerts, in the order of their sequences, and then let the sinks see them. Never raises, never waits.

        That is, it waits for the page cache, not for the disk.
        """
        if not alerts:
            return
        with self._file_lock:
            now_ns = self._clock_ns()
            self._save([Recent(alert, now_ns) for alert in alerts])
            with self._changed:
                self._recent.extend(alerts, now_ns)
                self._last = alerts[-1].sequence
                self._bound_memory()
                self._changed.notify_all()

    def read(self, sink: str, limit: int, max_bytes: int = READ_BYTES) -> list[StoredAlert]:
        """The alerts behind the sink's cursor, oldest first: at most ``limit``, within ``max_bytes`` or just one."""
        while True:
            with self._lock:
                cursor, edge, file = self._cursors[sink], self._edge, self._file
                if file is None or cursor >= edge:
                    return self._from_memory(sink, cursor, limit, max_bytes)
            try:
                found = file.read(cursor, edge, limit, max_bytes)
            except OutboxFileError as error:
                self._give_up(file, error)
                continue
            if found:
                return found
            with self._lock:
                if self._edge == edge and self._file is file:
                    return self._from_memory(sink, edge, limit, max_bytes)

    def acknowledge(self, sink: str, sequence: int) -> None:
        """The sink has everything up to ``sequence``."""
        with self._lock:
            self._cursors.advance(sink, sequence)

    def wait(self, sink: str, timeout_seconds: float) -> bool:
        """Wait until there may be something for the sink; ``False`` after the timeout. Returns at once when woken."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_woken or self._cursors[sink] < self._last, timeout_seconds)

    def wake(self) -> None:
        """From now on nobody waits any more: the end is near."""
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def tend(self) -> None:
        """Upkeep, twice a second or so: cursors to the file, the file to the disk, old history away, mend troubles."""
        with self._file_lock:
            if self._file is not None and not self._file.is_in_place():
                self._lost_file("moved", f"{self._file.path} was moved or removed; a new one takes its place")
            if self._file is None and self._directory is not None and self._monotonic() >= self._retry_at:
                self._attach()
            if self._has_unsaved():
                self._save(())
            self._prune()
            self._forget_delivered()
            file, is_synced, self._is_synced = self._file, self._is_synced, True
        if file is not None and not is_synced:
            try:
                file.checkpoint()
            except OutboxFileError:  # the next commit meets it too, and reports it
                self._is_synced = False

    def close(self) -> None:
        """Write what is to be written, and let another agent have the directory."""
        with self._file_lock:
            if self._file is None and self._directory is not None:
                self._attach()  # the last chance of what is in memory alone
            self._retry_at = 0.0
            if self._has_unsaved():
                self._save(())
            file, self._file = self._file, None
            if file is not None:
                file.close()
            if self._claim is not None:
                self._claim.release()
                self._claim = None

    # What it says of itself ------------------------------------------------------------------------------------------

    def take_reports(self) -> tuple[OutboxReport, ...]:
        """What became known since the last call."""
        return self._troubles.take()

    def status(self) -> OutboxStatus:
        """How it does."""
        with self._lock:
            file = self._file
            return OutboxStatus(
                alerts=file.count if file is not None else len(self._recent),
                size_bytes=file.size_bytes if file is not None else self._recent.size_bytes,
                limit_bytes=self._max_bytes if file is not None else self._memory_bytes,
                dropped=self._troubles.dropped(),
                write_failures=self._write_failures,
                is_failing=self._directory is not None and self._troubles.current is not None,
            )

    def waiting(self, sink: str, min_severity: int) -> tuple[int, int | None]:
        """How many alerts the sink still has to take, and when the oldest of them came in."""
        with self._lock:
            cursor, edge, file = self._cursors[sink], self._edge, self._file
            recent = [each for each in self._recent.since(max(cursor, 0)) if each.alert.severity >= min_severity]
        count, oldest_ns = 0, None
        if file is not None and cursor < edge:
            with contextlib.suppress(OutboxFileError):  # who reads it to deliver meets that too, and reports it
                count, oldest_ns = file.waiting(cursor, edge, min_severity)
        if oldest_ns is None and recent:
            oldest_ns = recent[0].stored_ns
        return count + len(recent), oldest_ns

    def query(self, wanted: Query, limit: int) -> list[StoredAlert]:
        """The newest alerts that are wanted, newest first; raises ``OutboxFileError``."""
        with self._lock:
            file = self._file
            behind = self._saved if file is not None else 0
            fresh = [each.alert for each in self._recent.since(behind) if wanted.covers(each.alert)]
        older = file.query(wanted, limit) if file is not None else []
        return [*reversed(fresh), *older][:limit]

    # The file: _file_lock is held ------------------------------------------------------------------------------------

    def _attach(self, *, is_start: bool = False) -> None:
        """Open the file. Sinks that have alerts in it which they have not had go back to them."""
        assert self._directory is not None
        self._retry_at = self._monotonic() + REOPEN_SECONDS
        try:
            if self._claim is None:
                self._claim = StateDirectory(self._directory)
            file = self._opened(self._directory)
        except StateUnavailable as error:
            self._troubles.note("unavailable", str(error))
            return
        except ConfigError as error:
            if is_start:
                raise
            self._troubles.note("refused", str(error))
            return
        except OutboxFileError as error:
            self._troubles.note(error.trouble, str(error))
            return
        with self._changed:
            self._file = file
            self._saved = self._edge
            self._retry_at = 0.0
            self._troubles.note(None)
            known = self._known_cursors()
            self._cursors.go_back(known, lambda after: file.may_hold(after, self._edge), is_new=self._was_replaced)
            self._changed.notify_all()

    def _opened(self, directory: Path) -> OutboxFile:
        try:
            return OutboxFile(directory)
        except OutboxFileError as error:
            if error.trouble is not FileTrouble.CORRUPT:
                raise
            return self._replaced(directory, error)

    def _replaced(self, directory: Path, why: OutboxFileError) -> OutboxFile:
        """A new file in place of one that is no use, with what can be read of that."""
        file, count = replace_file(directory, why)
        self._was_replaced = True
        detail = f"{why}; set aside as {ASIDE_NAME}, {count} alerts were read"
        self._troubles.report(OutboxReport(FileTrouble.CORRUPT, detail))
        return file

    def _save(self, fresh: Sequence[Recent], *, may_replace: bool = True) -> None:
        """Commit what is not yet in the file, and ``fresh``, which nobody has seen yet."""
        if self._file is None or (self._troubles.current is not None and self._monotonic() < self._retry_at):
            return
        with self._lock:
            alerts = [*self._recent.since(self._saved), *fresh]
            cursors = self._cursors.unsaved
        try:
            self._commit(self._file, alerts, cursors)
        except OutboxFileError as error:
            self._write_failures += 1
            if error.trouble is FileTrouble.CORRUPT and may_replace:
                self._give_up(self._file, error)
                self._save(fresh, may_replace=False)
                return
            self._retry_at = self._monotonic() + RETRY_SECONDS
            self._troubles.note(error.trouble, str(error))
            return
        self._is_synced = False
        with self._lock:
            self._troubles.note(None)
            self._cursors.saved(cursors)
            if alerts:
                self._saved = max(self._saved, alerts[-1].alert.sequence)

    def _commit(self, file: OutboxFile, alerts: Sequence[Recent], cursors: dict[str, int]) -> None:
        excess = file.size_bytes + sum(size_of(each.alert) for each in alerts) - self._max_bytes
        if alerts and excess > 0:
            lost = file.evict(max(excess, min(EVICT_BYTES, self._max_bytes // 8)), self._delivered())
            self._troubles.note_dropped("full", f"more than {self._max_bytes} bytes of alerts", lost)
        file.append(alerts, cursors)

    def _prune(self) -> None:
        if self._file is None or self._troubles.current is not None or self._monotonic() < self._prune_at:
            return
        self._prune_at = self._monotonic() + PRUNE_SECONDS
        try:
            while self._file.prune(self._clock_ns() - self._max_age_ns, self._delivered()):
                self._is_synced = False
        except OutboxFileError as error:
            self._troubles.note(error.trouble, str(error))

    def _give_up(self, file: OutboxFile, error: OutboxFileError) -> None:
        """The file is no use: a new one if it is damaged, else none until it can be opened again."""
        with self._file_lock:
            if self._file is not file:
                return  # somebody else was here before
            self._lost_file(error.trouble, str(error))
            if error.trouble is FileTrouble.CORRUPT:
                assert self._directory is not None
                try:
                    replaced = self._replaced(self._directory, error)
                except OutboxFileError as again:
                    self._troubles.note(again.trouble, str(again))
                    return
                replaced.close()
                self._attach()

    def _lost_file(self, trouble: str, detail: str) -> None:
        with self._lock:
            file, self._file = self._file, None
            self._retry_at = 0.0
            if file is not None:
                self._cursors.lost_file()
            self._troubles.note(trouble, detail)
        if file is not None:
            file.close()

    def _last_in_file(self) -> int:
        return 0 if self._file is None else self._file.last_sequence

    def _known_cursors(self) -> dict[str, int]:
        if self._file is None:
            return {}
        try:
            return self._file.cursors()
        except OutboxFileError as error:
            self._give_up(self._file, error)
            return {}

    # Memory: _lock is held, or taken ---------------------------------------------------------------------------------

    def _from_memory(self, sink: str, after: int, limit: int, max_bytes: int) -> list[StoredAlert]:
        found = self._recent.after(after, limit, max_bytes)
        if not found:  # what was there has been dropped, if anything was
            self.acknowledge(sink, self._last)
        return found

    def _delivered(self) -> int:
        with self._lock:
            return self._cursors.delivered

    def _has_unsaved(self) -> bool:
        with self._lock:
            return bool(self._cursors.unsaved) or self._saved < self._last

    def _forget_delivered(self) -> None:
        """What is in the file, and with every sink, is of no more use here."""
        with self._lock:
            last = self._recent.let_go(min(self._saved, self._delivered())) if self._file is not None else None
            if last is not None:
                self._edge = max(self._edge, last)

    def spare_memory(self, *, is_sparing: bool) -> None:
        """Keep nothing in memory that is in the file: sinks read it from there. What is not yet there stays."""
        with self._lock:
            self._is_sparing = is_sparing
            self._bound_memory()

    def _bound_memory(self) -> None:
        """First what is in the file, then what every sink has, then the lowest severity."""
        is_on_disk = self._file is not None
        if self._is_sparing and is_on_disk and (last := self._recent.let_go(self._saved)) is not None:
            self._edge = max(self._edge, last)
        if not self._recent.is_over:
            return
        for until in (self._saved if is_on_disk else 0, self._delivered()):
            last = self._recent.trim(until)
            if last is not None:
                self._edge = max(self._edge, last)
        self._saved = max(self._saved, self._edge)
        lost = self._recent.evict()
        self._troubles.note_dropped("memory_full", f"more than {self._memory_bytes} bytes of alerts in memory", lost)
