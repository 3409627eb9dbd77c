"""Which layer of its container an executable comes from: the image, or something that was written since.

Judged against the container's mount table (``/proc/PID/mountinfo``) and, for overlay roots, against the upper
directory on the host (``Documentation/filesystems/overlayfs.rst``): what a container writes is there, and nothing of
its image is. The path of ``/proc/PID/exe`` counts from the root of the container's mount namespace, so a chroot inside
does not change it. It is walked below the upper directory without following any link: the container made them all.

Where no upper directory can be seen (a root that is no overlay, a nested runtime, a relative ``upperdir``), the inode's
change time tells: there is no system call that sets it, chown, chmod, write, link and rename all move it to *now*, and
utimensat(2) does so too. It can be forged only by setting the node's clock (CAP_SYS_TIME) or by writing to the disk
below the file system. A file that an earlier run of the same container left behind is older and counts as image there.
"""

from __future__ import annotations

import os
import re
import stat
from enum import Enum, auto

from collectors.errors import CollectorError, Gone
from collectors.facts import Executable, HostBaseline, Layer, Mount, Unknown
from collectors.host import Roots
from collectors.hosttree import LinkRefused, open_below

_MEMORY_FILE_SYSTEMS = frozenset({b"tmpfs", b"ramfs"})
_BACKSLASH = re.compile(rb"\\(.)", re.DOTALL)


class _InUpper(Enum):
    """Whether the upper directory has the file; ``NO_UPPER`` when we see no such directory."""

    YES = auto()
    NO = auto()
    NO_UPPER = auto()


def layer_of(
    executable: Executable,
    mounts: tuple[Mount, ...] | Unknown,
    *,
    host: HostBaseline,
    roots: Roots,
    container_started_ns: int | None,
) -> Layer | Unknown:
    """The layer that ``executable`` comes from, or why that cannot be told.

    ``mounts`` is the table of the container's first process, ``container_started_ns`` the wall time of its start.
    """
    if isinstance(executable.place, Unknown):
        return executable.place
    if executable.place.file.device == host.memfd_device:
        return Layer.MEMFD
    if isinstance(mounts, Unknown):
        return mounts
    mount = next((each for each in mounts if each.mnt_id == executable.place.mnt_id), None)
    if mount is None:
        return Layer.FOREIGN
    return _layer_on_mount(mount, _root_mount(mounts), executable, roots, container_started_ns)


def _layer_on_mount(
    mount: Mount, root: Mount | None, executable: Executable, roots: Roots, container_started_ns: int | None
) -> Layer | Unknown:
    """The layer of a file on one of the container's mounts, of which ``root`` is its ``/``."""
    if mount.fs_type in _MEMORY_FILE_SYSTEMS:
        return Layer.TMPFS
    if root is None or mount.device != root.device or not _is_of_root(mount, root):
        return _layer_of_volume(mount, executable, container_started_ns)
    if mount.fs_type == b"overlay":
        return _layer_in_overlay(mount, executable, roots, container_started_ns)
    return _layer_by_change(executable, container_started_ns)


def _root_mount(mounts: tuple[Mount, ...]) -> Mount | None:
    """The mount that the container's ``/`` is: of several there, the last is on top."""
    return next((mount for mount in reversed(mounts) if mount.point == b"/"), None)


def _is_of_root(mount: Mount, root: Mount) -> bool:
    """The mount shows a part of the container's own root file system, not of the disk that it shares with the host."""
    base = root.root.rstrip(b"/") + b"/"
    return mount.root == root.root or mount.root.startswith(base)


def _layer_of_volume(mount: Mount, executable: Executable, container_started_ns: int | None) -> Layer:
    """A mount of its own: what the runtime adds read-only (docker-init) is as good as image, unless changed since."""
    changed = container_started_ns is not None and executable.changed_ns > container_started_ns
    return Layer.IMAGE if mount.is_read_only and not changed else Layer.VOLUME


def _layer_by_change(executable: Executable, container_started_ns: int | None) -> Layer | Unknown:
    """By the inode's change time, where there is no overlay to ask."""
    if container_started_ns is None:
        return Unknown("not_read: start of the container")
    return Layer.CHANGED if executable.changed_ns > container_started_ns else Layer.IMAGE


def _layer_in_overlay(
    mount: Mount, executable: Executable, roots: Roots, container_started_ns: int | None
) -> Layer | Unknown:
    """By the upper directory: what is in there was written (or copied up) since the container was created."""
    if executable.is_unlinked:
        # Deleting a file of the image leaves its links alone (a whiteout hides it): it was in the upper directory.
        return Layer.UPPER
    try:
        found = _look_in_upper(mount, path_in_file_system(mount, executable.path), roots)
    except CollectorError as error:
        return Unknown(f"{error.kind}: {error.source}")
    by_change = _layer_by_change(executable, container_started_ns)
    match found:
        case _InUpper.YES:
            return Layer.UPPER
        case _InUpper.NO:
            # A file of the image is older than its container. If this one is not, the upper directory was not the
            # right one (a nested runtime names paths of its own mount namespace): do not call it image.
            return Layer.CHANGED if by_change is Layer.CHANGED else Layer.IMAGE
        case _InUpper.NO_UPPER:
            return by_change


def path_in_file_system(mount: Mount, path: bytes) -> bytes:
    """The path of a file within the file system that is mounted, from its path in the mount namespace."""
    below = path.removeprefix(mount.point) if mount.point != b"/" else path
    return mount.root.rstrip(b"/") + b"/" + below.lstrip(b"/")


def upper_directories(mount: Mount) -> tuple[bytes, ...]:
    """The overlay's upper directory, as the mount option may be meant: as it stands, and with backslashes undone.

    Kernels differ in whether they undo backslashes when they look the directory up (``ovl_unescape``). Empty when the
    overlay has none, or a relative one, which says nothing outside the process that mounted it.
    """
    option = next((each for each in mount.super_options if each.startswith(b"upperdir=")), b"")
    upper = option.removeprefix(b"upperdir=")
    if not upper.startswith(b"/"):
        return ()
    plain = _BACKSLASH.sub(rb"\1", upper)
    return (upper,) if plain == upper else (upper, plain)


def _look_in_upper(mount: Mount, path: bytes, roots: Roots) -> _InUpper:
    """Whether the upper directory holds a regular file at ``path``; raises a ``CollectorError`` kind."""
    for upper in upper_directories(mount):
        try:
            with open_below(roots.host, upper, follow_links=True) as (directory, _):
                return _InUpper.YES if _has_file(directory, path) else _InUpper.NO
        except Gone:
            continue
    return _InUpper.NO_UPPER


def _has_file(directory: int, path: bytes) -> bool:
    """There is a regular file; a whiteout, a link or nothing means that the file executed is not this one.

    Inode numbers are no help: a file that was copied up keeps showing the number that it has in the image.
    """
    try:
        with open_below(directory, path, follow_links=False) as (found, _):
            return stat.S_ISREG(os.fstat(found).st_mode)
    except (Gone, LinkRefused):
        return False
