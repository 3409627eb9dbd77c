"""The unix sockets of our own net namespace with their peers, from the kernel's NETLINK_SOCK_DIAG.

``/proc/net/unix`` does not tell who is at the other end; sock_diag does. Sources: sock_diag(7),
``include/uapi/linux/unix_diag.h``, ``net/unix/diag.c``. Pure decoder first, then the socket. Bounded: what comes is
read to ``MAX_BYTES``, and an answer that does not come is given up after a second.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from collectors.errors import CollectorError, Malformed, TooLarge, from_os_error

SOURCE = "sock_diag"
MAX_BYTES = 32 << 20

# include/uapi/linux/netlink.h, sock_diag.h, unix_diag.h
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_REQUEST_DUMP = 0x1 | 0x300
_SHOW_NAME_AND_PEER = 0x1 | 0x4
_ATTRIBUTE_NAME, _ATTRIBUTE_PEER = 0, 2
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBHIIIII")
_MESSAGE = struct.Struct("=BBBBIII")
_ATTRIBUTE = struct.Struct("=HH")
_CHUNK_BYTES = 1 << 17
_TIMEOUT_SECONDS = 1.0


class UnixPeer(NamedTuple):
    """One socket; ``peer`` is the inode at the other end or 0; ``name`` starts with NUL when it is abstract."""

    inode: int
    peer: int
    name: bytes


def decode_unix(data: bytes) -> tuple[tuple[UnixPeer, ...], bool]:
    """The sockets of one datagram, and whether it is the last; raises ``Malformed`` or what the kernel refused with."""
    found: list[UnixPeer] = []
    for kind, payload in _messages(data):
        if kind == _NLMSG_DONE:
            return tuple(found), True
        if kind == _NLMSG_ERROR:
            number = -struct.unpack_from("=i", payload)[0] if len(payload) >= 4 else 0  # noqa: PLR2004 (an int)
            raise from_os_error(SOURCE, OSError(number, "refused"))
        if kind == _SOCK_DIAG_BY_FAMILY:
            found.append(_decode_one(payload))
    return tuple(found), False


def read_unix_peers() -> tuple[UnixPeer, ...]:
    """Every unix socket of our own net namespace; raises a ``CollectorError`` kind."""
    request = _REQUEST.pack(socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, _SHOW_NAME_AND_PEER, 0, 0)
    header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0)
    found: list[UnixPeer] = []
    size = 0
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as diag:
            diag.settimeout(_TIMEOUT_SECONDS)
            diag.send(header + request)
            while size <= MAX_BYTES:
                data = diag.recv(_CHUNK_BYTES)
                size += len(data)
                sockets, is_last = decode_unix(data)
                found += sockets
                if is_last:
                    return tuple(found)
    except TimeoutError as error:
        raise CollectorError(SOURCE, "no answer") from error
    except OSError as error:
        raise from_os_error(SOURCE, error) from error
    raise TooLarge(SOURCE, f"more than {MAX_BYTES} bytes")


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and payload of each netlink message."""
    offset = 0
    while offset < len(data):
        if len(data) - offset < _HEADER.size:
            raise Malformed(SOURCE, "a message that is cut off")
        length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            raise Malformed(SOURCE, "a message of the wrong length")
        yield kind, data[offset + _HEADER.size : offset + length]
        offset += _aligned(length)


def _decode_one(payload: bytes) -> UnixPeer:
    if len(payload) < _MESSAGE.size:
        raise Malformed(SOURCE, "a socket that is cut off")
    inode = _MESSAGE.unpack_from(payload)[4]
    name, peer, offset = b"", 0, _MESSAGE.size
    while offset + _ATTRIBUTE.size <= len(payload):
        length, kind = _ATTRIBUTE.unpack_from(payload, offset)
        if length < _ATTRIBUTE.size or offset + length > len(payload):
            raise Malformed(SOURCE, "an attribute of the wrong length")
        value = payload[offset + _ATTRIBUTE.size : offset + length]
        if kind == _ATTRIBUTE_NAME:
            name = value
        elif kind == _ATTRIBUTE_PEER and len(value) >= 4:  # noqa: PLR2004 (a 32-bit inode)
            peer = struct.unpack_from("=I", value)[0]
        offset += _aligned(length)
    return UnixPeer(inode, peer, name)


def _aligned(length: int) -> int:
    return (length + 3) & ~3
