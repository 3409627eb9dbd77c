"""One request through io_uring, by hand: what it opens, connects or renames, no system call of that name does."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct

CONNECT, OPENAT = 16, 18  # include/uapi/linux/io_uring.h
RENAMEAT, UNLINKAT, MKDIRAT, SYMLINKAT, LINKAT = range(35, 40)
FSETXATTR, SETXATTR, SOCKET = 41, 42, 45
_SETUP, _ENTER, _REGISTER = 425, 426, 427  # one number on every architecture
_REGISTER_FILES = 2
_SLOTS = 4  # of the ring's own table of files
ANY_SLOT = 0xFFFFFFFF  # IORING_FILE_INDEX_ALLOC
_GETEVENTS = 1
_RING, _SQES = 0, 0x10000000  # IORING_OFF_SQ_RING, IORING_OFF_SQES
_AT_FDCWD = -100
_libc = ctypes.CDLL(None, use_errno=True)


def request(
    opcode: int, fd: int, offset: int, address: int, length: int, flags: int = 0, slot: int = 0, third: int = 0
) -> int:
    """Have one request done and wait for it; its result, negative on failure. OSError where io_uring is refused.

    ``slot`` is one more than the slot of the ring's own table that gets the file; 0 makes a descriptor of it.
    """
    parameters = ctypes.create_string_buffer(120)
    ring = _libc.syscall(_SETUP, 1, parameters)
    if ring < 0:
        raise OSError(ctypes.get_errno(), "io_uring_setup")
    fields = struct.unpack("<30I", parameters.raw)
    sq_tail, sq_array, cq_head, cqes = fields[11], fields[16], fields[20], fields[25]
    size = max(sq_array + 4 * fields[0], cqes + 16 * fields[1])
    rings = mmap.mmap(ring, size, mmap.MAP_SHARED | mmap.MAP_POPULATE, offset=_RING)
    sqes = mmap.mmap(ring, 64 * fields[0], mmap.MAP_SHARED | mmap.MAP_POPULATE, offset=_SQES)
    if slot:
        table = ctypes.create_string_buffer(struct.pack(f"<{_SLOTS}i", *[-1] * _SLOTS))
        if _libc.syscall(_REGISTER, ring, _REGISTER_FILES, table, _SLOTS) < 0:
            raise OSError(ctypes.get_errno(), "io_uring_register")
    asked = struct.pack("<BBHiQQII12xIQ", opcode, 0, 0, fd, offset, address, length, flags, slot, third)
    sqes[:64] = asked.ljust(64, b"\0")
    rings[sq_array : sq_array + 4] = bytes(4)
    rings[sq_tail : sq_tail + 4] = (1).to_bytes(4, "little")
    if _libc.syscall(_ENTER, ring, 1, 1, _GETEVENTS, None, 0) < 0:
        raise OSError(ctypes.get_errno(), "io_uring_enter")
    head = int.from_bytes(rings[cq_head : cq_head + 4], "little")
    (result,) = struct.unpack_from("<i", rings, cqes + 16 * head + 8)
    os.close(ring)
    return int(result)


def open_file(path: bytes, slot: int = 0) -> int:
    """Open a file for reading; its descriptor, 0 or its slot where a slot is given, or a negative errno."""
    name = ctypes.create_string_buffer(path)
    return request(OPENAT, _AT_FDCWD, 0, ctypes.addressof(name), 0, os.O_RDONLY, slot)


def connect_unix(fd: int, path: bytes) -> int:
    """Connect a unix socket; 0, or a negative errno."""
    address = ctypes.create_string_buffer(struct.pack("<H108s", 1, path))
    return request(CONNECT, fd, 110, ctypes.addressof(address), 0)


def set_attribute(name: bytes, value: bytes, *, path: bytes = b"", fd: int = -1) -> int:
    """Give a file an extended attribute, by its path or by its descriptor; 0, or a negative errno."""
    called, held, where = (ctypes.create_string_buffer(each) for each in (name, value, path))
    opcode, third = (SETXATTR, ctypes.addressof(where)) if path else (FSETXATTR, 0)
    return request(opcode, fd, ctypes.addressof(held), ctypes.addressof(called), len(value), third=third)


def make_socket(family: int, kind: int, protocol: int, slot: int = 0) -> int:
    """A socket; its descriptor or slot as of ``open_file``, or a negative errno."""
    return request(SOCKET, family, kind, 0, protocol, slot=slot)


def put(opcode: int, source: bytes, target: bytes) -> int:
    """Rename or link one path to the other; 0, or a negative errno."""
    old, new = (ctypes.create_string_buffer(each) for each in (source, target))
    fd = _AT_FDCWD
    length = 0 if opcode == SYMLINKAT else fd & 0xFFFFFFFF
    return request(opcode, fd, ctypes.addressof(new), ctypes.addressof(old), length)


def make_directory(path: bytes) -> int:
    """0, or a negative errno."""
    name = ctypes.create_string_buffer(path)
    return request(MKDIRAT, _AT_FDCWD, 0, ctypes.addressof(name), 0o700)


def unlink(path: bytes) -> int:
    """0, or a negative errno."""
    name = ctypes.create_string_buffer(path)
    return request(UNLINKAT, _AT_FDCWD, 0, ctypes.addressof(name), 0)
