"""The system calls whose outcome is looked at: their numbers on each architecture, and what a return means.

Numbers: ``arch/x86/entry/syscalls/syscall_64.tbl`` and ``include/uapi/asm-generic/unistd.h`` (arm64); calls from 424 on
have one number everywhere. Arguments are never read: another thread may rewrite them between check and use.

32-bit programs on a 64-bit kernel use other numbers, and their calls pass here unseen. What they came to is compared at
the task's next fork, exec or exit all the same, as with io_uring and with what an exploit wrote into the kernel.
"""

from __future__ import annotations

import os
from enum import IntEnum
from typing import NamedTuple

from collectors.errors import Unsupported

SOURCE = "ebpf"


class Meaning(IntEnum):
    """``enum call_class`` of ``kernel/maps.h``."""

    CHANGES = 1  # the confinement may be another one now
    TELLS_REFUSAL = 2  # and a container's refused attempt is worth telling
    PIVOTS = 3  # as above; a runtime does it once on its way in
    UNMOUNTS = 4  # as above; after that the container's mounts are what they will be
    MOUNTS = 5  # as 2; what it mounted is told (``collectors.ebpf.mounting``)
    MOVES_MOUNT = 6  # the same, of a mount that only a descriptor led to before
    MAKES_MOUNT = 7  # the same, of one that only a descriptor leads to
    CLONES_MOUNT = 8  # the same, where its flags say so


class Effect(IntEnum):
    """Which event a change by this call is."""

    NAMESPACES = 1
    ROOT = 2
    CREDENTIALS = 3
    OTHER = 4


class Call(NamedTuple):
    """One system call. ``tracepoint`` is its name below ``events/syscalls``, where it differs."""

    name: str
    x86_64: int
    arm64: int
    meaning: Meaning
    effect: Effect
    tracepoint: str = ""


_CHANGES, _TELLS = Meaning.CHANGES, Meaning.TELLS_REFUSAL
_ROOT, _CREDENTIALS, _OTHER = Effect.ROOT, Effect.CREDENTIALS, Effect.OTHER

CALLS = (
    Call("setns", 308, 268, _TELLS, Effect.NAMESPACES),
    Call("unshare", 272, 97, _TELLS, Effect.NAMESPACES),
    Call("chroot", 161, 51, _TELLS, _ROOT),
    Call("pivot_root", 155, 41, Meaning.PIVOTS, _ROOT),
    Call("chdir", 80, 49, _CHANGES, _ROOT),
    Call("fchdir", 81, 50, _CHANGES, _ROOT),
    Call("mount", 165, 40, Meaning.MOUNTS, _OTHER),
    Call("umount2", 166, 39, Meaning.UNMOUNTS, _OTHER, "umount"),
    Call("open_tree", 428, 428, Meaning.CLONES_MOUNT, _OTHER),
    Call("open_tree_attr", 467, 467, Meaning.CLONES_MOUNT, _OTHER),  # 6.15 and later
    Call("move_mount", 429, 429, Meaning.MOVES_MOUNT, _OTHER),
    Call("fsopen", 430, 430, _TELLS, _OTHER),
    Call("fsmount", 432, 432, Meaning.MAKES_MOUNT, _OTHER),
    Call("fspick", 433, 433, _TELLS, _OTHER),
    Call("mount_setattr", 442, 442, _TELLS, _OTHER),
    Call("capset", 126, 91, _TELLS, _CREDENTIALS),
    Call("setuid", 105, 146, _CHANGES, _CREDENTIALS),
    Call("setgid", 106, 144, _CHANGES, _CREDENTIALS),
    Call("setreuid", 113, 145, _CHANGES, _CREDENTIALS),
    Call("setregid", 114, 143, _CHANGES, _CREDENTIALS),
    Call("setresuid", 117, 147, _CHANGES, _CREDENTIALS),
    Call("setresgid", 119, 149, _CHANGES, _CREDENTIALS),
    Call("setfsuid", 122, 151, _CHANGES, _CREDENTIALS),
    Call("setfsgid", 123, 152, _CHANGES, _CREDENTIALS),
    Call("prctl", 157, 167, _CHANGES, _OTHER),
    Call("seccomp", 317, 277, _CHANGES, _OTHER),
)


def calls_by_number(machine: str | None = None) -> dict[int, Call]:
    """The watched calls by their number on this machine; raises ``Unsupported`` where the numbers are not known."""
    name = machine or os.uname().machine
    match name:
        case "x86_64":
            return {call.x86_64: call for call in CALLS}
        case "aarch64":
            return {call.arm64: call for call in CALLS}
        case _:
            raise Unsupported(SOURCE, f"system call numbers of {name} are not known")
