"""A receiver on loopback whose every connection does what the test says, good or bad."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

TIMEOUT_SECONDS = 10.0

Act = Callable[[socket.socket], object]


class ScriptedReceiver:
    """Accepts one connection for each act, in their order, and closes it when the act returns.

    ``path`` makes it a unix socket. ``failures`` holds what an act raised; sockets time out.
    """

    def __init__(self, acts: Sequence[Act], *, tls: ssl.SSLContext | None = None, path: str | None = None) -> None:
        self._acts = acts
        self._tls = tls
        self._listener = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX)
        self._listener.bind(("127.0.0.1", 0) if path is None else path)
        self._listener.listen(8)
        self._listener.settimeout(TIMEOUT_SECONDS)
        self._path = path
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.accepted = 0
        self.failures: list[Exception] = []

    @property
    def address(self) -> str:
        if self._path is not None:
            return f"unix://{self._path}"
        return f"{'tls' if self._tls else 'tcp'}://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(TIMEOUT_SECONDS)
        if self._path is not None:
            os.unlink(self._path)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        for act in self._acts:
            try:
                accepted, _ = self._listener.accept()
            except OSError:  # the test is over
                return
            self.accepted += 1
            accepted.settimeout(TIMEOUT_SECONDS)
            try:
                if self._tls is not None:
                    accepted = self._tls.wrap_socket(accepted, server_side=True)
                act(accepted)
            except Exception as error:  # noqa: BLE001 (kept for the test to look at)
                self.failures.append(error)
            finally:
                accepted.close()
