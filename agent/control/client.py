"""The client of the control socket: blocking, for one command. Whatever goes wrong is one of four errors.

It trusts nobody else's socket: the file must be a socket of root's or ours, and so must be who listens (SO_PEERCRED).
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from agent.control.protocol import (
    PROTOCOL,
    Cancel,
    Code,
    End,
    Error,
    Frames,
    FromAgent,
    Hello,
    Item,
    ProtocolError,
    Request,
    encode,
)
from agent.control.socket_file import peer_of
from collectors.closing import closed_on_failure

GREETING_SECONDS = 3.0
ANSWER_SECONDS = 30.0
RETRY_SECONDS = 0.02
_CHUNK_BYTES = 262_144


class ControlError(Exception):
    """The agent gave no answer, or none that is one; the message is for a person."""


class NoAgent(ControlError):
    """Nobody listens at the socket, or there is none; also an agent that ended while it answered."""


class NoPermission(ControlError):
    """Neither root, nor of the group that may ask."""


class NotOurs(ControlError):
    """What is there is no agent's socket, or what listens does not speak as one."""


class OtherVersion(ControlError):
    """The agent speaks another version of the protocol."""


class Connection:
    """An open connection to the agent of this node. Raises ``ControlError``, here and while it is asked."""

    def __init__(self, path: str, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self.path = path
        self._socket = _connected(path)
        self._frames = Frames(is_agent=False)
        self._heard: list[FromAgent] = []
        self._number = 0
        with closed_on_failure(self._socket):
            self.version = self._greeted()
            self._socket.settimeout(answer_seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; whatever the agent was about to say, it stops computing."""
        self._socket.close()

    def ask(self, method: str, **parameters: Any) -> Iterator[Any]:
        """The values of an answer, as they come. One answer at a time; leave it early and the agent is told so."""
        self._number += 1
        number = self._number
        self._send(Request(number, method, parameters))
        is_over = False
        try:
            while True:
                message = self._next()
                match message:
                    case Item(number=of, value=value) if of == number:
                        yield value
                    case End(number=of) if of == number:
                        is_over = True
                        return
                    case Error(number=of, code=code, message=why) if of in {number, 0}:
                        is_over = True
                        raise _named(code, why)
                    case _:
                        pass  # the rest of an answer that was left early
        finally:
            if not is_over and self._socket.fileno() != -1:
                self._send_if_possible(Cancel(number))

    def tell(self, method: str, **parameters: Any) -> None:
        """Ask for something beside the answer that is being read, and wait for no answer to it."""
        self._number += 1
        self._send(Request(self._number, method, parameters))

    def wait_for_ever(self) -> None:
        """The answers from now on are streams: silence is no fault."""
        self._socket.settimeout(None)

    def _greeted(self) -> str:
        first = self._next()
        match first:
            case Hello(protocol=protocol, version=version):
                if protocol != PROTOCOL:
                    raise OtherVersion(
                        f"the agent at {self.path} is hullwatch {version} and speaks version {protocol} of the "
                        f"control protocol; this command speaks {PROTOCOL}: use the hullwatch that the agent is from"
                    )
                return version
            case Error(code=code, message=why):
                raise _named(code, why)
            case _:
                raise NotOurs(f"what listens at {self.path} did not greet as hullwatch does")

    def _next(self) -> FromAgent:
        while not self._heard:
            try:
                data = self._socket.recv(_CHUNK_BYTES)
            except TimeoutError:
                raise NoAgent(f"the agent at {self.path} does not answer") from None
            except OSError as error:
                raise NoAgent(f"the agent at {self.path} went away: {error.strerror}") from error
            if not data:
                raise NoAgent(f"the agent at {self.path} went away")
            try:
                self._heard += [each for each in self._frames.feed(data) if isinstance(each, FromAgent)]
            except ProtocolError as error:
                raise NotOurs(f"what listens at {self.path} does not speak as hullwatch does: {error}") from error
        return self._heard.pop(0)

    def _send(self, message: Request | Cancel) -> None:
        try:
            self._socket.sendall(encode(message))
        except (BrokenPipeError, ConnectionError, TimeoutError):
            pass  # it may have said why before it hung up: reading tells
        except ProtocolError as error:
            raise ControlError(f"this is too much to ask: {error}") from error

    def _send_if_possible(self, message: Cancel) -> None:
        try:
            self._socket.sendall(encode(message))
        except OSError:
            self._socket.close()


def _named(code: str, why: str) -> ControlError:
    if code == Code.DENIED:
        return NoPermission(f"the agent does not answer you: {why}")
    return ControlError(f"the agent says: {why}")


def _connected(path: str) -> socket.socket:
    try:
        found = os.lstat(path)
        if not stat.S_ISSOCK(found.st_mode):
            raise NotOurs(f"{path} is no socket")
        _must_be_ours(path, found.st_uid, "belongs to")
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        connection.settimeout(GREETING_SECONDS)
        with closed_on_failure(connection):
            _connect(connection, path)
            _must_be_ours(path, peer_of(connection).uid, "is served by")
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM}:
            who = "root" if os.geteuid() else "whoever the agent runs as"
            raise NoPermission(f"{path}: you may not ask the agent; {who} may") from error
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            raise NoAgent(f"no agent runs here: there is no socket {path}") from error
        if error.errno == errno.ECONNREFUSED:
            raise NoAgent(f"no agent runs here: nobody listens at {path}") from error
        raise NoAgent(f"the agent at {path} does not answer: {error.strerror or error}") from error
    return connection


def _connect(connection: socket.socket, path: str) -> None:
    """Connect; where as many wait as the kernel lets (EAGAIN), try again for as long as a greeting may take."""
    deadline = time.monotonic() + GREETING_SECONDS
    while True:
        try:
            connection.connect(path)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return


def _must_be_ours(path: str, uid: int, how: str) -> None:
    if uid not in {0, os.geteuid()}:
        raise NotOurs(f"{path} {how} uid {uid}, neither root nor you: it may be a trap, so it is not asked")
