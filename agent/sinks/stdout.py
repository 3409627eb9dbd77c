"""Alerts on standard output, one line each, straight to the descriptor.

No buffer of Python's is between: a line that ``write`` returned for is with the kernel, and one that failed is not
written later by a flush. Concurrency: a lock keeps lines whole among threads. A pipe's reader that is slow makes the
call wait, ``TIMEOUT_SECONDS`` at most without any progress.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable

from agent.errors import SinkError
from agent.report import Alert
from detectors.base import Severity

TIMEOUT_SECONDS = 10.0


class StdoutSink:
    """Writes lines to a descriptor, standard output's as a rule."""

    name = "stdout"

    def __init__(
        self,
        encode: Callable[[Alert], bytes],
        min_severity: Severity = Severity.INFO,
        *,
        descriptor: int = 1,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._encode = encode
        self._min_severity = min_severity
        self._descriptor = descriptor
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._is_torn = False

    def write(self, alert: Alert) -> bool:
        """Write one alert as one line; after a failure in its midst the next call first ends the torn line."""
        if alert.severity < self._min_severity:
            return False
        line = self._encode(alert) + b"\n"
        with self._lock:
            if self._is_torn:
                self._write_all(b"\n")
            self._write_all(line)
        return True

    def close(self) -> None:
        """Standard output is not ours to close."""

    def _write_all(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                written = os.write(self._descriptor, rest)
            except BlockingIOError:  # whoever started us shares a descriptor that does not block
                self._wait()
                continue
            except OSError as error:  # EPIPE: the reader is gone; ENOSPC: the disk is full; EBADF: closed
                raise SinkError(self.name, error.strerror or str(error)) from error
            rest = rest[written:]
            self._is_torn = bool(rest)

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        if not poll.poll(self._timeout_seconds * 1000):
            raise SinkError(self.name, f"the reader took nothing for {self._timeout_seconds:g} s")
