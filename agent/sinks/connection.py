"""Connections to receivers: TCP, TLS and unix sockets, each exchange with one deadline for all that it does.

A timeout for each call would not do: a receiver that sends a byte a second would hold its sink for hours. Looking up a
name is the one thing that has no deadline of ours: the system's resolver has its own.

A connection belongs to the thread of its sink. Certificates and keys are read anew for each connection.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import re
import socket
import ssl
import struct
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from agent.errors import SinkError
from agent.output_schema import TlsConfig
from agent.text import clipped, visible
from collectors.closing import closed_on_failure

MAX_DETAIL = 300

_PIECE_BYTES = 262_144
_FIRST_PAUSE_SECONDS = 0.0002
_LAST_PAUSE_SECONDS = 0.05
_ADDRESS = re.compile(r"(tcp|tls)://(?:\[([^]]+)\]|([^:]+)):(\d+)")

Resolver = Callable[..., list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a receiver listens. ``host`` is the path of the socket where ``kind`` is ``unix``."""

    kind: Literal["tcp", "tls", "unix"]
    host: str
    port: int = 0


def parse_address(address: str) -> Target:
    """The target of an ``address`` of the configuration, which has matched its pattern there. Pure."""
    if address.startswith("unix://"):
        return Target("unix", address.removeprefix("unix://"))
    found = _ADDRESS.fullmatch(address)
    assert found is not None
    return Target("tls" if found[1] == "tls" else "tcp", found[2] or found[3], int(found[4]))


class Deadline:
    """The moment at which an exchange has taken too long."""

    def __init__(self, sink: str, seconds: float) -> None:
        self._sink = sink
        self._seconds = seconds
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        """The seconds that are left; raises ``SinkError`` when there are none."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise SinkError(self._sink, f"no answer within {self._seconds:g} s")
        return left


class Connection:
    """One open socket, TLS or not, whose calls all end at ``deadline``. Raises ``SinkError`` and nothing else.

    ``makefile`` and ``sendall`` are what ``http.client`` wants of a socket. Where it ``is_datagram``, each ``sendall``
    is one message, and the receiver sees its bounds.
    """

    def __init__(self, sink: str, opened: socket.socket, deadline: Deadline) -> None:
        self.deadline = deadline
        self.is_datagram = opened.type is socket.SOCK_DGRAM
        self._sink = sink
        self._socket = opened
        self._unread = b""

    def sendall(self, data: bytes) -> None:
        """Hand all of ``data`` to the kernel."""
        rest = memoryview(data)
        while rest:
            self._socket.settimeout(self.deadline.remaining())
            try:
                rest = rest[self._socket.send(rest if self.is_datagram else rest[:_PIECE_BYTES]) :]
            except OSError as error:
                raise SinkError(self._sink, f"sending failed: {said(error)}") from error

    def receive(self, limit: int) -> bytes:
        """What the receiver sent next, at most ``limit`` bytes; ``b""`` when it closed."""
        if self._unread:
            data, self._unread = self._unread[:limit], self._unread[limit:]
            return data
        self._socket.settimeout(self.deadline.remaining())
        try:
            return self._socket.recv(limit)
        except OSError as error:
            raise SinkError(self._sink, f"receiving failed: {said(error)}") from error

    def put_back(self, data: bytes) -> None:
        """Have ``data``, which was received just now, received again."""
        self._unread = data + self._unread

    def makefile(self, _mode: str) -> io.BufferedReader:
        """The receiver's bytes as a file."""
        return io.BufferedReader(_Answers(self))

    def is_idle(self) -> bool:
        """The receiver has neither closed the connection nor said anything since it was last asked."""
        try:
            return self._said() is None
        except OSError:
            return False

    def wait_until_taken(self) -> None:
        """Wait until the receiver's kernel has acknowledged (unix socket: the receiver has read) all that was sent.

        For protocols without an answer. tcp(7), unix(7): SIOCOUTQ, which has the number of TIOCOUTQ. A receiver that
        closes with bytes unread resets the connection, which is an error here; one that has read them may close.
        """
        pause = _FIRST_PAUSE_SECONDS
        try:
            while self._queued_bytes():
                self._said()  # the queue stays after a reset (test_bytes_that_the_receiver_left_unread_are_not_taken)
                time.sleep(min(pause, self.deadline.remaining()))
                pause = min(pause * 2, _LAST_PAUSE_SECONDS)
            self._said()
        except OSError as error:
            raise SinkError(self._sink, f"the receiver closed the connection: {said(error)}") from error

    def close(self) -> None:
        """Close the socket, whatever state it is in."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def _said(self) -> bytes | None:
        """What the receiver said without being asked, ``b""`` where it closed; ``None`` for nothing."""
        self._socket.settimeout(0)
        try:
            return self._socket.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None

    def _queued_bytes(self) -> int:
        queued: int = struct.unpack("i", fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
        return queued


class _Answers(io.RawIOBase):
    """The receiver's bytes for ``io.BufferedReader``."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._connection.receive(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class Connector:
    """Opens connections to one target."""

    def __init__(
        self,
        sink: str,
        target: Target,
        tls: TlsConfig,
        *,
        resolve: Resolver = socket.getaddrinfo,
    ) -> None:
        self.target = target
        self._sink = sink
        self._tls = tls
        self._resolve = resolve

    def check(self) -> None:
        """Raise ``SinkError`` where a certificate or key cannot be used."""
        if self.target.kind == "tls":
            self._context()

    def open(self, deadline: Deadline) -> Connection:
        """A new connection, TLS done."""
        opened = self._unix(deadline) if self.target.kind == "unix" else self._tcp(deadline)
        if self.target.kind != "tls":
            return Connection(self._sink, opened, deadline)
        try:
            with closed_on_failure(opened):
                context = self._context()
                opened.settimeout(deadline.remaining())
                wrapped = context.wrap_socket(opened, server_hostname=self._tls.server_name or self.target.host)
        except (OSError, ValueError) as error:  # ValueError: a server name that no certificate can have
            raise SinkError(self._sink, f"TLS with {self.target.host} failed: {said(error)}") from error
        return Connection(self._sink, wrapped, deadline)

    def _tcp(self, deadline: Deadline) -> socket.socket:
        """A connection to the first of the host's addresses that takes one."""
        target = self.target
        try:
            found = self._resolve(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise SinkError(self._sink, f"{target.host} has no address: {said(error)}") from error
        problem = "it has no address"
        for family, kind, protocol, _, address in found:
            try:  # also to make one: a name may have IPv6 addresses, and the node no IPv6
                opened = socket.socket(family, kind, protocol)
            except OSError as error:
                problem = said(error)
                continue
            try:
                with closed_on_failure(opened):
                    opened.settimeout(deadline.remaining())
                    opened.connect(address)
                    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                problem = said(error)
            else:
                return opened
        raise SinkError(self._sink, f"{target.host}:{target.port} cannot be reached: {problem}")

    def _unix(self, deadline: Deadline) -> socket.socket:
        """A stream, or, where a datagram socket listens (as /dev/log), a datagram socket."""
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            try:
                opened = socket.socket(socket.AF_UNIX, kind)
            except OSError as error:  # no descriptor is left
                raise SinkError(self._sink, f"no socket: {said(error)}") from error
            try:
                with closed_on_failure(opened):
                    opened.settimeout(deadline.remaining())
                    opened.connect(self.target.host)
            except OSError as error:
                if error.errno == errno.EPROTOTYPE and kind is socket.SOCK_STREAM:
                    continue
                raise SinkError(self._sink, f"{self.target.host} cannot be reached: {said(error)}") from error
            else:
                return opened
        raise AssertionError

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self._tls.ca_file)
        except OSError as error:
            raise SinkError(self._sink, f"{self._tls.ca_file} cannot be used: {said(error)}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._tls.certificate_file is not None:
            try:
                # Without a password, OpenSSL would ask for one on the terminal.
                context.load_cert_chain(self._tls.certificate_file, self._tls.key_file, password="")
            except OSError as error:
                files = " with ".join(each for each in (self._tls.certificate_file, self._tls.key_file) if each)
                raise SinkError(self._sink, f"{files} cannot be used: {said(error)}") from error
        return context


def said(error: Exception) -> str:
    """What an error of the network says, for one line of a log: a certificate's text is the receiver's."""
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, ssl.SSLCertVerificationError):
        return visible(clipped(error.verify_message, MAX_DETAIL))
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return visible(clipped(text, MAX_DETAIL)) or type(error).__name__
