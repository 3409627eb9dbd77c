"""Alerts on standard output, one line each, straight to the descriptor.

No buffer of Python's is between: a line that ``send`` returned for is with the kernel, and one that failed is not
written later by a flush. A pipe's reader that is slow makes the call wait, ``TIMEOUT_SECONDS`` at most without any
progress: no write is begun before there is room for it, since one to a descriptor that blocks would wait for ever.
"""

from __future__ import annotations

import os
import select
from collections.abc import Sequence

from agent.errors import SinkError, SinkGone
from agent.stored_alert import Render, StoredAlert
from detectors.base import Severity

TIMEOUT_SECONDS = 10.0

_LINE_FEED = 0x0A


class StdoutSink:
    """Writes lines to a descriptor, standard output's as a rule."""

    name = "stdout"
    max_batch = 256

    def __init__(
        self,
        render: Render,
        min_severity: Severity = Severity.INFO,
        *,
        descriptor: int = 1,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self.min_severity = min_severity
        self._render = render
        self._descriptor = descriptor
        self._timeout_seconds = timeout_seconds
        self._is_torn = False

    def send(self, batch: Sequence[StoredAlert]) -> None:
        """Write one line an alert; after a failure in the midst of one the next call first ends the torn line."""
        lines = b"".join(self._render(alert) + b"\n" for alert in batch)
        if self._is_torn:
            self._write_all(b"\n")
        self._write_all(lines)

    def close(self) -> None:
        """Standard output is not ours to close."""

    def _write_all(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._wait()
            try:
                written = os.write(self._descriptor, rest[: select.PIPE_BUF])  # poll(2): so much will not block
            except BlockingIOError:  # somebody else has written there since
                continue
            except BrokenPipeError as error:
                raise SinkGone(self.name, "nobody reads it any more") from error
            except OSError as error:  # ENOSPC: the disk is full; EBADF: closed
                raise SinkError(self.name, error.strerror or str(error)) from error
            self._is_torn = rest[written - 1] != _LINE_FEED if written else self._is_torn
            rest = rest[written:]

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        if not poll.poll(self._timeout_seconds * 1000):
            raise SinkError(self.name, f"the reader took nothing for {self._timeout_seconds:g} s")
