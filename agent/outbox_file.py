"""The outbox' SQLite file: alerts, and how far each sink has come.

WAL with ``synchronous=NORMAL``: a commit is one write to the page cache, so it survives any end of the agent, and costs
the thread that owns the node's state no wait for the disk. What it does not survive is the node losing power within the
second after it: ``checkpoint`` syncs, from another thread. ``FULL`` would have the main thread wait for the disk at
each commit, and a stalled disk would blind the agent.

Concurrency: three connections. The writer's calls are serialised by the outbox; readers share a second connection
under a lock of their own, so that a replay never holds up a commit; the checkpoint has the third.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from agent.alert_query import Query
from agent.outbox_errors import FileTrouble, OutboxFileError, translated, trouble_of
from agent.outbox_rows import COLUMNS, MAX_SEQUENCE, alert_of, connect, row_of
from agent.recent_alerts import Recent, size_of
from agent.stored_alert import StoredAlert

FILE_NAME = "outbox.db"
VERSION = 1

_SCHEMA = f"""
CREATE TABLE alerts (
    sequence INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    at_ns INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    rule_id TEXT NOT NULL,
    container_id TEXT,
    stored_ns INTEGER NOT NULL,
    size INTEGER NOT NULL,
    document BLOB NOT NULL
);
CREATE INDEX alerts_by_severity ON alerts (severity, sequence, size);
CREATE TABLE cursors (sink TEXT PRIMARY KEY, sequence INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""


class OutboxFile:
    """An open file. Raises ``OutboxFileError``; the file is closed then, if it was not open before."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE_NAME
        self._read_lock = threading.Lock()
        self._sync_lock = threading.Lock()
        with translated():
            try:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except OSError as error:
                raise OutboxFileError(trouble_of(error), f"{self.path}: {error.strerror or error}") from error
            self._inode = os.fstat(descriptor).st_ino
            os.close(descriptor)  # before SQLite has locks on it: close(2) would drop them
            with contextlib.ExitStack() as opened:
                self._writer = opened.enter_context(contextlib.closing(connect(self.path)))
                _prepare(self._writer)
                self._reader = opened.enter_context(contextlib.closing(connect(self.path)))
                self._syncer = opened.enter_context(contextlib.closing(connect(self.path)))
                count, size, last = self._writer.execute(
                    "SELECT count(*), coalesce(sum(size), 0), coalesce(max(sequence), 0) FROM alerts"
                ).fetchone()
                self.count, self.size_bytes, self.last_sequence = int(count), int(size), int(last)
                opened.pop_all()

    def close(self) -> None:
        """Close the connections; SQLite then folds the WAL into the file."""
        with self._read_lock, self._sync_lock:
            for connection in (self._reader, self._syncer, self._writer):
                with contextlib.suppress(sqlite3.Error):
                    connection.close()

    def is_in_place(self) -> bool:
        """The file is still where it was opened: nobody has moved or removed it."""
        try:
            return os.lstat(self.path).st_ino == self._inode
        except OSError:
            return False

    # The writer's, serialised by the outbox --------------------------------------------------------------------------

    def cursors(self) -> dict[str, int]:
        """How far each sink has come that was ever known."""
        with translated():
            return {str(sink): int(sequence) for sink, sequence in self._writer.execute("SELECT * FROM cursors")}

    def append(self, alerts: Iterable[Recent], cursors: Mapping[str, int]) -> None:
        """Commit alerts and cursors, all or nothing. An alert that is there already stays."""
        rows = [row_of(each) for each in alerts]
        # A statement alone is a transaction already, without the cost of saying so.
        transaction = self._transaction() if cursors or len(rows) > 1 else contextlib.nullcontext()
        with translated(), transaction:
            before = self._writer.total_changes
            self._writer.executemany("INSERT OR IGNORE INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            inserted = self._writer.total_changes - before
            if cursors:
                self._writer.executemany("INSERT OR REPLACE INTO cursors VALUES (?, ?)", cursors.items())
        if not rows:
            return
        self.last_sequence = max(self.last_sequence, *(row[0] for row in rows))
        if inserted == len(rows):
            self.count += inserted
            self.size_bytes += sum(row[7] for row in rows)
        else:
            self._recount()

    def evict(self, excess_bytes: int, delivered: int) -> dict[int, int]:
        """Make room: lowest severity first, the oldest of it first; but before all, what every sink has.

        The number of alerts, by severity, that some sink has not had.
        """
        lost: dict[int, int] = {}
        with translated(), self._transaction():
            for until in (delivered, MAX_SEQUENCE):
                for severity in self._severities():
                    if excess_bytes <= 0:
                        break
                    count, size = self._evict_oldest(severity, until, excess_bytes)
                    excess_bytes -= size
                    self.count -= count
                    self.size_bytes -= size
                    if count and until == MAX_SEQUENCE:
                        lost[severity] = count
        return lost

    def prune(self, before_ns: int, delivered: int, limit: int = 512) -> int:
        """Delete the oldest that every sink has, came in before ``before_ns``, and are at most ``limit``; how many."""
        with translated(), self._transaction():
            oldest = self._writer.execute(
                "SELECT sequence, stored_ns, size FROM alerts WHERE sequence <= ? ORDER BY sequence LIMIT ?",
                (delivered, limit),
            ).fetchall()
            old = [(sequence, size) for sequence, stored_ns, size in oldest if stored_ns < before_ns]
            self._writer.executemany("DELETE FROM alerts WHERE sequence = ?", [(sequence,) for sequence, _ in old])
        self.count -= len(old)
        self.size_bytes -= sum(size for _, size in old)
        return len(old)

    def _severities(self) -> Iterator[int]:
        """All severities that occur, lowest first: a step in the index for each."""
        last = -1
        while True:
            (found,) = self._writer.execute("SELECT min(severity) FROM alerts WHERE severity > ?", (last,)).fetchone()
            if found is None:
                return
            yield (last := int(found))

    def _evict_oldest(self, severity: int, until: int, wanted_bytes: int) -> tuple[int, int]:
        count, size, last = 0, 0, 0
        for sequence, bytes_ in self._writer.execute(
            "SELECT sequence, size FROM alerts WHERE severity = ? AND sequence <= ? ORDER BY sequence",
            (severity, until),
        ):
            count, size, last = count + 1, size + bytes_, sequence
            if size >= wanted_bytes:
                break
        if count:
            self._writer.execute("DELETE FROM alerts WHERE severity = ? AND sequence <= ?", (severity, last))
        return count, size

    def _recount(self) -> None:
        with translated():
            count, size = self._writer.execute("SELECT count(*), coalesce(sum(size), 0) FROM alerts").fetchone()
        self.count, self.size_bytes = int(count), int(size)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                with contextlib.suppress(sqlite3.Error):  # the error that brought us here is the one to tell
                    self._writer.execute("ROLLBACK")
            raise

    # Any thread's ----------------------------------------------------------------------------------------------------

    def read(self, after: int, until: int, limit: int, max_bytes: int) -> list[StoredAlert]:
        """The next alerts behind ``after`` and up to ``until``: at least one if there is one, within the bounds."""
        found: list[StoredAlert] = []
        with translated(), self._read_lock:
            rows = self._reader.execute(
                f"SELECT {COLUMNS} FROM alerts WHERE sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?",  # noqa: S608
                (after, until, limit),
            )
            with contextlib.closing(rows):
                for row in rows:
                    alert = alert_of(row)
                    max_bytes -= size_of(alert)
                    if found and max_bytes < 0:
                        break
                    found.append(alert)
        return found

    def may_hold(self, after: int, until: int) -> bool:
        """There are such. Damage counts as one: who reads it to deliver it meets the damage, and mends it."""
        try:
            return bool(self.read(after, until, 1, 1))
        except OutboxFileError:
            return True

    def waiting(self, after: int, until: int, min_severity: int) -> tuple[int, int | None]:
        """How many alerts of a severity are behind ``after``, and when the first of them came in."""
        with translated(), self._read_lock:
            count = 0
            severity: int | None = min_severity - 1
            while True:
                severity = self._reader.execute(
                    "SELECT min(severity) FROM alerts WHERE severity > ?", (severity,)
                ).fetchone()[0]
                if severity is None:
                    break
                count += self._reader.execute(
                    "SELECT count(*) FROM alerts WHERE severity = ? AND sequence > ? AND sequence <= ?",
                    (severity, after, until),
                ).fetchone()[0]
            if not count:
                return 0, None
            oldest = self._reader.execute(
                "SELECT stored_ns FROM alerts WHERE sequence > ? AND severity >= ? ORDER BY sequence LIMIT 1",
                (after, min_severity),
            ).fetchone()
        return count, None if oldest is None else int(oldest[0])

    def query(self, wanted: Query, limit: int) -> list[StoredAlert]:
        """The newest alerts that are wanted, newest first."""
        with translated(), self._read_lock:
            rows = self._reader.execute(
                f"SELECT {COLUMNS} FROM alerts WHERE at_ns >= ? AND at_ns < ? AND severity >= ?"  # noqa: S608
                " AND (?4 IS NULL OR rule_id = ?4) AND (?5 IS NULL OR substr(container_id, 1, length(?5)) = ?5)"
                " AND sequence < ?6 ORDER BY sequence DESC LIMIT ?7",
                (
                    _number(wanted.since_ns, -MAX_SEQUENCE),
                    _number(wanted.until_ns, MAX_SEQUENCE),
                    _number(wanted.min_severity, 0),
                    wanted.rule,
                    wanted.container,
                    _number(wanted.before, MAX_SEQUENCE),
                    limit,
                ),
            )
            return [alert_of(row) for row in rows]

    def checkpoint(self) -> None:
        """Sync what was committed, and move it from the WAL into the file; holds up neither writer nor readers."""
        with translated(), self._sync_lock:
            self._syncer.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _number(wanted: int | None, otherwise: int) -> int:
    """What somebody asked for, as a number that SQLite has."""
    return otherwise if wanted is None else max(-MAX_SEQUENCE, min(wanted, MAX_SEQUENCE))


def _prepare(writer: sqlite3.Connection) -> None:
    """Make the tables in a new file; refuse a file that is damaged, or is of another version."""
    (journal,) = writer.execute("PRAGMA journal_mode = WAL").fetchone()
    if journal != "wal":
        raise OutboxFileError(FileTrouble.IO, f"its journal is {journal}, and cannot be a WAL")
    (version,) = writer.execute("PRAGMA user_version").fetchone()
    (tables,) = writer.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if version == 0 and tables == 0:
        writer.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
    elif version != VERSION:
        raise OutboxFileError(FileTrouble.CORRUPT, f"it is of version {version}; wanted {VERSION}")
    (verdict,) = writer.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise OutboxFileError(FileTrouble.CORRUPT, " ".join(str(verdict).split())[:200])
