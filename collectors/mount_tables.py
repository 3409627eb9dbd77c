"""Questions asked of mount tables: what kind of file system, whose it is, what is new, what the bundle did not ask for.

Pure: values in, values out. A mount is recognised by ``identity`` (file system, directory in it, mount point, type):
mount ids differ between a namespace and its copy, and are used again. Rows of one table are in the order in which
the kernel prints them, so that of several at one point the last lies on top.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from collectors.confinement import is_within
from collectors.facts import Declared, HostBaseline, Mount, Unknown
from collectors.flyweight import flyweight

KERNEL_TYPES = frozenset(
    {
        b"binder",
        b"binfmt_misc",
        b"bpf",
        b"cgroup2",
        b"configfs",
        b"debugfs",
        b"devtmpfs",
        b"efivarfs",
        b"fusectl",
        b"proc",
        b"pstore",
        b"resctrl",
        b"rpc_pipefs",
        b"securityfs",
        b"selinuxfs",
        b"smackfs",
        b"sysfs",
        b"tracefs",
    }
)
"""Windows into the kernel: file systems whose files are the kernel's own state (``nodev`` in /proc/filesystems)."""

PRIVATE_TYPES = frozenset({b"devpts", b"mqueue", b"nsfs", b"ramfs", b"tmpfs"})
"""File systems that begin empty, or are the container's own: whoever mounts one gains nothing."""

_RUNTIME_POINTS = frozenset(
    {b"/", b"/proc", b"/dev", b"/dev/console", b"/dev/mqueue", b"/dev/pts", b"/dev/shm", b"/sys", b"/sys/fs/cgroup"}
)
"""Where a runtime mounts whether the bundle asks or not (runtime specification, "Default Filesystems")."""

_SHARED_OPTIONS = frozenset({"shared", "rshared"})


_intern_ids = flyweight(1024)


class MountIdentity(NamedTuple):
    """What makes two rows the same mount, across copies of a table."""

    device: int
    root: bytes
    point: bytes
    fs_type: bytes


class FsPlace(NamedTuple):
    """A file by where it lies in its file system, which is how the tables of all namespaces speak of one."""

    device: int
    path: bytes


def place_of(path: bytes, mount: Mount) -> FsPlace:
    """Where a path lies that stands on ``mount``, of the table in whose words the path is."""
    below = path if mount.point == b"/" else path[len(mount.point) :]
    return FsPlace(mount.device, (mount.root.rstrip(b"/") + below) or b"/")


def identity(mount: Mount) -> MountIdentity:
    """See ``MountIdentity``."""
    return MountIdentity(mount.device, mount.root, mount.point, mount.fs_type)


def ids_of(mounts: Iterable[Mount]) -> frozenset[int]:
    """The mount ids of a table; whoever asks for the same table's keeps the same set."""
    return _intern_ids(frozenset(mount.mnt_id for mount in mounts))


def topmost(mounts: Iterable[Mount], point: bytes) -> Mount | None:
    """The mount that is seen at ``point`` when something is mounted exactly there."""
    return next((each for each in reversed(tuple(mounts)) if each.point == point), None)


def covering(mount: Mount, mounts: Iterable[Mount]) -> tuple[Mount, ...]:
    """The mounts that show the same file system at the same directory or above: whoever has one has ``mount`` too."""
    return tuple(each for each in mounts if each.device == mount.device and is_within(mount.root, each.root))


def is_host_disk(mount: Mount, host: HostBaseline) -> bool:
    """The file system lies on a block device, all of which are the node's, or is the one that holds the host's ``/``.

    Device numbers with major 0 are those of file systems without one (``Documentation/admin-guide/devices.txt``).
    """
    return _major(mount.device) != 0 or (not isinstance(host.root, Unknown) and mount.device == host.root.device)


def is_propagated(mount: Mount, mounts: Iterable[Mount], host_mounts: Iterable[Mount]) -> bool:
    """The mount came with a mount of the host: it is its copy or peer, and its parent is one of that one's parent.

    Without the parents a bind mount that somebody made of such a copy would pass for one (sharedsubtree.rst).
    """
    groups = _groups(mount)
    if not groups:
        return False
    parent = next((each for each in mounts if each.mnt_id == mount.parent_id), None)
    host = {each.mnt_id: each for each in host_mounts}
    return parent is not None and any(
        each.shared in groups
        and (each.device, each.root) == (mount.device, mount.root)
        and each.parent_id in host
        and host[each.parent_id].shared in _groups(parent)
        for each in host.values()
    )


def is_mask(mount: Mount) -> bool:
    """What a runtime puts over a masked path: the null device, or a read-only tmpfs (crun: an empty directory)."""
    if mount.root.endswith(b"/null") and mount.fs_type in {b"devtmpfs", b"tmpfs"}:
        return mount.root == b"/null"
    return mount.is_read_only and (mount.fs_type == b"tmpfs" or mount.root.endswith(b"/.empty-directory"))


def undeclared(mounts: tuple[Mount, ...], declared: Declared) -> tuple[Mount, ...]:
    """The rows that neither the bundle asks for nor a runtime makes by itself.

    The first mount at a declared place is the declared one, a further one on top is not. Below a recursive bind
    anything may be. A destination whose path leads through symbolic links of the image (``/var/run``, ``/lib``) stands
    elsewhere in the table: it explains one row with the same last component.
    """
    allowed = Counter(declared_point(each.destination) for each in declared.mounts)
    for point in (*_RUNTIME_POINTS, *map(declared_point, (*declared.masked_paths, *declared.readonly_paths))):
        allowed[point] = max(allowed[point], 1)
    points = {each.point for each in mounts}
    displaced = Counter(
        _last(declared_point(each.destination))
        for each in declared.mounts
        if declared_point(each.destination) not in points
    )
    recursive = {declared_point(each.destination) for each in declared.mounts if "rbind" in each.options}
    frozen = b"/sys/fs/cgroup" in declared_read_only(declared)
    found: list[Mount] = []
    for mount in mounts:
        if allowed[mount.point] > 0:
            allowed[mount.point] -= 1
        elif displaced[_last(mount.point)] > 0:
            displaced[_last(mount.point)] -= 1
        elif not _is_runtimes(mount, cgroup_read_only=frozen) and not any(
            _is_below(mount.point, each) for each in recursive
        ):
            found.append(mount)
    return tuple(found)


def declared_read_only(declared: Declared) -> frozenset[bytes]:
    """The points that the bundle wants read-only."""
    points = {declared_point(each.destination) for each in declared.mounts if "ro" in each.options}
    points.update(map(declared_point, declared.readonly_paths))
    if declared.root_readonly:
        points.add(b"/")
    return frozenset(points)


def is_declared_shared(point: bytes, declared: Declared) -> bool:
    """The bundle declares a bidirectional mount at ``point`` or above it."""
    return any(
        is_within(point, declared_point(each.destination)) and not _SHARED_OPTIONS.isdisjoint(each.options)
        for each in declared.mounts
    )


def _major(device: int) -> int:
    """As gnu_dev_major(3)."""
    return (device >> 8) & 0xFFF | (device >> 32) & ~0xFFF


def _groups(mount: Mount) -> set[int]:
    """The peer groups that a mount propagates in or receives from."""
    return {group for group in (mount.shared, mount.master) if group is not None}


def _is_runtimes(mount: Mount, *, cgroup_read_only: bool) -> bool:
    """A controller below ``/sys/fs/cgroup``, no more writable than declared; a device node bound to its own name."""
    if _is_below(mount.point, b"/sys/fs/cgroup"):
        return mount.fs_type == b"tmpfs" or (
            mount.fs_type in {b"cgroup", b"cgroup2"} and (mount.is_read_only or not cgroup_read_only)
        )
    return mount.fs_type == b"devtmpfs" and mount.root != b"/" and mount.point == b"/dev" + mount.root


def _is_below(path: bytes, ancestor: bytes) -> bool:
    return path != ancestor and is_within(path, ancestor)


def declared_point(path: str) -> bytes:
    """A path of the bundle as the kernel prints a mount point."""
    parts = [part for part in path.encode("utf-8", "surrogateescape").split(b"/") if part not in {b"", b"."}]
    return b"/" + b"/".join(parts)


def _last(point: bytes) -> bytes:
    return point.rsplit(b"/", 1)[-1]
