"""What runs inside the throwaway container: wait a moment, then join a host process' namespaces and sit there.

This file is the container's program: the interpreter runs it with nothing but the standard library. It writes nothing,
opens nothing of the host but namespace files, and ends by itself. Arguments: the victim's pid, seconds to wait before
the act, seconds to stay afterwards. It prints one line, ``escaped <wall time in ns>``, or ``failed <why>``.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from typing import NoReturn

NAMESPACES = ("mnt", "net", "uts")  # the worst first: a sensor that sees every call tells of it first
SLEEPERS = ("/bin/sleep", "/usr/bin/sleep", "/bin/busybox")


def main() -> None:
    """The first process stays as it is and waits for its child, which does the act."""
    victim, wait_seconds, stay_seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    time.sleep(wait_seconds)
    child = os.fork()
    if child == 0:
        _escape(victim, stay_seconds)
    os.waitpid(child, 0)


def _escape(victim: int, stay_seconds: float) -> None:
    """Enter the victim's namespaces; then execute a host's program, as somebody who breaks out would."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        files = {kind: os.open(f"/proc/{victim}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in NAMESPACES}
    except OSError as error:
        _end(f"failed {error}")
    for kind, file in files.items():
        if libc.setns(file, 0) != 0:
            _end(f"failed setns {kind}: {os.strerror(ctypes.get_errno())}")
    print(f"escaped {time.time_ns()}", flush=True)  # noqa: T201  the line that the trial waits for
    for program in SLEEPERS:
        with contextlib.suppress(OSError):
            os.execv(program, ["sleep", str(int(stay_seconds))])  # noqa: S606  a fixed program, no shell
    time.sleep(stay_seconds)
    os._exit(0)


def _end(line: str) -> NoReturn:
    print(line, flush=True)  # noqa: T201  the line that the trial waits for
    os._exit(1)


if __name__ == "__main__":
    main()
