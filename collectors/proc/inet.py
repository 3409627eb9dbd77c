"""``/proc/PID/net/{tcp,tcp6,udp,udp6,raw,raw6,packet}``: the network sockets of a task's net namespace.

Source: proc_pid_net(5), ``Documentation/networking/proc_net_tcp.rst``, ``net/ipv4/tcp_ipv4.c``,
``net/packet/af_packet.c``. Addresses are words of 32 bits as the machine stores them, printed as numbers. A row has
nothing in it that a process can write.
"""

from __future__ import annotations

import ipaddress
import sys
from typing import NamedTuple

from collectors.bounded import read_bounded
from collectors.errors import CollectorError, Gone, Malformed
from collectors.facts import Connection

SOURCE = "proc/net"
MAX_BYTES = 16 << 20
ESTABLISHED, SYN_SENT, LISTENING = 1, 2, 10  # include/net/tcp_states.h

_WORD_DIGITS = 8
_COLUMNS = 10
_PACKET_COLUMNS = 9
_ORDER = sys.byteorder
_FAMILIES = (("tcp", "tcp"), ("tcp", "tcp6"), ("udp", "udp"), ("udp", "udp6"))


class InetSocket(NamedTuple):
    """One row; for raw sockets ``local_port`` is the protocol. An IPv4 address in IPv6's form is given as IPv4."""

    protocol: str
    local: str
    local_port: int
    remote: str
    remote_port: int
    state: int
    inode: int


def parse_inet(data: bytes, protocol: str) -> tuple[InetSocket, ...]:
    """The rows; raises ``Malformed``."""
    rows = []
    for line in data.rstrip(b"\n").split(b"\n")[1:]:
        fields = line.split(None, _COLUMNS)
        if len(fields) < _COLUMNS:
            raise Malformed(SOURCE, "not a row")
        try:
            local, local_port = _address(fields[1])
            remote, remote_port = _address(fields[2])
            rows.append(
                InetSocket(protocol, local, local_port, remote, remote_port, int(fields[3], 16), int(fields[9]))
            )
        except ValueError as error:
            raise Malformed(SOURCE, "a field that is no number") from error
    return tuple(rows)


def parse_packet(data: bytes) -> tuple[int, ...]:
    """The inodes of the packet sockets; raises ``Malformed``."""
    inodes = []
    for line in data.rstrip(b"\n").split(b"\n")[1:]:
        fields = line.split()
        if len(fields) < _PACKET_COLUMNS or not fields[8].isdigit():
            raise Malformed(SOURCE, "not a row of packet")
        inodes.append(int(fields[8]))
    return tuple(inodes)


def read_inet(dir_fd: int, names: tuple[tuple[str, str], ...] = _FAMILIES) -> tuple[InetSocket, ...]:
    """The sockets that the task whose directory ``dir_fd`` is can see; ``names`` are pairs of protocol and file.

    A protocol that the kernel lacks has none. Raises a ``CollectorError`` kind.
    """
    rows: list[InetSocket] = []
    for protocol, name in names:
        try:
            rows += parse_inet(read_bounded(f"net/{name}", MAX_BYTES, dir_fd=dir_fd, source=SOURCE), protocol)
        except Gone:
            continue
    return tuple(rows)


def read_packet(dir_fd: int) -> tuple[int, ...]:
    """The inodes of the packet sockets that the task can see; none where they cannot be had."""
    try:
        return parse_packet(read_bounded(b"net/packet", MAX_BYTES, dir_fd=dir_fd, source=SOURCE))
    except CollectorError:
        return ()


def connection_of(rows: tuple[InetSocket, ...], inode: int) -> Connection | None:
    """The connection whose socket has this inode; ``None`` where there is none, or it has no other end."""
    found = next((each for each in rows if each.inode == inode and each.remote_port), None)
    if found is None:
        return None
    served = {(each.protocol, each.local_port) for each in rows if each.state == LISTENING}
    is_incoming = (found.protocol, found.local_port) in served
    return Connection(found.protocol, found.local, found.local_port, found.remote, found.remote_port, is_incoming)


def _address(text: bytes) -> tuple[str, int]:
    """``0100007F:0016`` as an address and a port."""
    digits, _, port = text.partition(b":")
    words = [digits[start : start + _WORD_DIGITS] for start in range(0, len(digits), _WORD_DIGITS)]
    raw = b"".join(int(word, 16).to_bytes(4, _ORDER) for word in words)
    address = ipaddress.ip_address(raw)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address), int(port, 16)
