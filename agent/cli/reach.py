"""Which containers can reach a governing socket, and which are connected to one. Pure.

A socket's file is reached through whatever mount shows its file system at its directory or above, declared or not, as
long as nothing is mounted over it there; abstract sockets and TCP ports through the host's net namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.cli.mount_rows import host_table
from agent.state import NodeState
from collectors.confinement import is_within
from collectors.events import TcpConnected, UnixConnected
from collectors.facts import Container, Mount, Process, Unknown

if TYPE_CHECKING:
    from collectors.governing import GoverningSocket

Connected = UnixConnected | TcpConnected


@dataclass(frozen=True, slots=True)
class Hold:
    """How a container comes to a socket: ``path`` is where it has it, ``pid`` who is connected or stands outside."""

    container: Container
    how: str  # mount, host mnt namespace, host net namespace, connected
    path: bytes | None = None
    pid: int | None = None

    @property
    def is_connected(self) -> bool:
        """It is not only possible."""
        return self.how == "connected"


def holds(state: NodeState, socket: GoverningSocket, connections: Iterable[Connected]) -> tuple[Hold, ...]:
    """Every way, by container; who is connected comes first."""
    found = [*_connected(state, socket, connections), *_reachable(state, socket)]
    unique = dict.fromkeys(found)
    return tuple(sorted(unique, key=lambda each: (not each.is_connected, each.container.id)))


def _connected(state: NodeState, socket: GoverningSocket, connections: Iterable[Connected]) -> Iterator[Hold]:
    servers = {each.key for each in socket.listeners}
    for each in connections:
        if isinstance(each, UnixConnected):
            is_it = each.server in servers and _is_name(each.path, socket)
        else:
            port = b":%d" % each.connection.remote_port
            is_it = each.is_to_this_node and socket.kind == "tcp" and socket.name.endswith(port)
        if is_it and (container := state.container(each.container_id)) is not None:
            yield Hold(container, "connected", pid=each.process.pid if each.process is not None else None)


def _is_name(path: bytes, socket: GoverningSocket) -> bool:
    """The name that the server gave it may lead through a link (``/var/run``), so its end decides; see ``socket``."""
    if socket.kind != "unix":
        return path == socket.name
    return path == socket.name or path.rsplit(b"/", 2)[-2:] == socket.name.rsplit(b"/", 2)[-2:]


def _reachable(state: NodeState, socket: GoverningSocket) -> Iterator[Hold]:
    for container in state.containers():
        outside = _outside(state, container, "mnt" if socket.kind == "unix" else "net")
        if outside is not None:
            kind = "mnt" if socket.kind == "unix" else "net"
            yield Hold(container, f"host {kind} namespace", socket.name, outside.key.pid)
        first = state.first_process(container.id)
        if socket.kind == "unix" and isinstance(first, Process):
            yield from (Hold(container, "mount", path) for path in _paths(state, socket, first))


def _outside(state: NodeState, container: Container, kind: str) -> Process | None:
    """A process of the container that has the host's namespace of that kind."""
    host = getattr(state.host.namespaces, kind)
    if isinstance(host, Unknown):
        return None
    return next(
        (
            each
            for each in sorted(state.processes(), key=lambda each: each.key)
            if getattr(each.confinement.namespaces, kind) == host
            and (owner := state.container_of(each)) is not None
            and owner.id == container.id
        ),
        None,
    )


def _paths(state: NodeState, socket: GoverningSocket, first: Process) -> Iterator[bytes]:
    """Where a container's own mount table shows the socket's file."""
    namespace = first.confinement.namespaces.mnt
    if not isinstance(namespace, int) or namespace == state.host.namespaces.mnt or socket.file is None:
        return
    table = state.mounts(namespace)
    inside = _within_file_system(socket.name, host_table(state))
    if isinstance(table, Unknown) or inside is None:
        return
    for mount in table:
        if mount.device == socket.file.device and is_within(inside, mount.root):
            below = inside.removeprefix(mount.root.rstrip(b"/"))
            path = (mount.point.rstrip(b"/") + below) or b"/"
            if _shown_by(path, table) is mount:
                yield path


def _within_file_system(path: bytes, table: tuple[Mount, ...]) -> bytes | None:
    """A path of the host as it is in the file system that shows it there."""
    mount = _shown_by(path, table)
    if mount is None:
        return None
    below = path.removeprefix(mount.point.rstrip(b"/"))
    return (mount.root.rstrip(b"/") + below) or b"/"


def _shown_by(path: bytes, table: tuple[Mount, ...]) -> Mount | None:
    """The mount that shows ``path``: the deepest point above it, and of several at one point the last."""
    above = [each for each in table if is_within(path, each.point)]
    return max(reversed(above), key=lambda each: len(each.point), default=None)
