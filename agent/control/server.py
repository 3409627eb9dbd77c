"""The control socket's server: it answers whoever may ask, and no client makes anybody but itself wait.

Concurrency: one thread runs ``run`` and owns all sockets; none of them ever blocks it. It drives the answers itself, a
value at a time, and only while little waits for the client: what a client does not read is not computed either.
``stop`` and ``ring`` may be called from any thread.

Bounded: ``limit`` clients (one that asks nothing gives way to a new one, else the new one hears ``busy``),
``MAX_ANSWERS`` open answers of each, the protocol's sizes of frames, ``LOW_WATER_BYTES`` and one frame that wait for
each. A client that reads nothing for ``stall_seconds`` while something waits for it is cut off.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agent.control import socket_file
from agent.control.answers import GO_ON, NOTHING_YET, Answer, Method, Unanswerable
from agent.control.protocol import (
    PROTOCOL,
    Cancel,
    Code,
    End,
    Error,
    Frames,
    FromAgent,
    FromClient,
    Hello,
    Item,
    ProtocolError,
    Request,
    encode,
)
from agent.control.socket_file import Bound, SocketRefused
from collectors.wakeup import WakeUp

MAX_ANSWERS = 8
LOW_WATER_BYTES = 256 * 1024
RETRY_SECONDS = 10.0
DEAF_SECONDS = 0.5
_CHUNK_BYTES = 65_536


@dataclass(slots=True, eq=False)
class _Client:
    socket: socket.socket
    moved: float  # when it last took something, or asked
    frames: Frames = field(default_factory=lambda: Frames(is_agent=True))
    out: bytearray = field(default_factory=bytearray)
    answers: dict[int, Answer] = field(default_factory=dict)
    waiting: set[int] = field(default_factory=set)  # answers that had nothing yet
    is_ending: bool = False  # closed as soon as it has what waits for it

    @property
    def is_ready(self) -> bool:
        """There is an answer to go on with, and room for it."""
        return len(self.out) < LOW_WATER_BYTES and len(self.answers) > len(self.waiting)


@dataclass(slots=True)
class ServerCounts:
    """What the server did; written by its thread."""

    accepted: int = 0
    refused: dict[str, int] = field(default_factory=lambda: {"denied": 0, "busy": 0})
    cut_off: dict[str, int] = field(
        default_factory=lambda: {"stalled": 0, "nonsense": 0, "too_slow": 0, "displaced": 0}
    )


class ControlServer:
    """See the module. ``on_listening`` hears of success, ``on_trouble`` of each new reason for the lack of it.

    ``on_peer`` hears the pid of each process that is taken as a client.
    """

    def __init__(
        self,
        path: str,
        group: str | None,
        methods: Mapping[str, Method],
        version: str,
        *,
        on_listening: Callable[[str], None],
        on_trouble: Callable[[str], None],
        on_peer: Callable[[int], None] = lambda _: None,
        limit: int = 32,
        stall_seconds: float = 5.0,
    ) -> None:
        self.counts = ServerCounts()
        self.clients = 0
        self._path = path
        self._group = group
        self._gid: int | None = None
        self._methods = methods
        self._hello = encode(Hello(PROTOCOL, version))
        self._on_listening = on_listening
        self._on_trouble = on_trouble
        self._on_peer = on_peer
        self._limit = limit
        self._stall_seconds = stall_seconds
        self._told = ""
        self._wakeup = WakeUp()
        self._is_stopping = False
        self._poller = select.poll()
        self._bound: Bound | None = None
        self._clients: dict[int, _Client] = {}
        self._deaf_until = 0.0
        self._look_at = 0.0

    @property
    def is_listening(self) -> bool:
        """The socket could be made."""
        return self._bound is not None

    def stop(self) -> None:
        """Make ``run`` return."""
        self._is_stopping = True
        self._wakeup.ring()

    def ring(self) -> None:
        """Something came for an answer that had nothing yet."""
        self._wakeup.ring()

    def run(self) -> None:
        """Serve until ``stop``. May be run again after it raised."""
        self._poller = select.poll()
        self._poller.register(self._wakeup, select.POLLIN)
        try:
            while not self._is_stopping:
                self._look_after_the_file()
                self._turn()
        finally:
            for client in tuple(self._clients.values()):
                self._close(client)
            if self._bound is not None:
                self._bound.close()
                self._bound = None
            if self._is_stopping:
                self._wakeup.close()

    def _look_after_the_file(self) -> None:
        """Make it where there is none, and anew where somebody has taken it away; now and then."""
        now = time.monotonic()
        if self._bound is not None and now >= self._look_at:
            self._look_at = now + RETRY_SECONDS
            if not self._bound.is_in_place():
                self._poller.unregister(self._bound.listener)
                self._bound.close()
                self._bound, self._look_at = None, 0.0
        if self._bound is None and now >= self._look_at:
            self._look_at = now + RETRY_SECONDS
            self._listen()

    def _listen(self) -> None:
        try:
            self._gid = socket_file.group_id(self._group) if self._group is not None else None
            self._bound = socket_file.listen(self._path, self._gid)
        except SocketRefused as refused:
            if str(refused) != self._told:
                self._told = str(refused)
                self._on_trouble(self._told)
            return
        self._poller.register(self._bound.listener, select.POLLIN)
        self._told = ""
        self._on_listening(self._path)

    # One turn --------------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Wait for something to do, and do it; then go on with each answer by one value."""
        for fd, _ in self._poller.poll(self._milliseconds_to_wait()):
            if fd == self._wakeup.fileno():
                self._wakeup.clear()
                for client in self._clients.values():
                    client.waiting.clear()
            elif self._bound is not None and fd == self._bound.listener.fileno():
                self._accept(self._bound.listener)
            elif (known := self._clients.get(fd)) is not None:
                self._serve(known)
        for client in tuple(self._clients.values()):
            if client.is_ready and not client.is_ending:
                self._go_on(client)
        now = time.monotonic()
        self._cut_off_stalled(now)
        if self._deaf_until and now >= self._deaf_until and self._bound is not None:
            self._deaf_until = 0.0
            self._poller.modify(self._bound.listener, select.POLLIN)

    def _milliseconds_to_wait(self) -> int:
        if any(client.is_ready and not client.is_ending for client in self._clients.values()):
            return 0
        if any(client.out for client in self._clients.values()):
            return int(self._stall_seconds * 250)
        return int((DEAF_SECONDS if self._deaf_until else RETRY_SECONDS) * 1000)

    def _cut_off_stalled(self, now: float) -> None:
        for client in tuple(self._clients.values()):
            if client.out and now - client.moved > self._stall_seconds:
                self.counts.cut_off["stalled"] += 1
                self._close(client)

    # Clients ---------------------------------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        try:
            accepted, _ = listener.accept()
        except OSError:  # it is gone already, or no descriptor is left: then a pause is what keeps us from spinning
            self._deaf_until = time.monotonic() + DEAF_SECONDS
            self._poller.modify(listener, 0)
            return
        accepted.setblocking(False)  # noqa: FBT003 (takes no keyword)
        try:
            peer = socket_file.peer_of(accepted)
        except OSError:
            accepted.close()
            return
        if not socket_file.may_ask(peer, self._gid):
            self._refuse(accepted, Code.DENIED, "only root and the group of control.group may ask")
            return
        if len(self._clients) >= self._limit and not self._displace():
            self._refuse(accepted, Code.BUSY, f"{self._limit} clients are being answered already; try again")
            return
        self.counts.accepted += 1
        client = _Client(accepted, time.monotonic(), out=bytearray(self._hello))
        self._clients[accepted.fileno()] = client
        self.clients = len(self._clients)
        self._poller.register(accepted, select.POLLIN)
        self._on_peer(peer.pid)
        self._flush(client)

    def _refuse(self, accepted: socket.socket, code: Code, why: str) -> None:
        self.counts.refused[code.value] += 1
        with contextlib.suppress(OSError):
            accepted.send(encode(Error(0, code.value, why)))
        accepted.close()

    def _displace(self) -> bool:
        """Close the client that has asked nothing for longest; ``False`` when all are being answered."""
        idle = [client for client in self._clients.values() if not client.answers]
        for client in sorted(idle, key=lambda client: client.moved):
            self._serve(client)  # it may have asked since it was read last
            if not client.answers:
                if client.socket.fileno() in self._clients:
                    self.counts.cut_off["displaced"] += 1
                    self._close(client)
                return True
        return False

    def _serve(self, client: _Client) -> None:
        self._flush(client)
        if client.is_ending or client.socket.fileno() not in self._clients or len(client.out) >= LOW_WATER_BYTES:
            return
        try:
            data = client.socket.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(client)
            return
        client.moved = time.monotonic() if not client.out else client.moved
        try:
            for message in client.frames.feed(data):
                self._heard(client, message)
        except ProtocolError as error:
            self.counts.cut_off["nonsense"] += 1
            self._end(client, Code.BAD_REQUEST, str(error))

    def _heard(self, client: _Client, message: FromClient | FromAgent) -> None:
        match message:
            case Cancel(number=number):
                self._drop(client, number)
            case Request(number=number, method=method, parameters=parameters):
                if number in client.answers or number == 0:
                    raise ProtocolError(f"the number {number} is taken")
                if len(client.answers) >= MAX_ANSWERS:
                    self._say(client, Error(number, Code.BUSY.value, f"{MAX_ANSWERS} answers at a time"))
                    return
                known = self._methods.get(method)
                if known is None:
                    self._say(client, Error(number, Code.BAD_REQUEST.value, "there is no such method"))
                    return
                try:
                    client.answers[number] = known(parameters)
                except Unanswerable as error:
                    self._say(client, Error(number, error.code.value, str(error)))
            case _:
                raise ProtocolError("that is for the agent to say")

    # Answers ---------------------------------------------------------------------------------------------------------

    def _go_on(self, client: _Client) -> None:
        """One value of each answer that has one."""
        for number in [each for each in client.answers if each not in client.waiting]:
            if len(client.out) >= LOW_WATER_BYTES:
                return
            answer = client.answers.get(number)
            if answer is None:  # the client was found gone when the one before was told
                return
            try:
                value = next(answer)
            except StopIteration:
                self._say(client, End(number))
                self._drop(client, number)
            except Unanswerable as error:
                self._drop(client, number)
                if error.code is Code.TOO_SLOW:
                    self.counts.cut_off["too_slow"] += 1
                    self._end(client, error.code, str(error))
                    return
                self._say(client, Error(number, error.code.value, str(error)))
            else:
                if value is NOTHING_YET:
                    client.waiting.add(number)
                elif value is not GO_ON:
                    self._say(client, Item(number, value))

    def _drop(self, client: _Client, number: int) -> None:
        answer = client.answers.pop(number, None)
        client.waiting.discard(number)
        if answer is not None and hasattr(answer, "close"):
            answer.close()

    def _say(self, client: _Client, message: FromAgent) -> None:
        try:
            frame = encode(message)
        except ProtocolError as error:
            number = message.number if isinstance(message, Item) else 0
            frame = encode(Error(number, Code.UNAVAILABLE.value, f"a part of the answer is too large: {error}"))
            self._drop(client, number)
        if not client.out:
            client.moved = time.monotonic()
        client.out += frame
        self._flush(client)

    def _end(self, client: _Client, code: Code, why: str) -> None:
        """Say why, and close as soon as that is read."""
        for number in tuple(client.answers):
            self._drop(client, number)
        client.is_ending = True
        self._say(client, Error(0, code.value, why))

    def _flush(self, client: _Client) -> None:
        try:
            while client.out:
                sent = client.socket.send(memoryview(client.out)[:_CHUNK_BYTES])
                del client.out[:sent]
                client.moved = time.monotonic()
        except BlockingIOError:
            may_ask = len(client.out) < LOW_WATER_BYTES  # else it reads first, also the refusals of what it asked
            self._poller.modify(client.socket, select.POLLOUT | (select.POLLIN if may_ask else 0))
            return
        except OSError:
            self._close(client)
            return
        if client.is_ending:
            self._close(client)
        else:
            self._poller.modify(client.socket, select.POLLIN)

    def _close(self, client: _Client) -> None:
        fd = client.socket.fileno()
        if fd not in self._clients:
            return
        for number in tuple(client.answers):
            self._drop(client, number)
        self._poller.unregister(client.socket)
        del self._clients[fd]
        self.clients = len(self._clients)
        client.socket.close()
