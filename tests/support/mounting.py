"""The system calls of the mount family, old and new, for children that act in a mount namespace of their own."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000  # include/uapi/linux/sched.h
RDONLY, REMOUNT, BIND, MOVE, REC, PRIVATE, SHARED = 1, 32, 4096, 8192, 16384, 1 << 18, 1 << 20  # uapi/linux/mount.h
DETACH = 2
FSCONFIG_CREATE = 6
MOVE_EMPTY_PATH = 4
CLONE_TREE = 1
AT_FDCWD = -100
_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT, _OPEN_TREE_ATTR = 428, 429, 430, 431, 432, 467
_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), what)
    return result


def unshare(flags: int = CLONE_NEWNS) -> None:
    """A mount namespace of its own, of which nobody else hears."""
    _checked(_libc.unshare(flags), "unshare")
    mount("none", "/", "none", REC | PRIVATE)


def mount(source: str, target: str, kind: str, flags: int = 0) -> None:
    """A mount by the old call, without data."""
    _checked(_libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), None), "mount")


def unmount(target: str) -> None:
    """umount2(2), lazily."""
    _checked(_libc.umount2(target.encode(), DETACH), "umount2")


def fsmount(kind: str) -> int:
    """A descriptor of a new file system that is mounted nowhere."""
    context = _checked(_libc.syscall(_FSOPEN, kind.encode(), 0), "fsopen")
    _checked(_libc.syscall(_FSCONFIG, context, FSCONFIG_CREATE, None, None, 0), "fsconfig")
    made = _checked(_libc.syscall(_FSMOUNT, context, 0, 0), "fsmount")
    os.close(context)
    return made


def open_tree(path: str, flags: int = CLONE_TREE) -> int:
    """A descriptor of a directory, or of a copy of its mount."""
    return _checked(_libc.syscall(_OPEN_TREE, AT_FDCWD, path.encode(), flags), "open_tree")


def open_tree_attr(path: str) -> int:
    """As ``open_tree``, by the call of Linux 6.15."""
    return _checked(
        _libc.syscall(_OPEN_TREE_ATTR, AT_FDCWD, path.encode(), CLONE_TREE, None, ctypes.c_size_t(0)), "open_tree_attr"
    )


def move_mount(made: int, target: str) -> None:
    """Attach a mount that only a descriptor leads to."""
    _checked(_libc.syscall(_MOVE_MOUNT, made, b"", AT_FDCWD, target.encode(), MOVE_EMPTY_PATH), "move_mount")


def exists(call: Callable[[], object]) -> bool:
    """Whether the kernel has got a call."""
    try:
        call()
    except OSError as error:
        return error.errno != errno.ENOSYS
    return True
