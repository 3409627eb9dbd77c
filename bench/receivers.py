"""Receivers for ``bench.sinks``, each a process of its own, so that its CPU is not counted.

``python -m bench.receivers KIND`` prints its port. They do as little as their protocol allows, and end
when their standard input does.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
from collections.abc import Callable

import msgpack

BUFFER = 1 << 20

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def forward(connection: socket.socket) -> None:
    """Acknowledge every message."""
    unpacker = msgpack.Unpacker(max_buffer_size=1 << 26)
    while data := connection.recv(BUFFER):
        unpacker.feed(data)
        for message in unpacker:
            connection.sendall(msgpack.packb({"ack": message[2]["chunk"]}))


def http(connection: socket.socket) -> None:
    """Answer 200 to every request."""
    got = bytearray()
    while data := connection.recv(BUFFER):
        got += data
        while (end := got.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(got, 0, end)
            assert length is not None
            size = end + 4 + int(length[1])
            if len(got) < size:
                break
            del got[:size]
            connection.sendall(_OK)


def drain(connection: socket.socket) -> None:
    """Read."""
    while connection.recv(BUFFER):
        pass


KINDS: dict[str, Callable[[socket.socket], None]] = {"forward": forward, "http": http, "drain": drain}


def main() -> None:
    """Serve one kind, and print the port."""
    serve = KINDS[sys.argv[1]]
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
