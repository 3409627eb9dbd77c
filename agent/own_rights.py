"""What the agent takes from itself once its sensor stands, so that whoever takes it over holds less.

Capabilities: kept are those with which the node is read, and those with which the sensor can be opened again; the rest
leave the effective, permitted, inheritable and ambient sets, and the bounding set where that is allowed. With
no_new_privs none comes back by an exec, and system calls that the agent never makes are refused (``syscall_filter``).

All of it holds for the calling thread and those that it starts later: it is for the main thread, before any other.
Sources: capabilities(7), capset(2), prctl(2), ``include/uapi/linux/prctl.h``.
"""

from __future__ import annotations

import ctypes
import os
import threading
from dataclasses import dataclass

from agent import syscall_filter
from collectors.bounded import read_bounded
from collectors.capabilities import NUMBERS, mask, names
from collectors.errors import CollectorError
from collectors.proc.status import parse_status
from detectors.base import Tier

# CAP_NET_ADMIN, where it was given: the kernel asks for it when a cgroup's device programs are looked up (HW-207).
READING = frozenset({"CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_NET_ADMIN"})
# Not CAP_PERFMON: programs are loaded once. CAP_BPF: kernels before 5.19 want it for each look into a table.
OF_SENSOR = {
    Tier.POLL: frozenset[str](),
    Tier.NETLINK: frozenset({"CAP_NET_ADMIN"}),
    Tier.EBPF: frozenset({"CAP_BPF"}),
}

_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_VERSION_3 = 0x20080522  # _LINUX_CAPABILITY_VERSION_3: two words of 32 bits a set
_MAX_STATUS_BYTES = 16_384
_SETPCAP = 1 << NUMBERS["CAP_SETPCAP"]


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Word(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@dataclass(frozen=True, slots=True)
class Rights:
    """What is left. ``trouble``: what could not be given up, and why; a line each."""

    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    refused_calls: int
    trouble: tuple[str, ...]


def give_up(
    tier: Tier, proc: str, *, drop_capabilities: bool, filter_calls: bool, keep: frozenset[str] = frozenset()
) -> Rights:
    """Give up what this sensor does without, but for ``keep``.

    Never raises: an agent with too many rights is better than none.
    """
    trouble: list[str] = []
    if threading.active_count() > 1:
        trouble.append("threads that run already keep what they have")
    permitted = _permitted(proc, trouble)
    kept = permitted
    libc = ctypes.CDLL(None, use_errno=True)
    if drop_capabilities:
        kept = permitted & mask(READING | OF_SENSOR[tier] | keep)
        _drop(libc, kept, bounding=bool(permitted & _SETPCAP), trouble=trouble)
    refused = 0
    # Without it an unprivileged process may have no filter (seccomp(2)).
    if (drop_capabilities or filter_calls) and libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        trouble.append(f"no_new_privs: {_why()}")
    if filter_calls:
        try:
            refused = syscall_filter.install(os.uname().machine)
        except OSError as error:
            trouble.append(f"syscall filter: {error.strerror or error}")
    return Rights(names(kept), names(permitted & ~kept), refused, tuple(trouble))


def _permitted(proc: str, trouble: list[str]) -> int:
    try:
        data = read_bounded(f"{proc}/thread-self/status", _MAX_STATUS_BYTES, source="proc/status")
        return parse_status(data).capabilities.permitted
    except CollectorError as error:
        trouble.append(f"capabilities: {error}")
        return 0


def _drop(libc: ctypes.CDLL, kept: int, *, bounding: bool, trouble: list[str]) -> None:
    if libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0:
        trouble.append(f"ambient capabilities: {_why()}")
    if bounding:  # else a runtime that gave no CAP_SETPCAP has limited it already
        for number in NUMBERS.values():
            if not kept >> number & 1:
                libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)  # EINVAL: a capability that this kernel has not
    words = (_Word * 2)(*(_Word(part, part, 0) for part in (kept & 0xFFFFFFFF, kept >> 32)))
    if libc.capset(ctypes.byref(_Header(_VERSION_3, 0)), words) != 0:
        trouble.append(f"capabilities: {_why()}")


def _why() -> str:
    return os.strerror(ctypes.get_errno())
