"""Everything that identifies a file, mount included, in one system call that never waits for its file system.

``statx(2)`` through ctypes, because Python 3.11 has no binding: one call of 1.6 us answers what takes open, fstat and a
read of ``/proc/self/fdinfo`` otherwise (5.3 us). More important is ``AT_STATX_DONT_SYNC``: a container can stand on a
FUSE file system that it serves itself, or on a dead NFS server, and an ordinary stat(2) would wait for it for ever.

``STATX_MNT_ID`` is kernel 5.8 and later (``include/uapi/linux/stat.h``); before that, and where a seccomp filter
refuses statx with EPERM, the descriptor's ``fdinfo`` (proc_pid_fdinfo(5)) gives the mount.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import struct
from typing import NamedTuple

from collectors.errors import Malformed, from_os_error
from collectors.facts import FileId, Place

# include/uapi/linux/fcntl.h and stat.h
_AT_NO_AUTOMOUNT = 0x800
_AT_STATX_DONT_SYNC = 0x4000
_FLAGS = _AT_NO_AUTOMOUNT | _AT_STATX_DONT_SYNC
_STATX_TYPE_MODE_NLINK_UID_CTIME_INO = 0x1 | 0x2 | 0x4 | 0x8 | 0x80 | 0x100
_STATX_MNT_ID = 0x1000
_STATX_INO = 0x100
_MASK = _STATX_TYPE_MODE_NLINK_UID_CTIME_INO | _STATX_MNT_ID

# struct statx: mask, nlink, uid, mode, ino, ctime (seconds, nanoseconds), rdev, dev (major, minor), mnt_id
_STATX = struct.Struct("=I12xII4xH2xQ56xqI20xIIIIQ")
_SIZE = 256
_INODE = slice(32, 40)
_DEVICE_AND_MOUNT = slice(136, 152)
_Buffer = ctypes.c_char * _SIZE
_MNT_ID_LINE = re.compile(rb"^mnt_id:[ \t]*([0-9]{1,20})$", re.MULTILINE)
_WITHOUT_STATX = frozenset({errno.ENOSYS, errno.EPERM})

_statx = getattr(ctypes.CDLL(None, use_errno=True), "statx", None)
if _statx is not None:
    _statx.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)
    _statx.restype = ctypes.c_int


class FileStatus(NamedTuple):
    """Who a file is and what its inode says; ``rdev`` is the device that a device node stands for."""

    place: Place
    mode: int
    owner_uid: int
    links: int
    changed_ns: int
    rdev: int


def decode_statx(data: bytes | ctypes.Array[ctypes.c_char]) -> FileStatus | None:
    """The kernel's ``struct statx``; ``None`` when the kernel did not fill in the mount id or the inode."""
    if len(data) < _STATX.size:
        raise Malformed("statx", f"{len(data)} bytes instead of {_SIZE}")
    mask, links, uid, mode, inode, seconds, nanoseconds, rmajor, rminor, major, minor, mnt_id = _STATX.unpack_from(data)
    if not (mask & _STATX_MNT_ID and mask & _STATX_INO):
        return None
    place = Place(FileId(_makedev(major, minor), inode), mnt_id)
    return FileStatus(place, mode, uid, links, seconds * 1_000_000_000 + nanoseconds, _makedev(rmajor, rminor))


def parse_fdinfo_mount(data: bytes) -> int:
    """The ``mnt_id`` line of ``/proc/PID/fdinfo/N``."""
    found = _MNT_ID_LINE.search(data)
    if found is None:
        raise Malformed("fdinfo", "no mnt_id line")
    return int(found[1])


def read_file_status(name: bytes, dir_fd: int, source: str) -> FileStatus:
    """What ``name`` below ``dir_fd`` leads to; a magic link of /proc is followed to the very file it stands for."""
    if _statx is not None:
        buffer = _Buffer()
        if _statx(dir_fd, name, _FLAGS, _MASK, buffer) == 0:
            if (status := decode_statx(buffer)) is not None:
                return status
        elif (number := ctypes.get_errno()) not in _WITHOUT_STATX:
            raise from_os_error(source, OSError(number, os.strerror(number)))
    return read_file_status_by_fdinfo(name, dir_fd, source)


def read_identity(name: bytes, dir_fd: int, source: str) -> bytes:
    """Only what tells one directory from another: inode, device and mount, as bytes to be compared; half the cost."""
    if _statx is not None:
        buffer = _Buffer()
        if _statx(dir_fd, name, _FLAGS, _MASK, buffer) == 0:
            data = buffer.raw
            return data[_INODE] + data[_DEVICE_AND_MOUNT]
    return repr(read_file_status_by_fdinfo(name, dir_fd, source).place).encode()


def read_file_status_by_fdinfo(name: bytes, dir_fd: int, source: str) -> FileStatus:
    """As ``read_file_status`` for kernels without ``STATX_MNT_ID``; waits for the file system of the file."""
    try:
        fd = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=dir_fd)
        try:
            status = os.fstat(fd)
            info_fd = os.open(f"/proc/self/fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                mnt_id = parse_fdinfo_mount(os.read(info_fd, 4096))
            finally:
                os.close(info_fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise from_os_error(source, error) from error
    place = Place(FileId(status.st_dev, status.st_ino), mnt_id)
    return FileStatus(place, status.st_mode, status.st_uid, status.st_nlink, status.st_ctime_ns, status.st_rdev)


def _makedev(major: int, minor: int) -> int:
    """``st_dev`` as glibc encodes it (gnu_dev_makedev); os.makedev() refuses what does not fit its C types."""
    return (minor & 0xFF) | (major & 0xFFF) << 8 | (minor & 0xFFFFFF00) << 12 | (major & 0xFFFFF000) << 32
