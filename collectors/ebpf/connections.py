"""Connections that container tasks make, from what the kernel's programs send to the events that every tier tells.

Over a unix socket it is the process that called listen(2) which counts: a governing one of the host is told
(``collectors.sockets``), as ``UnixConnected``. Over TCP the kernel asks a table of addresses and ports, and what it
tells becomes ``TcpConnected``. Of both no handshake need succeed or last.

Concurrency: the sensor's thread owns it. Bounded: one read of the node's addresses in ``ADDRESSES_NS``.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable

from collectors.births import Tracked
from collectors.ebpf.acts import ActRecord
from collectors.ebpf.libbpf import BpfMap
from collectors.ebpf.records import CAUSE_CONNECTION
from collectors.endpoints import METADATA, NODE_PORTS, read_local_addresses
from collectors.events import Event, TcpConnected, UnixConnected
from collectors.facts import Connection, HostBaseline
from collectors.governors import Governors
from collectors.host import Roots
from collectors.moments import is_within
from collectors.observer import Observer

ADDRESSES_NS = 30_000_000_000
_ENDPOINT = struct.Struct("<16sII")
_HALVES = struct.Struct("<QQ")
_PRESENT = b"\1\0\0\0"


class Connections:
    """See the module's docstring."""

    def __init__(
        self,
        observer: Observer,
        host: HostBaseline,
        roots: Roots,
        emit: Callable[[Event], None],
        *,
        governors: Governors,
    ) -> None:
        self._observer = observer
        self._host = host
        self._proc = roots.proc
        self._emit = emit
        self._governors = governors
        self._addresses: frozenset[str] = frozenset()
        self._read_at_ns = -ADDRESSES_NS

    def fill(self, endpoints: BpfMap) -> None:
        """Have the kernel know the watched ports and addresses."""
        for port in NODE_PORTS:
            endpoints.update(_ENDPOINT.pack(bytes(16), port, 0), _PRESENT)
        for address in METADATA:
            endpoints.update(_ENDPOINT.pack(_packed(address), 0, 0), _PRESENT)

    def take(self, record: ActRecord, tracked: Tracked, at_ns: int) -> None:
        """Tell a connection of a container's task, if it leads to somebody who matters."""
        if record.task.header.call == CAUSE_CONNECTION:
            self._tell_tcp(record, tracked, at_ns)
        else:
            self._tell_unix(record, tracked, at_ns)

    def _tell_unix(self, record: ActRecord, tracked: Tracked, at_ns: int) -> None:
        server = self._observer.tracked(record.act.target_pid)
        if server is None or server.told is None or server.container_id is not None or tracked.container_id is None:
            return
        governor = self._governors.of(server.told)
        if governor is None:
            return
        name = record.act.path
        path = b"@" + name[1:] if name.startswith(b"\0") else name.rstrip(b"\0")
        self._emit(
            UnixConnected(
                at_ns, tracked.container_id, tracked.key, record.act.inode, path, server.key, governor.program
            )
        )

    def _tell_tcp(self, record: ActRecord, tracked: Tracked, at_ns: int) -> None:
        address, port = remote_of(record.act.arguments)
        is_host = record.task.vector.namespaces[2] == self._host.namespaces.net
        is_loopback = ipaddress.ip_address(address).is_loopback
        if tracked.container_id is None or (is_loopback and not is_host):
            return
        is_here = is_loopback or address in self._own_addresses(at_ns)
        connection = Connection("tcp", "", 0, address, port, is_incoming=False)
        self._emit(TcpConnected(at_ns, tracked.container_id, tracked.key, record.act.inode, connection, is_here))

    def _own_addresses(self, at_ns: int) -> frozenset[str]:
        """The node's own addresses, read anew now and then; none where its routes can't be read."""
        if not is_within(at_ns, self._read_at_ns, ADDRESSES_NS):
            self._read_at_ns = at_ns
            self._addresses = read_local_addresses(self._proc)
        return self._addresses


def remote_of(arguments: tuple[int, ...]) -> tuple[str, int]:
    """Address and port that a TCP socket is connected to, as ``kernel/connections.h`` packs them. Pure."""
    address = ipaddress.IPv6Address(_HALVES.pack(arguments[0], arguments[1]))
    return str(address.ipv4_mapped or address), arguments[2] & 0xFFFF


def _packed(address: str) -> bytes:
    """The 16 bytes of an address, IPv4 as ``::ffff:a.b.c.d``."""
    packed = ipaddress.ip_address(address).packed
    return packed if len(packed) == 16 else bytes(10) + b"\xff\xff" + packed  # noqa: PLR2004  bytes of an IPv6 address
