"""The floor: programs of two instructions on the hooks that the sensor uses; whoever sits there costs that much.

Loaded by bpf(2) itself as raw tracepoints, which the kernel calls in the same way as those with BTF. Source:
``include/uapi/linux/bpf.h`` (``union bpf_attr``). Detached when the block ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator, Sequence

HOOKS = (
    "sys_exit",
    "sched_process_fork",
    "sched_process_exec",
    "sched_process_exit",
    "signal_generate",
    "ctime_ns_xchg",
    "inode_set_ctime_to_ts",
)
_NUMBERS = {"x86_64": 321, "aarch64": 280}
_BPF_PROG_LOAD, _BPF_RAW_TRACEPOINT_OPEN, _RAW_TRACEPOINT = 5, 17, 17
_RETURN_0 = struct.pack("<BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)  # r0 = 0; exit
_ATTRIBUTE_BYTES = 128


def _bpf(command: int, attribute: bytes) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    result = library.syscall(
        _NUMBERS[os.uname().machine], command, attribute.ljust(_ATTRIBUTE_BYTES, b"\0"), _ATTRIBUTE_BYTES
    )
    if result < 0:
        raise OSError(ctypes.get_errno(), "bpf")
    return int(result)


def _attach(hook: str) -> int:
    code, licence = ctypes.create_string_buffer(_RETURN_0), ctypes.create_string_buffer(b"GPL")
    program = _bpf(
        _BPF_PROG_LOAD,
        struct.pack("<IIQQ", _RAW_TRACEPOINT, 2, ctypes.addressof(code), ctypes.addressof(licence)),
    )
    name = ctypes.create_string_buffer(hook.encode())
    try:
        return _bpf(_BPF_RAW_TRACEPOINT_OPEN, struct.pack("<QI", ctypes.addressof(name), program))
    finally:
        os.close(program)


@contextlib.contextmanager
def empty_programs(hooks: Sequence[str] = HOOKS) -> Iterator[None]:
    """One on each hook that this kernel has."""
    links: list[int] = []
    try:
        for hook in hooks:
            with contextlib.suppress(FileNotFoundError):
                links.append(_attach(hook))
        yield
    finally:
        for link in links:
            os.close(link)
