"""What the eBPF benchmark runs in its container: a round of each workload for each SIGUSR1.

Arguments: execs, system calls, rounds. Prints its pid, then ``<name> <seconds>`` for each workload and ``round``. The
loops are C where ctypes can make them so: none is left of the interpreter but the loop of vfork+exec.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

_libc = ctypes.CDLL(None, use_errno=True)


def execs(count: int) -> None:
    """Run a small program and wait for it; posix_spawn(3) is vfork and exec."""
    program = next(each for each in ("/bin/true", "/usr/bin/true", sys.executable) if os.path.exists(each))
    arguments = [program] if program.endswith("true") else [program, "-I", "-S", "-c", ""]
    for _ in range(count):
        os.waitpid(os.posix_spawn(program, arguments, {}), 0)


def opens(count: int) -> None:
    """Open and close an ordinary file."""
    opened, closed, path = _libc.open, _libc.close, sys.argv[0].encode()
    for _ in range(count // 10):
        closed(opened(path, 0))


def getppids(count: int) -> None:
    """The cheapest system call there is."""
    call = os.getppid
    for _ in range(count):
        call()


def main() -> None:
    """Say who we are, and work when told to."""
    exec_count, call_count, rounds = map(int, sys.argv[1:])
    workloads: tuple[tuple[str, Callable[[int], None], int], ...] = (
        (f"{exec_count} vfork+exec", execs, exec_count),
        (f"{call_count // 10} openat+close (from Python)", opens, call_count),
        (f"{call_count} getppid (from Python)", getppids, call_count),
    )
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    say(str(os.getpid()))
    for _ in range(rounds):
        signal.sigwait({signal.SIGUSR1})
        for name, work, count in workloads:
            started = time.monotonic()
            work(count)
            say(f"{name} {time.monotonic() - started:.6f}")
        say("round")
    with suppress(KeyboardInterrupt):
        time.sleep(1)


def say(line: str) -> None:
    """A line for the benchmark."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
