"""Which bpf programs decide over the devices of a cgroup, on cgroup v2: their ids, as the kernel numbers them.

A container's devices are guarded there by programs of the type ``BPF_PROG_TYPE_CGROUP_DEVICE`` that the runtime (and
systemd) attached to its cgroup. bpf(2) ``BPF_PROG_QUERY`` tells their ids; an id is never used twice before a reboot.
It needs CAP_NET_ADMIN (``bpf_prog_query`` in ``kernel/bpf/syscall.c``); what a program allows is told to
CAP_SYS_ADMIN only, and is not asked. One system call, no library.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from functools import cache
from typing import Any

from collectors.errors import Unsupported, from_os_error

SOURCE = "device programs"
MAX_PROGRAMS = 64  # BPF_CGROUP_MAX_PROGS, include/linux/bpf-cgroup-defs.h

# include/uapi/linux/bpf.h
_BPF_PROG_QUERY = 16
_BPF_CGROUP_DEVICE = 6
_QUERY = struct.Struct("=IIIIQI")  # target_fd, attach_type, query_flags, attach_flags, prog_ids, prog_cnt
_SYSCALLS = {"x86_64": 321, "aarch64": 280}  # arch/x86/entry/syscalls/syscall_64.tbl, asm-generic/unistd.h


def read_device_programs(directory: str | bytes) -> tuple[int, ...]:
    """The ids of the programs that are attached to the cgroup itself, in order; raises ``CollectorError``."""
    number = _SYSCALLS.get(platform.machine())
    if number is None:
        raise Unsupported(SOURCE, f"the number of bpf(2) on {platform.machine()} is not known")
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return _query(fd, number)
        finally:
            os.close(fd)
    except OSError as error:
        raise from_os_error(SOURCE, error) from error


def _query(fd: int, number: int) -> tuple[int, ...]:
    ids = (ctypes.c_uint32 * MAX_PROGRAMS)()
    attributes = ctypes.create_string_buffer(
        _QUERY.pack(fd, _BPF_CGROUP_DEVICE, 0, 0, ctypes.addressof(ids), MAX_PROGRAMS), _QUERY.size
    )
    if _libc().syscall(number, _BPF_PROG_QUERY, attributes, _QUERY.size) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    count = _QUERY.unpack(attributes.raw)[-1]
    return tuple(sorted(ids[: min(count, MAX_PROGRAMS)]))


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)
