"""What an outbox' file may refuse, in words of ours: one place that knows the codes of SQLite and of the system."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterator
from enum import StrEnum


class FileTrouble(StrEnum):
    """Why the file was no use: a fixed list, since it is shown as a reason."""

    CORRUPT = "corrupt"
    FULL = "disk_full"
    READ_ONLY = "read_only"
    IO = "io_error"


class OutboxFileError(Exception):
    """The file did not do what was asked; nothing of it was done."""

    def __init__(self, trouble: FileTrouble, detail: str) -> None:
        super().__init__(f"{trouble}: {detail}")
        self.trouble = trouble


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """SQLite's errors as ours: one place that knows its codes (https://www.sqlite.org/rescode.html)."""
    try:
        yield
    except sqlite3.Error as error:
        raise OutboxFileError(_trouble_of_sqlite(error), str(error)[:200]) from error


def _trouble_of_sqlite(error: sqlite3.Error) -> FileTrouble:
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(code, int):
        return _TROUBLES.get(code & 0xFF, FileTrouble.IO)
    # Without a code it is Python's own: text that is not UTF-8, or a connection that was closed meanwhile.
    return FileTrouble.CORRUPT if isinstance(error, sqlite3.OperationalError) else FileTrouble.IO


_TROUBLES = {
    sqlite3.SQLITE_ERROR: FileTrouble.CORRUPT,  # our statements are sound: a table or a column is not there
    sqlite3.SQLITE_CORRUPT: FileTrouble.CORRUPT,
    sqlite3.SQLITE_NOTADB: FileTrouble.CORRUPT,
    sqlite3.SQLITE_MISMATCH: FileTrouble.CORRUPT,
    sqlite3.SQLITE_FULL: FileTrouble.FULL,
    sqlite3.SQLITE_READONLY: FileTrouble.READ_ONLY,
}


def trouble_of(error: OSError) -> FileTrouble:
    """What an error of the system means for the file."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return FileTrouble.FULL
        case errno.EROFS:
            return FileTrouble.READ_ONLY
        case errno.ELOOP | errno.EISDIR:
            return FileTrouble.CORRUPT  # something else stands in its place
        case _:
            return FileTrouble.IO
