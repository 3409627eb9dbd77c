"""A mount that a container's task has made, from bytes to the event. Pure; raises nothing but ``Malformed``.

Layout: ``struct mounted`` of ``kernel/techniques.h``, behind a whole act. What the kernel holds is put as
``/proc/PID/mountinfo`` would show it (``fs/proc_namespace.c``: show_mountinfo), so that the same mount is the same
value whoever tells of it first; a file system that prints a source or a root of its own (NFS, btrfs) may differ.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable

from collectors.ebpf.processes import file_id
from collectors.ebpf.records import join_path
from collectors.errors import Malformed
from collectors.events import MountMade, ProcessEvent, Standing
from collectors.facts import Mount, Process

SOURCE = "ebpf"
_MNT_READONLY = 0x40  # include/linux/mount.h
_MOUNTED = struct.Struct("<IIIIII32s32s256s512s")
MOUNTED_BYTES = _MOUNTED.size
_ROOT_BYTES = 512


def decode_mount(data: bytes, *, device: int, point: bytes) -> Mount:
    """The mount; ``device`` as the kernel numbers it, ``point`` empty for one that is in no table."""
    if len(data) < _MOUNTED.size:
        raise Malformed(SOURCE, f"{len(data)} bytes of a mount")
    mnt_id, parent_id, flags, group, master_group, root_size, *strings, root = _MOUNTED.unpack_from(data)
    if root_size > _ROOT_BYTES:
        raise Malformed(SOURCE, f"a root of {root_size} bytes")
    fs_type, subtype, source = (each.partition(b"\0")[0] for each in strings)
    return Mount(
        mnt_id=mnt_id,
        parent_id=parent_id,
        device=file_id(device, 0).device,
        root=join_path(root[:root_size].removesuffix(b"/\0")) or b"/",
        point=point,
        options=(b"ro" if flags & _MNT_READONLY else b"rw",),
        shared=group or None,
        master=master_group or None,
        fs_type=b".".join(filter(None, (fs_type, subtype))),
        source=source or b"none",
        super_options=(),
    )


def mount_made(mount: Mount, *, is_detached: bool) -> Callable[[int, Process], ProcessEvent]:
    """The event, but for time and process."""
    standing = Standing.DETACHED if is_detached else Standing.ATTACHED
    return functools.partial(MountMade, mount=mount, standing=standing)
