"""The agent's own seccomp filter: system calls that it never makes, and that a way out through it would need.

A list of what is refused, not of what is allowed: what CPython, glibc and the libraries call changes with each version,
and a filter that kills the watchman on an upgrade serves the attacker. Refused is to run a program, to look into or
attach to another process, to join or make namespaces, to mount, to load modules and kernels, to open perf events, and
to change clock or name. The answer is EPERM, so that a surprise shows as an error and not as a death.

Not by libseccomp: its Python binding is no package of PyPI's, and the one there is (pyseccomp) has had no release since
2021. The program is four kinds of instruction. Sources: seccomp(2), ``include/uapi/linux/filter.h`` and ``seccomp.h``.
Numbers: ``arch/x86/entry/syscalls/syscall_64.tbl``, ``include/uapi/asm-generic/unistd.h``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | errno.EPERM
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_X32 = 0x40000000  # x86-64's second table: the same calls under other numbers

# Name: x86-64, arm64; one number where both have the same.
REFUSED: dict[str, tuple[int, int]] = {
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "setns": (308, 268),
    "unshare": (272, 97),
    "chroot": (161, 51),
    "pivot_root": (155, 41),
    "mount": (165, 40),
    "umount2": (166, 39),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "personality": (135, 92),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "mknod": (133, 33),
    "mknodat": (259, 33),
}
_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}  # include/uapi/linux/audit.h


def program(machine: str) -> bytes:
    """The filter, one ``struct sock_filter`` after the other. ``OSError`` for a machine that has no table."""
    if machine not in _ARCHITECTURES:
        raise OSError(errno.ENOTSUP, f"no table of system calls for {machine}")
    architecture, column = _ARCHITECTURES[machine]
    numbers = sorted({each[column] for each in REFUSED.values()})
    # Jumps are relative to the next instruction; the last two are ALLOW and REFUSE.
    code = [(_LOAD, 0, 0, _ARCHITECTURE), (_JUMP_EQUAL, 0, len(numbers) + 3, architecture), (_LOAD, 0, 0, _NUMBER)]
    code.append((_JUMP_AT_LEAST, len(numbers) + 1, 0, _X32))
    code += [(_JUMP_EQUAL, len(numbers) - index, 0, number) for index, number in enumerate(numbers)]
    code += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def install(machine: str) -> int:
    """Refuse them to this thread and those that it starts from now on; how many they are. ``OSError`` if not."""
    code = program(machine)
    buffer = ctypes.create_string_buffer(code, len(code))
    described = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None, use_errno=True)
    pointer = ctypes.c_void_p(ctypes.addressof(described))
    if libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), pointer, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return len(REFUSED)
