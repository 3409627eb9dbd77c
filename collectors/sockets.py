"""Which sockets of containers lead out: to whoever governs containers or the host, to the node's services, to the wire.

Looked at are, once for each net namespace and every few sweeps:

- connections over unix sockets to a host process that *governs*: a container runtime, the kubelet, systemd, D-Bus. Who
  listens decides, not what the socket is called: the connection's far end must be among that process' descriptors. In
  the container's own ``net/unix`` the far end shows with the server's path and without a listener; for containers in
  the host's net namespace sock_diag tells both ends.
- TCP connections to the ports and addresses of ``NODE_PORTS`` and ``METADATA``;
- packet and raw sockets.

Each socket is told once. Sources: proc_pid_net(5), unix(7), sock_diag(7).

A read of ``net/tcp`` walks the whole kernel's table of connections, whichever namespace it is for (1.3 ms with 262,144
buckets), so it is read only where ``net/sockstat`` says that TCP is in use, and in a few namespaces at each look.

Whoever calls ``look`` owns it. Bounded: namespaces in a look, descriptors read to find a socket's holder, sockets
remembered.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from collectors.bounded import open_process, read_bounded
from collectors.endpoints import METADATA, NODE_PORTS, is_loopback, read_local_addresses
from collectors.errors import CollectorError
from collectors.events import Event, RawSocketHeld, TcpConnected, UnixConnected
from collectors.facts import Connection, HostBaseline, ProcessKey
from collectors.governors import Governors
from collectors.host import Roots
from collectors.observer import Observer
from collectors.proc.fd import read_socket_inodes
from collectors.proc.inet import ESTABLISHED, SYN_SENT, InetSocket, read_inet, read_packet
from collectors.proc.unix import CONNECTED, UnixSocket, read_unix
from collectors.sockdiag import UnixPeer, read_unix_peers

EVERY = 5  # sweeps
NAMESPACES_AT_A_LOOK = 64
TCP_READS_AT_A_LOOK = 8
MAX_SHOWN_BY = 3  # processes that are tried for one namespace
MAX_DESCRIPTORS = 4096  # of one process, to find who holds a socket
MAX_HOLDERS = 512  # processes of one namespace that are asked
MAX_REMEMBERED = 65_536
_MAX_STATISTICS_BYTES = 4096

_RAW_FILES = (("raw", "raw"), ("raw", "raw6"))
_TCP_FILES = ((("tcp", "tcp"), "sockstat"), (("tcp", "tcp6"), "sockstat6"))
_UNUSED = re.compile(rb"^TCP6?: inuse 0$|^TCP6?: inuse 0 ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Resident:
    """A container process in a net namespace."""

    container_id: str
    key: ProcessKey


class SocketWatch:
    """Looks at the sockets of the containers that ``observer`` knows."""

    def __init__(
        self,
        roots: Roots,
        host: HostBaseline,
        observer: Observer,
        emit: Callable[[Event], None],
        *,
        governors: Governors,
        clock_ns: Callable[[], int],
        read_peers: Callable[[], tuple[UnixPeer, ...]] = read_unix_peers,
    ) -> None:
        self.counts = {"looks": 0, "unread_namespaces": 0, "peers_unread": 0}
        self._roots = roots
        self._host = host
        self._observer = observer
        self._emit = emit
        self._clock_ns = clock_ns
        self._read_peers = read_peers
        self._governors = governors
        self._seen: set[tuple[int, int]] = set()
        self._calls = 0
        self._turn = 0
        self._tcp_reads_left = 0

    def look(self) -> None:
        """To be called after every sweep; looks at every fifth call."""
        self._calls += 1
        if self._calls % EVERY == 1:
            self.look_now()

    def look_now(self) -> None:
        """Look at the next few namespaces, and tell of what is new in them."""
        self.counts["looks"] += 1
        if len(self._seen) > MAX_REMEMBERED:
            self._seen.clear()
        residents, servers = self._residents()
        namespaces = sorted(residents)
        count = min(NAMESPACES_AT_A_LOOK, len(namespaces))
        following = self._turn + count
        self._tcp_reads_left = TCP_READS_AT_A_LOOK
        for index in range(self._turn, self._turn + count):
            had_reads_left = self._tcp_reads_left > 0
            namespace = namespaces[index % len(namespaces)]
            self._look_at(namespace, residents[namespace], servers)
            if had_reads_left and self._tcp_reads_left <= 0:
                following = index + 1  # the next look begins where this one ran out
        self._turn = following

    def _residents(self) -> tuple[dict[int, list[_Resident]], dict[ProcessKey, bytes]]:
        """The container processes by net namespace, and the governing processes of the host with their programs."""
        residents: dict[int, list[_Resident]] = {}
        servers: dict[ProcessKey, bytes] = {}
        for container_id, process in self._observer.told_processes():
            namespace = process.confinement.namespaces.net
            if container_id is None:
                if (governor := self._governors.of(process)) is not None:
                    servers[process.key] = governor.program
            elif isinstance(namespace, int) and process.thread_of is None:
                residents.setdefault(namespace, []).append(_Resident(container_id, process.key))
        return residents, servers

    def _look_at(self, namespace: int, residents: list[_Resident], servers: dict[ProcessKey, bytes]) -> None:
        is_host = namespace == self._host.namespaces.net
        for resident in residents[:MAX_SHOWN_BY]:
            try:
                directory = open_process(self._roots.proc, resident.key.pid)
            except CollectorError:
                continue
            try:
                self._look_through(directory, namespace, residents, servers, is_host=is_host)
            except CollectorError:
                continue
            finally:
                os.close(directory)
            return
        self.counts["unread_namespaces"] += 1

    def _look_through(
        self,
        directory: int,
        namespace: int,
        residents: list[_Resident],
        servers: dict[ProcessKey, bytes],
        *,
        is_host: bool,
    ) -> None:
        """One namespace, through the directory of a process in it."""
        tcp = [each for each in self._read_tcp(directory) if _leads_out(each, is_host=is_host)]
        raw = read_inet(directory, _RAW_FILES)
        packet = read_packet(directory)
        wanted = {each.inode for each in (*tcp, *raw)} | set(packet)
        new = {inode for inode in wanted if (namespace, inode) not in self._seen}
        if new:
            self._tell_network(namespace, residents, tcp, raw, packet, new, is_host=is_host)
        if is_host:
            self._look_at_peers(namespace, residents, servers)
        else:
            self._look_at_unix(namespace, residents, read_unix(directory), servers)

    def _read_tcp(self, directory: int) -> tuple[InetSocket, ...]:
        """The TCP sockets, if there are any and their turn has come."""
        used = tuple(file for file, statistics in _TCP_FILES if _is_in_use(directory, statistics))
        if not used or self._tcp_reads_left <= 0:
            return ()
        self._tcp_reads_left -= len(used)
        return read_inet(directory, used)

    def _tell_network(
        self,
        namespace: int,
        residents: list[_Resident],
        tcp: list[InetSocket],
        raw: tuple[InetSocket, ...],
        packet: tuple[int, ...],
        new: set[int],
        *,
        is_host: bool,
    ) -> None:
        """Find who holds the new sockets; in the host's namespace most are nobody's of ours."""
        holders = self._holders(residents, new)
        addresses = read_local_addresses(self._roots.proc) if tcp else frozenset()
        only = residents[0].container_id if len({each.container_id for each in residents}) == 1 else None
        for inode in new:
            self._seen.add((namespace, inode))
        for each in tcp:
            owner = _owner(holders.get(each.inode), None if is_host else only or residents[0].container_id)
            if each.inode in new and owner is not None:
                connection = Connection(
                    each.protocol, each.local, each.local_port, each.remote, each.remote_port, is_incoming=False
                )
                is_here = each.remote in addresses or (is_host and is_loopback(each.remote))
                self._emit(TcpConnected(self._clock_ns(), owner[0], owner[1], each.inode, connection, is_here))
        sockets = [*((each.inode, "raw", each.local_port) for each in raw), *((inode, "packet", 0) for inode in packet)]
        for inode, kind, protocol in sockets:
            owner = _owner(holders.get(inode), None if is_host else only or residents[0].container_id)
            if inode in new and owner is not None:
                self._emit(RawSocketHeld(self._clock_ns(), owner[0], owner[1], inode, kind, protocol))

    def _look_at_unix(
        self,
        namespace: int,
        residents: list[_Resident],
        rows: tuple[UnixSocket, ...],
        servers: dict[ProcessKey, bytes],
    ) -> None:
        """A connected row with a path that nobody in the namespace listens on: its far end is outside."""
        served = {each.path for each in rows if each.is_listening}
        far = {
            each.inode: each.path
            for each in rows
            if each.state == CONNECTED
            and each.path
            and each.path not in served
            and (namespace, each.inode) not in self._seen
        }
        if not far:
            return
        held = self._held_by_servers(servers)
        containers = tuple(dict.fromkeys(each.container_id for each in residents))
        for inode, path in far.items():
            self._seen.add((namespace, inode))
            server = held.get(inode)
            if server is not None:
                container_id = self._whose_mount(path, containers)
                self._emit(UnixConnected(self._clock_ns(), container_id, None, inode, path, server, servers[server]))

    def _look_at_peers(self, namespace: int, residents: list[_Resident], servers: dict[ProcessKey, bytes]) -> None:
        """Containers in the host's net namespace: both ends of every connection are in one table."""
        try:
            peers = self._read_peers()
        except CollectorError:
            self.counts["peers_unread"] += 1
            return
        far = {
            each.inode: each for each in peers if each.peer and each.name and (namespace, each.inode) not in self._seen
        }
        held = self._held_by_servers(servers) if far else {}
        governed = {each.peer: each for inode, each in far.items() if inode in held}
        self._seen.update((namespace, inode) for inode in far)
        if not governed:
            return
        for peer, holder in self._holders(residents, set(governed)).items():
            end = governed[peer]
            server = held[end.inode]
            path = b"@" + end.name[1:] if end.name.startswith(b"\0") else end.name.rstrip(b"\0")
            self._emit(
                UnixConnected(
                    self._clock_ns(), holder.container_id, holder.key, end.inode, path, server, servers[server]
                )
            )

    def _whose_mount(self, path: bytes, containers: tuple[str, ...]) -> str:
        """Of the containers of a pod the one that was given the socket, else the first."""
        name = path.rsplit(b"/", 1)[-1].decode("utf-8", "surrogateescape")
        for container_id in containers if len(containers) > 1 else ():
            declared = self._observer.declared_mounts(container_id)
            if any(each.source.endswith(f"/{name}") for each in declared):
                return container_id
        return containers[0]

    # Who holds a socket ----------------------------------------------------------------------------------------

    def _held_by_servers(self, servers: Iterable[ProcessKey]) -> dict[int, ProcessKey]:
        """Every socket that a governing process holds."""
        return {
            inode: key for key in servers for inode in read_socket_inodes(self._roots.proc, key.pid, MAX_DESCRIPTORS)
        }

    def _holders(self, residents: list[_Resident], inodes: set[int]) -> dict[int, _Resident]:
        """Which process holds which of these sockets, the first one that is found."""
        found: dict[int, _Resident] = {}
        for resident in residents[:MAX_HOLDERS]:
            if len(found) == len(inodes):
                break
            for inode in read_socket_inodes(self._roots.proc, resident.key.pid, MAX_DESCRIPTORS):
                if inode in inodes:
                    found.setdefault(inode, resident)
        return found


def _is_in_use(directory: int, statistics: str) -> bool:
    """The namespace has TCP sockets of that family; where that is not told, it may have."""
    try:
        data = read_bounded(f"net/{statistics}", _MAX_STATISTICS_BYTES, dir_fd=directory, source="proc/net/sockstat")
    except CollectorError:
        return True
    return _UNUSED.search(data) is None


def _leads_out(row: InetSocket, *, is_host: bool) -> bool:
    """An outgoing connection to one of the watched services; in its own namespace loopback is the container's own."""
    if row.state not in {ESTABLISHED, SYN_SENT}:
        return False
    if row.remote in METADATA:
        return True
    return row.remote_port in NODE_PORTS and (is_host or not is_loopback(row.remote))


def _owner(holder: _Resident | None, otherwise: str | None) -> tuple[str, ProcessKey | None] | None:
    """Who holds a socket; in a container's own namespace it is the container's also when nobody was found."""
    if holder is not None:
        return holder.container_id, holder.key
    return None if otherwise is None else (otherwise, None)
