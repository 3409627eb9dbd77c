"""A small HTTP server for probes and scrapes: GET, a fixed set of paths, one answer a connection.

Concurrency: one thread runs ``run`` and owns all sockets; none of them ever blocks it. It calls the routes itself, and
what they raise leaves ``run`` after everything was closed. ``stop`` may be called from any thread; ``is_listening`` and
``reading`` may be read by any.

The address may be reached by strangers (every container in the host's network namespace reaches its loopback), so all
is bounded: ``limit`` connections (a new one takes the place of the oldest), as many new ones in a tenth of a second
(the others wait in the kernel), 8 KiB a request, ``deadline_seconds`` from connection to answer. For the same reason
an address that is taken is no reason not to start: it is tried again and again. Why not http.server:
docs/adr/0008-own-metrics-exposition.md.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus

from agent.http_message import Answer, Request, encoded, parse_request, plain
from agent.snapshot import EndpointReading
from collectors.closing import closed_on_failure
from collectors.wakeup import WakeUp

MAX_REQUEST_BYTES = 8192
WINDOW_SECONDS = 0.1
DRAIN_SECONDS = 1.0

_CHUNK_BYTES = 65_536
_BACKLOG = 64


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; port 0 lets the kernel choose."""

    host: str
    port: int


Route = Callable[[Request], Answer]


class _Phase(Enum):
    READING = auto()
    WRITING = auto()
    DRAINING = auto()  # answered; what the client still sends is read, lest the kernel takes the answer back


@dataclass(slots=True, eq=False)
class _Connection:
    socket: socket.socket
    deadline: float
    phase: _Phase = _Phase.READING
    received: bytearray = field(default_factory=bytearray)
    rest: memoryview = field(default_factory=lambda: memoryview(b""))


class HttpEndpoint:
    """See the module. ``on_listening`` hears of success, ``on_trouble`` of each new reason for the lack of it."""

    def __init__(
        self,
        address: Address,
        routes: Mapping[str, Route],
        *,
        on_listening: Callable[[Address], None],
        on_trouble: Callable[[str], None],
        limit: int = 16,
        deadline_seconds: float = 5.0,
        retry_seconds: float = 10.0,
    ) -> None:
        self.bound: Address | None = None
        self._address = address
        self._routes = routes
        self._on_listening = on_listening
        self._on_trouble = on_trouble
        self._limit = limit
        self._deadline_seconds = deadline_seconds
        self._retry_seconds = retry_seconds
        self._answers: dict[int, int] = {200: 0}
        self._closed = {"timeout": 0, "displaced": 0, "broken": 0}
        self._told = ""
        self._wakeup = WakeUp()
        self._is_stopping = False
        self._poller = select.poll()
        self._listener: socket.socket | None = None
        self._connections: dict[int, _Connection] = {}
        self._window_ends = 0.0
        self._accepted = 0

    @property
    def is_listening(self) -> bool:
        """The address could be had."""
        return self.bound is not None

    def reading(self) -> EndpointReading:
        """What was answered and closed so far."""
        return EndpointReading(self._answers.copy(), self._closed.copy())

    def stop(self) -> None:
        """Make ``run`` return."""
        self._is_stopping = True
        self._wakeup.ring()

    def run(self) -> None:
        """Serve until ``stop``. May be run again after it raised."""
        self._poller = select.poll()
        self._poller.register(self._wakeup, select.POLLIN)
        try:
            while not self._is_stopping:
                if self._listener is None:
                    self._listen()
                self._turn()
        finally:
            for connection in tuple(self._connections.values()):
                self._close(connection)
            if self._listener is not None:
                self._listener.close()
                self._listener, self.bound = None, None
            if self._is_stopping:
                self._wakeup.close()

    def _listen(self) -> None:
        family = socket.AF_INET6 if ":" in self._address.host else socket.AF_INET
        try:
            listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            with closed_on_failure(listener):
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((self._address.host, self._address.port))
                listener.listen(_BACKLOG)
        except OSError as error:
            why = error.strerror or str(error)
            if why != self._told:
                self._told = why
                self._on_trouble(why)
            return
        self._listener = listener
        self.bound = Address(self._address.host, listener.getsockname()[1])
        self._poller.register(listener, select.POLLIN)
        self._told = ""
        self._on_listening(self.bound)

    def _turn(self) -> None:
        """Wait for something to do, and do it."""
        for fd, _ in self._poller.poll(self._milliseconds_to_wait()):
            if fd == self._wakeup.fileno():
                self._wakeup.clear()
            elif self._listener is not None and fd == self._listener.fileno():
                self._accept(self._listener)
            elif (connection := self._connections.get(fd)) is not None:
                self._serve(connection)
        now = time.monotonic()
        if self._listener is not None and self._accepted >= self._limit and now >= self._window_ends:
            self._accepted = 0
            self._poller.modify(self._listener, select.POLLIN)
        for connection in tuple(self._connections.values()):
            if now >= connection.deadline:
                self._give_up(connection, "timeout")

    def _milliseconds_to_wait(self) -> int | None:
        """Until a deadline, the end of a full window, or the next attempt to listen; ``None``: for ever."""
        if self._listener is None:
            return int(self._retry_seconds * 1000)
        times = [connection.deadline for connection in self._connections.values()]
        if self._accepted >= self._limit:
            times.append(self._window_ends)
        return max(0, int((min(times) - time.monotonic()) * 1000) + 1) if times else None

    def _accept(self, listener: socket.socket) -> None:
        """Take one connection; a full window silences the listener until it ends."""
        now = time.monotonic()
        if now >= self._window_ends:
            self._window_ends, self._accepted = now + WINDOW_SECONDS, 0
        self._accepted += 1
        if self._accepted >= self._limit:
            self._poller.modify(listener, 0)
        try:
            accepted, _ = listener.accept()
        except OSError:  # it is gone already, or no descriptor is left: then the window is what keeps us from spinning
            self._closed["broken"] += 1
            return
        accepted.setblocking(False)  # noqa: FBT003 (takes no keyword)
        if len(self._connections) >= self._limit:
            self._give_up(next(iter(self._connections.values())), "displaced")
        self._connections[accepted.fileno()] = _Connection(accepted, now + self._deadline_seconds)
        self._poller.register(accepted, select.POLLIN)

    def _serve(self, connection: _Connection) -> None:
        try:
            match connection.phase:
                case _Phase.READING:
                    self._read(connection)
                case _Phase.WRITING:
                    self._write(connection)
                case _Phase.DRAINING:
                    if not connection.socket.recv(_CHUNK_BYTES):
                        self._close(connection)
        except BlockingIOError:
            return
        except OSError:
            self._give_up(connection, "broken")

    def _read(self, connection: _Connection) -> None:
        chunk = connection.socket.recv(MAX_REQUEST_BYTES + 1 - len(connection.received))
        connection.received += chunk
        if b"\r\n\r\n" in connection.received:
            answer = self._answer(bytes(connection.received))
        elif len(connection.received) > MAX_REQUEST_BYTES:
            answer = plain(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif not chunk:
            self._give_up(connection, "broken")
            return
        else:
            return
        self._answers[answer.status] = self._answers.get(answer.status, 0) + 1
        connection.rest = memoryview(encoded(answer))
        connection.phase = _Phase.WRITING
        self._poller.modify(connection.socket, select.POLLOUT)
        self._write(connection)

    def _write(self, connection: _Connection) -> None:
        connection.rest = connection.rest[connection.socket.send(connection.rest) :]
        if not connection.rest:
            connection.phase = _Phase.DRAINING
            connection.deadline = min(connection.deadline, time.monotonic() + DRAIN_SECONDS)
            connection.socket.shutdown(socket.SHUT_WR)
            self._poller.modify(connection.socket, select.POLLIN)

    def _answer(self, received: bytes) -> Answer:
        parsed = parse_request(received)
        if isinstance(parsed, Answer):
            return parsed
        path, request = parsed
        route = self._routes.get(path)
        return plain(HTTPStatus.NOT_FOUND) if route is None else route(request)

    def _give_up(self, connection: _Connection, why: str) -> None:
        """Close a connection; one that had its answer is no loss."""
        if connection.phase is not _Phase.DRAINING:
            self._closed[why] += 1
        self._close(connection)

    def _close(self, connection: _Connection) -> None:
        self._poller.unregister(connection.socket)
        del self._connections[connection.socket.fileno()]
        connection.socket.close()
