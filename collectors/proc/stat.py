"""``/proc/PID/stat``: the identity of a task, its parent, and marks that tell one exec from the next.

Source: proc_pid_stat(5), ``fs/proc/array.c`` (do_task_stat). The name stands raw between parentheses and may hold
anything, ``) R 1`` and newlines included: it ends at the *last* parenthesis.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from collectors.bounded import read_bounded
from collectors.errors import Malformed, from_os_error
from collectors.facts import Unknown

SOURCE = "proc/stat"
MAX_BYTES = 4096
PF_EXITING = 0x00000004  # include/linux/sched.h
PF_KTHREAD = 0x00200000

# Positions after the name, of fields that the man page counts from 3 on
_STATE, _PPID, _TTY, _FLAGS, _NUM_THREADS, _STARTTIME, _STARTCODE, _STARTSTACK = 0, 1, 4, 6, 17, 19, 23, 25

_ENDED = (b"Z", b"X", b"x")
_NO_ADDRESS_SPACE = Unknown("gone: no address space")
_HIDDEN = Unknown("denied: proc/stat hides addresses")


class Stat(NamedTuple):
    """The fields that hullwatch uses; ``image_mark`` is made of startcode, endcode and startstack (fields 26 to 28).

    ``tty`` is the device number of the controlling terminal, 0 where there is none (field 7, in the kernel's encoding).
    ``image_mark`` is ``Unknown`` for zombies and kernel threads, and where the kernel hides addresses from us.
    """

    pid: int
    name: bytes
    state: bytes
    parent_pid: int
    flags: int
    thread_count: int
    start_ticks: int
    image_mark: int | Unknown
    tty: int = 0

    @property
    def is_kernel_thread(self) -> bool:
        """A thread of the kernel itself, which has no program."""
        return bool(self.flags & PF_KTHREAD)

    @property
    def is_exiting(self) -> bool:
        """It has begun to end, or waits for its parent: its namespaces and cgroups are being taken from it."""
        return bool(self.flags & PF_EXITING) or self.state in _ENDED


def parse_stat(data: bytes) -> Stat:
    """The one line of the file; raises ``Malformed``."""
    opening = data.find(b" (")
    closing = data.rfind(b") ")
    if opening < 0 or closing < opening:
        raise Malformed(SOURCE, "no name in parentheses")
    fields = data[closing + 2 :].split(b" ", _STARTSTACK + 1)
    if len(fields) <= _STARTSTACK:
        raise Malformed(SOURCE, f"{len(fields)} fields after the name")
    try:
        mark = tuple(map(int, fields[_STARTCODE : _STARTSTACK + 1]))
        return Stat(
            int(data[:opening]),
            data[opening + 2 : closing],
            fields[_STATE],
            int(fields[_PPID]),
            int(fields[_FLAGS]),
            int(fields[_NUM_THREADS]),
            int(fields[_STARTTIME]),
            _mark(mark[0], mark[1], mark[2]),
            int(fields[_TTY]),
        )
    except ValueError as error:
        raise Malformed(SOURCE, "a field that is no number") from error


def image_mark(startcode: int, endcode: int, startstack: int) -> int:
    """Where the program, its end and its stack lie, as a number of 64 bits: a fifth of what a tuple takes in memory."""
    return hash((startcode, endcode, startstack))


def _mark(startcode: int, endcode: int, startstack: int) -> int | Unknown:
    """The address space as a mark; the kernel writes 0 where there is none, and 1 where we may not know."""
    if startcode == 0:
        return _NO_ADDRESS_SPACE
    return _HIDDEN if startcode == 1 else image_mark(startcode, endcode, startstack)


def open_stat(dir_fd: int) -> int:
    """A descriptor of the file, to be read with ``reread_stat`` as often as wanted; the caller closes it."""
    try:
        return os.open(b"stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=dir_fd)
    except OSError as error:
        raise from_os_error(SOURCE, error) from error


def reread_stat(descriptor: int) -> Stat:
    """What the file says now: read from its start, the kernel writes it anew (``fs/seq_file.c``), in one piece."""
    try:
        return parse_stat(os.pread(descriptor, MAX_BYTES, 0))
    except OSError as error:
        raise from_os_error(SOURCE, error) from error


def read_stat(dir_fd: int) -> Stat:
    """The stat of the task whose directory ``dir_fd`` is; raises a ``CollectorError`` kind."""
    return parse_stat(read_bounded(b"stat", MAX_BYTES, dir_fd=dir_fd, source=SOURCE))
