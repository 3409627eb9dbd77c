"""``/proc/PID/fd``: what a process holds open.

Source: proc_pid_fd(5). Following a link of this directory leads to the open file itself, so neither a path is walked
nor anything opened. The text of a link starts with ``/`` for what has a path, else it is the kernel's own
(``socket:[1]``, ``anon_inode:[eventfd]``, ``mnt:[4026531832]``).
"""

from __future__ import annotations

import os
import stat
from functools import lru_cache

from collectors.errors import Gone, Malformed, TooLarge, from_os_error
from collectors.facts import Descriptor, DescriptorKind, Place, Unknown
from collectors.statx import read_file_status

SOURCE = "proc/fd"
_MAX_DIGITS = 10
_SHARED_BYTES = 256


def classify_descriptor(mode: int, device: int, target: bytes, nsfs_device: int | Unknown) -> DescriptorKind:
    """What a descriptor is; a FIFO or a socket's name in a directory is a file there."""
    if stat.S_ISDIR(mode):
        return DescriptorKind.DIRECTORY
    if stat.S_ISBLK(mode):
        return DescriptorKind.BLOCK_DEVICE
    if stat.S_ISCHR(mode):
        return DescriptorKind.CHARACTER_DEVICE
    if device == nsfs_device:
        return DescriptorKind.NAMESPACE
    if target.startswith(b"/"):
        return DescriptorKind.FILE
    return DescriptorKind.SOCKET if stat.S_ISSOCK(mode) else DescriptorKind.ANONYMOUS


def parse_descriptor_number(name: bytes) -> int:
    """The name of an entry of the directory; raises ``Malformed``."""
    if not name.isdigit() or len(name) > _MAX_DIGITS:
        raise Malformed(SOURCE, "an entry that is no number")
    return int(name)


def read_descriptors(dir_fd: int, limit: int, nsfs_device: int | Unknown) -> tuple[Descriptor, ...]:
    """The open descriptors of the task whose directory ``dir_fd`` is, by number.

    One that is closed while we look is left out. Raises ``TooLarge`` when there are more than ``limit`` (a part of them
    would let a process hide one behind many), else a ``CollectorError`` kind.
    """
    try:
        fd = os.open(b"fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=dir_fd)
    except OSError as error:
        raise from_os_error(SOURCE, error) from error
    try:
        found = [_read_one(fd, name, nsfs_device) for name in _list(fd, limit)]
    except OSError as error:
        raise from_os_error(SOURCE, error) from error
    finally:
        os.close(fd)
    return tuple(each for each in found if each is not None)


def read_socket_inodes(proc: str, pid: int, limit: int) -> frozenset[int]:
    """The sockets among a process' first ``limit`` descriptors; none when it is gone or refuses."""
    directory = f"{proc}/{pid}/fd"
    found: set[int] = set()
    try:
        names = os.listdir(directory)[:limit]
    except OSError:
        return frozenset()
    for name in names:
        try:
            target = os.readlink(f"{directory}/{name}")
        except OSError:
            continue
        if target.startswith("socket:[") and target[8:-1].isdigit():
            found.add(int(target[8:-1]))
    return frozenset(found)


def _list(fd: int, limit: int) -> list[bytes]:
    """The names of the entries, in the kernel's order: by number."""
    names: list[bytes] = []
    with os.scandir(fd) as entries:
        for entry in entries:
            if len(names) == limit:
                raise TooLarge(SOURCE, f"more than {limit} descriptors")
            names.append(os.fsencode(entry.name))
    return names


def _read_one(fd: int, name: bytes, nsfs_device: int | Unknown) -> Descriptor | None:
    """One descriptor; ``None`` when it has been closed."""
    number = parse_descriptor_number(name)
    try:
        target = os.readlink(name, dir_fd=fd)
        status = read_file_status(name, fd, SOURCE)
    except (FileNotFoundError, Gone):
        return None
    kind = classify_descriptor(status.mode, status.place.file.device, target, nsfs_device)
    make = _shared_descriptor if len(target) <= _SHARED_BYTES else Descriptor
    return make(number, kind, status.place, target, status.rdev)


@lru_cache(maxsize=8192)
def _shared_descriptor(number: int, kind: DescriptorKind, place: Place, target: bytes, rdev: int) -> Descriptor:
    """One value for equal descriptors (a flyweight that evicts the least recently used)."""
    return Descriptor(number, kind, place, target, rdev)
