"""``/proc/PID/status``: ids, capability sets, no_new_privs, seccomp, and the pid inside the container.

Source: proc_pid_status(5), ``fs/proc/array.c`` (proc_pid_status). The kernel escapes newlines in ``Name:``, so no line
can be forged by it. Ids are of the reader's user namespace. Lines that older kernels lack are ``Unknown``:
``NSpid`` 4.1, ``NoNewPrivs`` 4.10, ``Seccomp_filters`` 5.9.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from collectors.bounded import read_bounded
from collectors.errors import Malformed
from collectors.facts import Capabilities, Ids, Seccomp, SeccompMode, Unknown

SOURCE = "proc/status"
MAX_BYTES = 65536 * 16  # Groups: may list 65,536 supplementary groups

_UNSUPPORTED = Unknown("unsupported: proc/status")
_MODES = {b"0": SeccompMode.DISABLED, b"1": SeccompMode.STRICT, b"2": SeccompMode.FILTER}

# Adjacent lines in the kernel's order; numbers are bounded so that int() cannot refuse them.
_NUMBER = rb"([0-9]{1,20})"
_TASK = re.compile(
    rb"\nTgid:\t" + _NUMBER + rb"\n(?:Ngid:\t[0-9]+\n)?Pid:\t" + _NUMBER + rb"\nPPid:\t" + _NUMBER + rb"\n"
    rb"TracerPid:\t" + _NUMBER + rb"\nUid:\t([0-9\t]{7,90})\nGid:\t([0-9\t]{7,90})\n",
)
_NS_PID = re.compile(rb"\nNSpid:[\t0-9]*\t([0-9]{1,20})\n")
_THREADS = re.compile(rb"\nThreads:\t" + _NUMBER + rb"\n")
_HEX = rb"([0-9a-f]{1,16})"
_CAPABILITIES = re.compile(
    rb"\nCapInh:\t" + _HEX + rb"\nCapPrm:\t" + _HEX + rb"\nCapEff:\t" + _HEX + rb"\nCapBnd:\t" + _HEX + rb"\n"
    rb"(?:CapAmb:\t" + _HEX + rb"\n)?",
)
_NO_NEW_PRIVS = re.compile(rb"\nNoNewPrivs:\t([01])\n")
_SECCOMP = re.compile(rb"\nSeccomp:\t([012])\n(?:Seccomp_filters:\t([0-9]{1,20})\n)?")


class Status(NamedTuple):
    """The lines that hullwatch uses; ``ns_pid`` is the pid in the task's own pid namespace."""

    tgid: int
    pid: int
    parent_pid: int
    tracer_pid: int
    uids: Ids
    gids: Ids
    ns_pid: int | Unknown
    thread_count: int
    capabilities: Capabilities
    no_new_privs: bool | Unknown
    seccomp: Seccomp | Unknown


def parse_status(data: bytes) -> Status:
    """The whole file; raises ``Malformed``."""
    task = _TASK.search(data)
    threads = _THREADS.search(data)
    capabilities = _CAPABILITIES.search(data)
    if task is None or threads is None or capabilities is None:
        raise Malformed(SOURCE, "lines are missing that every kernel writes")
    tgid, pid, parent_pid, tracer_pid, uids, gids = task.groups()
    ns_pid = _NS_PID.search(data, task.end())
    no_new_privs = _NO_NEW_PRIVS.search(data, capabilities.end() - 1)
    seccomp = _SECCOMP.search(data, capabilities.end() - 1)
    return Status(
        int(tgid),
        int(pid),
        int(parent_pid),
        int(tracer_pid),
        _ids(uids),
        _ids(gids),
        int(ns_pid[1]) if ns_pid else _UNSUPPORTED,
        int(threads[1]),
        _capabilities(*capabilities.groups(b"0")),
        no_new_privs[1] == b"1" if no_new_privs else _UNSUPPORTED,
        _seccomp(seccomp[1], seccomp[2]) if seccomp else _UNSUPPORTED,
    )


# The caches are flyweights: ten thousand processes share a handful of values. They evict the least recently used.


@lru_cache(maxsize=1024)
def _ids(data: bytes) -> Ids:
    """Real, effective, saved and file-system id, separated by tabs."""
    fields = data.split(b"\t")
    try:
        real, effective, saved, fs = map(int, fields)
    except ValueError as error:
        raise Malformed(SOURCE, "not four ids") from error
    return Ids(real, effective, saved, fs)


@lru_cache(maxsize=1024)
def _capabilities(
    inheritable: bytes, permitted: bytes, effective: bytes, bounding: bytes, ambient: bytes
) -> Capabilities:
    """Five masks in hexadecimal; the ambient set came with kernel 4.3."""
    return Capabilities(
        inheritable=int(inheritable, 16),
        permitted=int(permitted, 16),
        effective=int(effective, 16),
        bounding=int(bounding, 16),
        ambient=int(ambient, 16),
    )


@lru_cache(maxsize=256)
def _seccomp(mode: bytes, filters: bytes | None) -> Seccomp:
    """The mode, and the number of filters where the kernel counts them."""
    return Seccomp(_MODES[mode], _UNSUPPORTED if filters is None else int(filters))


def read_status(dir_fd: int) -> Status:
    """The status of the task whose directory ``dir_fd`` is; raises a ``CollectorError`` kind."""
    return parse_status(read_bounded(b"status", MAX_BYTES, dir_fd=dir_fd, source=SOURCE))
