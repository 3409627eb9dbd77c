"""The sockets of the host from which containers, or the host, are governed: where they are and who listens.

A socket governs if it is one of ``host_places.GOVERNING_SOCKETS``, known by device and inode of its file, or if
somebody who governs (``collectors.governors``) listens on it, whatever it is called: then also abstract ones and TCP
ports. What only systemd listens on is not taken for one: it listens on behalf of others. A row of ``/proc/net/unix``
may be forged by a name with line breaks in it, so a listener counts only where the row's inode is among its
descriptors.

Sources: proc_pid_net(5), unix(7). Bounded: descriptors of a process, rows, places.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from collectors.bounded import open_process
from collectors.containers.sources import GoverningFile
from collectors.endpoints import NODE_PORTS
from collectors.errors import CollectorError
from collectors.facts import Executable, FileId, HostBaseline, Process, ProcessKey
from collectors.governors import Governor, Governors, Scope
from collectors.host import Roots
from collectors.host_places import GOVERNING_SOCKETS
from collectors.hosttree import entries_below, locate_below, open_below
from collectors.proc.fd import read_socket_inodes
from collectors.proc.inet import LISTENING, read_inet
from collectors.proc.unix import read_unix

MAX_DESCRIPTORS = 4096  # of one process
MAX_ROWS = 4096
MAX_EXPANDED = 256
MAX_ASKED = 8  # processes that are tried for the host's net namespace

_ONLY_TELL = (b"/pod-resources/kubelet.sock",)  # which pod has which device: nothing can be asked for there
_NOBODY = -1
_TCP = (("tcp", "tcp"), ("tcp", "tcp6"))


@dataclass(frozen=True, slots=True)
class Listener:
    """A host process that accepts connections, and its program."""

    key: ProcessKey
    program: bytes


@dataclass(frozen=True, slots=True)
class GoverningSocket:
    """One socket. ``name`` is its real path on the host, ``@name`` where it is abstract, or ``ADDRESS:PORT``.

    ``file``, ``mode``, ``uid`` and ``gid`` are those of the socket's file, ``None`` where there is none.
    """

    kind: str  # unix, abstract, tcp
    name: bytes
    listeners: tuple[Listener, ...]
    file: FileId | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


@dataclass(slots=True)
class _File:
    path: bytes
    status: os.stat_result
    listeners: list[Listener] = field(default_factory=list)


def read_governing(
    roots: Roots, host: HostBaseline, governors: Governors, of_host: Iterable[Process]
) -> tuple[GoverningSocket, ...]:
    """Every governing socket, by name; ``of_host`` are the processes that are in no container.

    Raises a ``CollectorError`` kind when the host's sockets can't be read.
    """
    processes = [each for each in of_host if each.thread_of is None and not each.is_kernel_thread]
    directory = open_net(roots, host, processes)
    try:
        unix = [each for each in read_unix(directory) if each.is_listening][:MAX_ROWS]
        tcp = [each for each in read_inet(directory, _TCP) if each.state == LISTENING][:MAX_ROWS]
    finally:
        os.close(directory)
    wanted = {each.inode for each in unix} | {each.inode for each in tcp}
    held = _holders(roots, processes, wanted)
    governing = {each.key: governors.of(each) for each in processes}

    def governs(listeners: Iterable[Listener], name: bytes, owner: int = 0) -> bool:
        known = (governing.get(each.key) for each in listeners)
        return any(each is not None and takes_orders(each, name, owner) for each in known)

    files = {_id(each.status): each for _, each in _known_files(roots)}
    found: list[GoverningSocket] = []
    for row in unix:
        listeners = held.get(row.inode, ())
        if not row.path.startswith(b"@"):
            file = _find(roots, row.path) if listeners else None
            if file is not None and (_id(file.status) in files or governs(listeners, file.path, file.status.st_uid)):
                files.setdefault(_id(file.status), file).listeners.extend(listeners)
        elif governs(listeners, row.path, _NOBODY):
            found.append(GoverningSocket("abstract", row.path, tuple(listeners)))
    found += (_of_file(each) for each in files.values())
    for port in tcp:
        listeners = held.get(port.inode, ())
        if governs(listeners, b"") or (listeners and port.local_port in NODE_PORTS):
            address = f"[{port.local}]" if ":" in port.local else port.local
            found.append(GoverningSocket("tcp", f"{address}:{port.local_port}".encode(), tuple(listeners)))
    return tuple(sorted(set(found), key=lambda each: (each.kind != "unix", each.kind, each.name)))


def takes_orders(governor: Governor, name: bytes, owner: int) -> bool:
    """Whether a governor's socket governs: not one on which it only tells, nor the bus of a user's session."""
    if governor.scope is Scope.OTHERS or name.endswith(_ONLY_TELL):
        return False
    return governor.scope is not Scope.BUS or owner == 0


def find_files(
    roots: Roots, listening: Iterable[tuple[int, bytes]], holders: Mapping[ProcessKey, Governor]
) -> tuple[GoverningFile, ...]:
    """The files of those ``listening`` sockets (inode and path) that the ``holders`` hold, and govern by; by place."""
    servers = {
        inode: governor
        for key, governor in holders.items()
        for inode in read_socket_inodes(roots.proc, key.pid, MAX_DESCRIPTORS)
    }
    known = {_id(file.status): place for place, file in _known_files(roots)}
    found: set[GoverningFile] = set()
    for inode, path in listening:
        governor = servers.get(inode)
        file = _find(roots, path) if governor is not None else None
        if governor is not None and file is not None and takes_orders(governor, file.path, file.status.st_uid):
            with suppress(CollectorError):
                chain = locate_below(roots.host, file.path).chain
                found.add(GoverningFile(known.get(chain[-1], os.fsdecode(file.path)), chain, governor.name))
    return tuple(sorted(found, key=lambda each: (each.place, each.server)))


def open_net(roots: Roots, host: HostBaseline, processes: Iterable[Process]) -> int:
    """A directory of /proc whose ``net`` is the host's."""
    inside = (each.key.pid for each in processes if each.confinement.namespaces.net == host.namespaces.net)
    problem = CollectorError("proc/net", "no process of the host's net namespace is there to ask")
    for pid, _ in zip(inside, range(MAX_ASKED), strict=False):
        try:
            return open_process(roots.proc, pid)
        except CollectorError as error:
            problem = error
    raise problem


def _holders(roots: Roots, processes: Iterable[Process], wanted: set[int]) -> dict[int, list[Listener]]:
    """Which processes hold these sockets."""
    held: dict[int, list[Listener]] = {}
    for process in processes:
        for inode in read_socket_inodes(roots.proc, process.key.pid, MAX_DESCRIPTORS) & wanted:
            program = process.executable.path if isinstance(process.executable, Executable) else process.name
            held.setdefault(inode, []).append(Listener(process.key, program))
    return held


def _known_files(roots: Roots) -> Iterator[tuple[str, _File]]:
    """The sockets of ``GOVERNING_SOCKETS`` that are there, each with its entry."""
    for place in GOVERNING_SOCKETS:
        before, star, after = place.encode().partition(b"*")
        for path in _expanded(roots, before, after) if star else (before,):
            if (file := _find(roots, path)) is not None:
                yield place, file


def _expanded(roots: Roots, before: bytes, after: bytes) -> list[bytes]:
    try:
        return [before + name + after for name in entries_below(roots.host, before, MAX_EXPANDED)]
    except CollectorError:
        return []


def _find(roots: Roots, path: bytes) -> _File | None:
    """The socket's file on the host; ``None`` where there is none."""
    try:
        with open_below(roots.host, path, follow_links=True) as (found, real_path):
            status = os.fstat(found)
    except (OSError, CollectorError):
        return None
    return _File(real_path, status) if stat.S_ISSOCK(status.st_mode) else None


def _id(status: os.stat_result) -> FileId:
    return FileId(status.st_dev, status.st_ino)


def _of_file(found: _File) -> GoverningSocket:
    status = found.status
    listeners = tuple(sorted(set(found.listeners), key=lambda each: each.key))
    return GoverningSocket(
        "unix", found.path, listeners, _id(status), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
    )
