"""One connection that is kept from one exchange to the next, and replaced when it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from agent.errors import SinkError
from agent.sinks.connection import Connection, Deadline
from collectors.closing import closed_on_failure

Result = TypeVar("Result")


class Session:
    """Runs exchanges, one after the other, each on a connection that ``connect`` opened."""

    def __init__(self, sink: str, connect: Callable[[Deadline], Connection], timeout_seconds: float) -> None:
        self._sink = sink
        self._connect = connect
        self._timeout_seconds = timeout_seconds
        self._connection: Connection | None = None

    def run(self, exchange: Callable[[Connection], Result]) -> Result:
        """Run one exchange; on any failure its connection is closed.

        Receivers close what is idle, so on a connection that was kept it is run once more at once, on a new one, as far
        as the time allows.
        """
        deadline = Deadline(self._sink, self._timeout_seconds)
        kept, self._connection = self._connection, None
        if kept is not None:
            kept.deadline = deadline
            if kept.is_idle():
                try:
                    return self._use(kept, exchange)
                except SinkError:
                    deadline.remaining()
            else:
                kept.close()
        return self._use(self._connect(deadline), exchange)

    def close(self) -> None:
        """Close the connection, if one is open."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _use(self, connection: Connection, exchange: Callable[[Connection], Result]) -> Result:
        with closed_on_failure(connection):
            result = exchange(connection)
        self._connection = connection
        return result
