"""A file of the outbox that is no use is set aside, and what can still be read of it is read."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.outbox_errors import FileTrouble, OutboxFileError
from agent.outbox_file import FILE_NAME, OutboxFile
from agent.outbox_rows import COLUMNS, alert_of, connect
from agent.recent_alerts import Recent
from agent.stored_alert import StoredAlert
from collectors.closing import closed_on_failure

ASIDE_NAME = "outbox.corrupt.db"
SUFFIXES = ("", "-wal", "-shm")
SALVAGE_BATCH = 256


def replace_file(directory: Path, why: OutboxFileError) -> tuple[OutboxFile, int]:
    """A new file in place of the one that is no use, and how many alerts of that could be read into it."""
    try:
        set_aside(directory)
    except OSError as error:
        raise OutboxFileError(FileTrouble.IO, f"{why}; it cannot be set aside: {error.strerror}") from error
    file = OutboxFile(directory)
    cursors, batches = salvage(directory)
    count = 0
    with closed_on_failure(file):
        file.append((), cursors)
        for batch in batches:
            file.append(batch, {})
            count += len(batch)
    return file, count


def set_aside(directory: Path) -> None:
    """Move a file that is no use out of the way, over the one that was moved before. Raises ``OSError``."""
    for suffix in SUFFIXES:
        aside = directory / f"{ASIDE_NAME}{suffix}"
        try:
            os.replace(directory / f"{FILE_NAME}{suffix}", aside)
        except FileNotFoundError:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(aside)


def salvage(directory: Path) -> tuple[dict[str, int], Iterator[list[Recent]]]:
    """What can still be read of the file that was set aside: its cursors, and its alerts in batches.

    Alerts come from both ends, as far as the file is sound.
    """
    cursors: dict[str, int] = {}
    path = directory / ASIDE_NAME
    with (
        contextlib.suppress(sqlite3.Error, ValueError, TypeError),
        contextlib.closing(connect(path)) as connection,
    ):
        cursors.update((str(sink), int(sequence)) for sink, sequence in connection.execute("SELECT * FROM cursors"))
    return cursors, _salvaged(path)


def _salvaged(path: Path) -> Iterator[list[Recent]]:
    highest = -1
    for order in ("ASC", "DESC"):
        batch: list[Recent] = []
        with contextlib.suppress(sqlite3.Error), contextlib.closing(connect(path)) as connection:
            for *columns, stored_ns in connection.execute(
                f"SELECT {COLUMNS}, stored_ns FROM alerts ORDER BY sequence {order}"  # noqa: S608 (one of two words)
            ):
                alert = _sound(tuple(columns))
                if alert is None or (order == "DESC" and alert.sequence <= highest):
                    break
                if order == "ASC":
                    highest = alert.sequence
                batch.append(Recent(alert, stored_ns if isinstance(stored_ns, int) else 0))
                if len(batch) >= SALVAGE_BATCH:
                    yield batch
                    batch = []
        if batch:
            yield batch


def _sound(row: tuple[object, ...]) -> StoredAlert | None:
    """The alert in a row of a damaged file, if its document is the one that its id says."""
    try:
        alert = alert_of(row)
        document = msgspec.json.decode(alert.document)
    except (OutboxFileError, ValueError, RecursionError):  # no row of ours, no JSON, no UTF-8
        return None
    match document:
        case {"event": {"id": str(name)}} if name == alert.id:
            return alert
        case _:
            return None
