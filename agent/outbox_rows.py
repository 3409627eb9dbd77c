"""Alerts as rows of SQLite, and connections to a file of them.

SQLite has no checksums: what a damaged page holds may look well. Rows are checked for types as they are read.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from agent.outbox_errors import FileTrouble, OutboxFileError
from agent.recent_alerts import Recent, size_of
from agent.stored_alert import StoredAlert

MAX_SEQUENCE = (1 << 63) - 1
COLUMNS = "sequence, id, at_ns, severity, rule_id, container_id, document"
BUSY_SECONDS = 1.0
LARGEST_WAL_BYTES = 32 << 20


def connect(path: Path) -> sqlite3.Connection:
    """A connection, in autocommit, that trusts nothing of the file."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA cache_size = -256")  # KiB: what was read last is in the kernel's cache anyway
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")  # else a commit of the main thread would do it
    connection.execute(f"PRAGMA journal_size_limit = {LARGEST_WAL_BYTES}")
    return connection


def row_of(recent: Recent) -> tuple[int, str, int, int, str, str | None, int, int, bytes]:
    """The row of an alert, in the order of the table's columns."""
    alert = recent.alert
    at_ns = max(-MAX_SEQUENCE, min(alert.at_ns, MAX_SEQUENCE))
    return (
        alert.sequence,
        alert.id,
        at_ns,
        alert.severity,
        alert.rule_id,
        alert.container_id,
        recent.stored_ns,
        size_of(alert),
        alert.document,
    )


def alert_of(row: tuple[object, ...]) -> StoredAlert:
    """The alert in a row of ``COLUMNS``; raises ``OutboxFileError``."""
    match row:
        case (
            int(sequence),
            str(name),
            int(at_ns),
            int(severity),
            str(rule_id),
            str() | None as container_id,
            bytes(document),
        ):
            return StoredAlert(sequence, name, at_ns, severity, rule_id, container_id, document)
        case _:
            raise OutboxFileError(FileTrouble.CORRUPT, "a row holds what no alert has")
