"""A program that allows every device, attached to a cgroup by bpf(2) as runtimes do it."""

import ctypes
import os
import platform
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

_SYSCALL = {"x86_64": 321, "aarch64": 280}[platform.machine()]
# include/uapi/linux/bpf.h
_LOAD, _ATTACH, _DETACH = 5, 8, 9
_TYPE_CGROUP_DEVICE, _CGROUP_DEVICE, _ALLOW_MULTI = 15, 6, 2
_ALLOW = bytes.fromhex("b7000000010000009500000000000000")  # r0 = 1; exit


class DeviceProgram:
    """Attached while the block runs, beside whatever is there."""

    def __init__(self, group: Path) -> None:
        self._group = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
        code, licence = ctypes.create_string_buffer(_ALLOW), ctypes.create_string_buffer(b"GPL")
        count = len(_ALLOW) // 8
        places = ctypes.addressof(code), ctypes.addressof(licence)
        self._program = _bpf(_LOAD, struct.pack("=IIQQIIQII", _TYPE_CGROUP_DEVICE, count, *places, 0, 0, 0, 0, 0))
        self._is_attached = False

    def __enter__(self) -> Self:
        _bpf(_ATTACH, struct.pack("=IIII", self._group, self._program, _CGROUP_DEVICE, _ALLOW_MULTI))
        self._is_attached = True
        return self

    def detach(self) -> None:
        """Take it off; a second time does nothing."""
        if self._is_attached:
            _bpf(_DETACH, struct.pack("=IIII", self._group, self._program, _CGROUP_DEVICE, 0))
            self._is_attached = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()
        os.close(self._program)
        os.close(self._group)


def _bpf(command: int, attributes: bytes) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    found = libc.syscall(_SYSCALL, command, ctypes.create_string_buffer(attributes, 128), 128)
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(found)
