"""Device numbers of file systems that have no path, and of the node's disks.

A file system inside the kernel (memfd, pipes, sockets, namespaces) has an anonymous device number that changes from
boot to boot, so it is learnt from a descriptor of each kind, made and closed at once. Disks and partitions: ``dev``
below ``/sys/class/block`` (``Documentation/ABI/stable/sysfs-class-block``).
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import closing

from collectors.bounded import read_bounded, unknown
from collectors.errors import CollectorError, Malformed, from_os_error
from collectors.facts import Unknown

_MAX_BLOCK_DEVICES = 100_000
_MFD_HUGETLB = 0x4  # include/uapi/linux/memfd.h


def device_of(read: Callable[[], int]) -> int | Unknown:
    """A device number, or why there is none."""
    try:
        return read()
    except OSError as error:
        return unknown(from_os_error("internal device", error))


def find_internal_devices() -> tuple[int | Unknown, frozenset[int]]:
    """The device of memfds, and those of all file systems inside the kernel that we can make a descriptor on."""
    memfd = device_of(lambda: _close_and_tell(os.memfd_create("hullwatch")))
    makers: tuple[Callable[[], int], ...] = (
        lambda: _close_and_tell(os.memfd_create("hullwatch", _MFD_HUGETLB)),
        lambda: _close_and_tell(*os.pipe()),
        lambda: _close_and_tell(socket.socket(socket.AF_UNIX).detach()),
        lambda: _close_and_tell(os.eventfd(0)),
        lambda: _close_and_tell(os.pidfd_open(os.getpid())),
        _epoll_device,
    )
    devices = {memfd, *map(device_of, makers)}
    return memfd, frozenset(device for device in devices if isinstance(device, int))


def _close_and_tell(*fds: int) -> int:
    """The device that new descriptors are on; closes them."""
    try:
        return os.fstat(fds[0]).st_dev
    finally:
        for fd in fds:
            os.close(fd)


def _epoll_device() -> int:
    """The device of anonymous inodes, as epoll shows it."""
    with closing(select.epoll()) as epoll:
        return os.fstat(epoll.fileno()).st_dev


def parse_device_number(data: bytes) -> int:
    """``major:minor`` of ``/sys/class/block/*/dev``, as ``st_rdev`` encodes it."""
    major, colon, minor = data.rstrip(b"\n").partition(b":")
    try:
        if colon and major.isdigit() and minor.isdigit():
            return os.makedev(int(major), int(minor))
    except (OverflowError, ValueError) as error:
        raise Malformed("sys/class/block", "a device number that is too large") from error
    raise Malformed("sys/class/block", "not major:minor")


def read_block_devices(sys: str) -> Iterator[int]:
    """The node's disks and partitions."""
    directory = f"{sys}/class/block"
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in names[:_MAX_BLOCK_DEVICES]:
        try:
            yield parse_device_number(read_bounded(f"{directory}/{name}/dev", 64, source="sys/class/block"))
        except CollectorError:
            continue  # unplugged meanwhile
