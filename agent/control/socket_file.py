"""The socket's file: made so that nobody but who may ask can connect, and never in place of what is not ours.

A socket that an agent left when it was killed is replaced; whether one is alive is asked by connecting. What is no
socket, a symbolic link, or somebody else's is refused, by the agent and by its clients.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import socket
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from collectors.closing import closed_on_failure

BACKLOG = 32
_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))
_DIRECTORY_MODE = 0o755


class SocketRefused(Exception):
    """The socket can't be made, or must not be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as the kernel says (SO_PEERCRED); ``groups`` are its supplementary ones."""

    pid: int
    uid: int
    gid: int
    groups: frozenset[int]


@dataclass(frozen=True, slots=True)
class Bound:
    """A listening socket, and the identity of its file, by which ``remove`` knows it."""

    listener: socket.socket
    path: str
    file: tuple[int, int]

    def is_in_place(self) -> bool:
        """The file is still there, and still ours: nobody has moved or removed it."""
        try:
            found = os.lstat(self.path)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self.file

    def close(self) -> None:
        """Stop listening, and take the file away if it is still ours."""
        self.listener.close()
        with contextlib.suppress(OSError):
            if self.is_in_place():
                os.unlink(self.path)


def group_id(name: str) -> int:
    """The number of a group by name or number. Raises ``SocketRefused``."""
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise SocketRefused(f"control.group is {name!r}, and there is no such group") from None


def listen(path: str, gid: int | None) -> Bound:
    """Make the socket, for root or for root and a group. Raises ``SocketRefused``."""
    try:
        Path(path).parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        _clear(path)
        return _made(path, gid)
    except OSError as error:
        raise SocketRefused(f"{path}: {error.strerror or error}") from error


def _clear(path: str) -> None:
    """Remove what an agent left behind; refuse whatever else is there."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "no socket"
        raise SocketRefused(f"{path} is there already and is {kind}")
    if found.st_uid not in {0, os.geteuid()}:
        raise SocketRefused(f"{path} is there already and belongs to uid {found.st_uid}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as probe:
        answer = probe.connect_ex(path)
    if answer not in {errno.ECONNREFUSED, errno.ENOENT}:
        raise SocketRefused(f"{path} is in use: another agent listens there")
    os.unlink(path)


def _made(path: str, gid: int | None) -> Bound:
    """Nobody can connect before the mode is what it should be: listen(2) comes last."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    with closed_on_failure(made):
        os.fchmod(made.fileno(), 0o600)  # bind(2) makes the file with the socket's own mode, whatever the umask
        made.bind(path)
        if gid is not None:
            os.chown(path, -1, gid, follow_symlinks=False)
            os.chmod(path, 0o660)  # ours, made a moment ago in a directory of ours
        made.listen(BACKLOG)
        found = os.lstat(path)
    return Bound(made, path, (found.st_dev, found.st_ino))


def peer_of(connection: socket.socket) -> Peer:
    """Who connected, or who listens. Raises ``OSError``."""
    pid, uid, gid = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return Peer(pid, uid, gid, _supplementary(connection))


def _supplementary(connection: socket.socket) -> frozenset[int]:
    """SO_PEERGROUPS (kernel 4.13): the peer's groups when it connected."""
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MAX_GROUPS_BYTES)
    except OSError:
        return frozenset()
    return frozenset(struct.unpack(f"{len(raw) // 4}I", raw))


_SO_PEERGROUPS = 59  # include/uapi/asm-generic/socket.h
_MAX_GROUPS_BYTES = 4096


def may_ask(peer: Peer, gid: int | None) -> bool:
    """Root, the agent's own user, and the group that the configuration names."""
    return peer.uid in {0, os.geteuid()} or (gid is not None and gid in {peer.gid, *peer.groups})
