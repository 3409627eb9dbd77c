"""The numbers under which 32-bit programs on x86 call what is watched.

Source: ``arch/x86/entry/syscalls/syscall_32.tbl``. A 64-bit program may use these numbers too (``int 0x80``), and a
filter that does not ask for the architecture lets it pass: that is why they are not left unseen. ``socketcall`` holds
several calls in one and is not translated; that such a call was made at all is told of every process.

Only the tracepoint of all calls shows these; those of single calls leave 32-bit calls out (``ARCH_TRACE_IGNORE_COMPAT_
SYSCALLS``, arch/x86/include/asm/ftrace.h).
"""

from __future__ import annotations

import os
from collections.abc import Mapping

I386 = {
    "add_key": 286,
    "bpf": 357,
    "capset": 185,
    "chdir": 12,
    "chmod": 15,
    "chroot": 61,
    "connect": 362,
    "creat": 8,
    "delete_module": 129,
    "fchdir": 133,
    "fchmod": 94,
    "fchmodat": 306,
    "fchmodat2": 452,
    "finit_module": 350,
    "fsetxattr": 228,
    "fsmount": 432,
    "fsopen": 430,
    "fspick": 433,
    "init_module": 128,
    "io_uring_setup": 425,
    "kexec_load": 283,
    "keyctl": 288,
    "lsetxattr": 227,
    "memfd_create": 356,
    "mknod": 14,
    "mknodat": 297,
    "mount": 21,
    "mount_setattr": 442,
    "move_mount": 429,
    "open": 5,
    "open_by_handle_at": 342,
    "open_tree": 428,
    "open_tree_attr": 467,
    "openat": 295,
    "openat2": 437,
    "perf_event_open": 336,
    "pidfd_getfd": 438,
    "pivot_root": 217,
    "prctl": 172,
    "process_vm_writev": 348,
    "ptrace": 26,
    "reboot": 88,
    "seccomp": 354,
    "setfsgid32": 216,
    "setfsuid32": 215,
    "setgid32": 214,
    "setns": 346,
    "setregid32": 204,
    "setresgid32": 210,
    "setresuid32": 208,
    "setreuid32": 203,
    "setuid32": 213,
    "setxattr": 226,
    "setxattrat": 463,
    "socket": 359,
    "umount2": 52,
    "unshare": 310,
    "userfaultfd": 374,
}

OF_16_BITS = {
    22: "umount2",  # without flags
    23: "setuid",
    46: "setgid",
    70: "setreuid",
    71: "setregid",
    138: "setfsuid",
    139: "setfsgid",
    164: "setresuid",
    170: "setresgid",
}
"""The numbers that calls had before ids were of 32 bits, and umount flags; they are served still."""


def translate(native: Mapping[str, int], machine: str | None = None) -> dict[int, int]:
    """The 32-bit numbers of these calls, each with this kernel's own; empty where the kernel runs no such programs."""
    if (machine or os.uname().machine) != "x86_64":
        return {}
    names = {number: name.removesuffix("32") for name, number in I386.items()} | OF_16_BITS
    return {number: native[name] for number, name in names.items() if name in native}
