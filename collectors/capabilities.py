"""The names of the Linux capabilities, and masks made of them.

From ``include/uapi/linux/capability.h`` (Linux 6.18; the last one added was ``CAP_CHECKPOINT_RESTORE``, in 5.9).
Regenerate with ``grep '^#define CAP_' /usr/include/linux/capability.h``. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

CAPABILITIES: tuple[str, ...] = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)
"""By number: ``CAPABILITIES[21]`` is ``CAP_SYS_ADMIN``."""

NUMBERS: dict[str, int] = {name: number for number, name in enumerate(CAPABILITIES)}

ALL = (1 << len(CAPABILITIES)) - 1
"""Every capability that has a name here; a newer kernel's full set is larger."""


def mask(names: Iterable[str]) -> int:
    """The bit mask of some capabilities; raises ``KeyError`` for a name that the table does not hold."""
    bits = 0
    for name in names:
        bits |= 1 << NUMBERS[name]
    return bits


@lru_cache(maxsize=1024)
def names(mask: int) -> tuple[str, ...]:
    """The names of the capabilities in a mask, in the kernel's order; a bit without a name is ``CAP_<number>``."""
    numbers = (number for number in range(mask.bit_length()) if mask >> number & 1)
    return tuple(CAPABILITIES[number] if number < len(CAPABILITIES) else f"CAP_{number}" for number in numbers)
