"""Acts that are over in a millisecond, performed in a container by a child each: the sensor must see every one.

Arguments: which act, how many times, a process of the host. Prints the pid of each child (the host's, since the
container shares that pid namespace) once it has ended, and how long it lived in nanoseconds; then ``done``.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable

SETTLE_SECONDS = 1.5
PAUSE_SECONDS = 0.002
_libc = ctypes.CDLL(None, use_errno=True)


def join(victim: int, *kinds: str) -> None:
    """Join namespaces of a host process."""
    for kind in kinds:
        if _libc.setns(os.open(f"/proc/{victim}/ns/{kind}", os.O_RDONLY), 0) != 0:
            raise OSError(ctypes.get_errno(), f"setns {kind}")


def setns(victim: int) -> None:
    """Join the host's mount namespace, write a byte, and end."""
    join(victim, "mnt")
    os.write(os.open("/dev/null", os.O_WRONLY), b"x")


def setns_timed(victim: int) -> None:
    """As ``setns``, and print when it was done: the moment before the call, since the alert may be there before us."""
    namespace = os.open(f"/proc/{victim}/ns/mnt", os.O_RDONLY)
    at_ns = time.time_ns()
    if _libc.setns(namespace, 0) != 0:
        raise OSError(ctypes.get_errno(), "setns")
    say(f"{os.getpid()} {at_ns}")


def setns_exec(victim: int) -> None:
    """Join the host's namespaces and run a program of the host, which ends at once."""
    join(victim, "net", "mnt")
    os.execv("/bin/true", ["true"])  # noqa: S606  a fixed program, no shell


def chroot(victim: int) -> None:
    """Enter the host's root directory, and end."""
    os.chroot(f"/proc/{victim}/root")


def orphan(victim: int) -> None:
    """As ``setns``, by a grandchild whose parent has ended."""
    child = os.fork()
    if child:
        os._exit(0)
    while os.getppid() == os.getpid():
        pass
    time.sleep(0.001)
    setns(victim)


ACTS: dict[str, Callable[[int], None]] = {
    "setns": setns,
    "setns_timed": setns_timed,
    "setns_exec": setns_exec,
    "chroot": chroot,
    "orphan": orphan,
}


def say(line: str) -> None:
    """A line for whoever started the container."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Perform the act as often as was asked for."""
    act, count, victim = ACTS[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3])
    time.sleep(SETTLE_SECONDS)
    for _ in range(count):
        started = time.monotonic_ns()
        child = os.fork()
        if not child:
            try:
                act(victim)
            except OSError as error:
                say(f"failed {error}")
            os._exit(0)
        os.waitpid(child, 0)
        if sys.argv[1] != "setns_timed":
            say(f"{child} {time.monotonic_ns() - started}")
        time.sleep(PAUSE_SECONDS)
    say("done")
    time.sleep(1)


if __name__ == "__main__":
    main()
