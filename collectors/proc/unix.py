"""``/proc/PID/net/unix``: the unix sockets of a task's net namespace.

Source: proc_pid_net(5), unix(7), ``net/unix/af_unix.c`` (unix_seq_show). A socket's name is printed raw, NULs as ``@``,
and may hold newlines: a line that has not the form of a row goes on with the name before it, and a name that contains
a whole row *makes* one. So a row says nothing certain by itself: what a process holds is told by the inode of its
descriptors.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from collectors.bounded import read_bounded
from collectors.errors import Malformed

SOURCE = "proc/net/unix"
MAX_BYTES = 8 << 20
LISTENING = 1  # SS_UNCONNECTED with the flag SO_ACCEPTCON
CONNECTED = 3  # SS_CONNECTED, include/uapi/linux/net.h
_HEADER = b"Num       RefCount Protocol Flags    Type St Inode Path\n"
_ROW = re.compile(
    rb"[0-9a-fA-F]{8,16}: [0-9A-F]{8} [0-9A-F]{8} ([0-9A-F]{8}) ([0-9A-F]{4}) ([0-9A-F]{2}) +"
    rb"([0-9]{1,20})(?: (.*))?",
    re.DOTALL,
)


_LISTENING_ROW = re.compile(
    rb"^[0-9a-fA-F]{8,16}: [0-9A-F]{8} [0-9A-F]{8} 00010000 [0-9A-F]{4} 01 +([0-9]{1,20}) (/.*)$", re.MULTILINE
)


class UnixSocket(NamedTuple):
    """One row: ``socket_type`` is 1 for streams, ``state`` as above; ``path`` starts with ``@`` when it is abstract."""

    flags: int
    socket_type: int
    state: int
    inode: int
    path: bytes

    @property
    def is_listening(self) -> bool:
        """It accepts connections (__SO_ACCEPTCON, ``include/linux/net.h``)."""
        return bool(self.flags & 0x10000)


def parse_unix(data: bytes) -> tuple[UnixSocket, ...]:
    """The rows; raises ``Malformed`` when there is no header, or what follows it is no row."""
    if not data.startswith(_HEADER) or not data.endswith(b"\n"):
        raise Malformed(SOURCE, "no header, or no end of line")
    rows: list[UnixSocket] = []
    for line in data[len(_HEADER) : -1].split(b"\n") if len(data) > len(_HEADER) else ():
        row = _ROW.fullmatch(line)
        if row is not None:
            flags, socket_type, state, inode, path = row.groups(b"")
            rows.append(UnixSocket(int(flags, 16), int(socket_type, 16), int(state, 16), int(inode), path))
        elif rows:
            rows[-1] = rows[-1]._replace(path=rows[-1].path + b"\n" + line)
        else:
            raise Malformed(SOURCE, "not a row")
    return tuple(rows)


def parse_listening(data: bytes) -> frozenset[tuple[int, bytes]]:
    """Inode and path of the sockets that listen and have a path; of one with a line break in it, what is before that.

    For those who look often: a tenth of the time that all rows take.
    """
    return frozenset((int(inode), path) for inode, path in _LISTENING_ROW.findall(data))


def read_listening(dir_fd: int) -> frozenset[tuple[int, bytes]]:
    """As ``parse_listening``, for the net namespace of a task; raises a ``CollectorError`` kind."""
    return parse_listening(read_bounded(b"net/unix", MAX_BYTES, dir_fd=dir_fd, source=SOURCE))


def read_unix(dir_fd: int) -> tuple[UnixSocket, ...]:
    """The unix sockets that the task whose directory ``dir_fd`` is can see; raises a ``CollectorError`` kind."""
    return parse_unix(read_bounded(b"net/unix", MAX_BYTES, dir_fd=dir_fd, source=SOURCE))
