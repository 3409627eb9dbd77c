"""A bell that any thread may ring to wake the one that polls for it: an eventfd(2) that is safe to ring too late.

The thread that polls owns the bell and closes it; ``ring`` after that does nothing, so that a stop that comes late
never writes to a descriptor number that has meanwhile become somebody else's.
"""

from __future__ import annotations

import os
import threading


class WakeUp:
    """An eventfd to put into a poll; however often it was rung, one ``clear`` silences it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._is_open = True

    def fileno(self) -> int:
        """The descriptor to poll for POLLIN."""
        return self._fd

    def ring(self) -> None:
        """Wake the poller, from any thread; nothing happens once the bell is closed."""
        with self._lock:
            if self._is_open:
                os.eventfd_write(self._fd, 1)

    def clear(self) -> None:
        """Silence the bell; to be called when poll said that it rang."""
        os.eventfd_read(self._fd)

    def close(self) -> None:
        """Give the descriptor back; may be called twice."""
        with self._lock:
            if self._is_open:
                self._is_open = False
                os.close(self._fd)
