"""What the latency benchmark runs in its container: join a host process' namespaces, again and again.

Arguments: the victim's pid, how many times, seconds between two. Prints ``<pid> <wall time in ns>`` for each, taken
just before the exec that follows setns(2), as ``nsenter`` does.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time

NAMESPACES = ("uts", "net", "mnt")


def main() -> None:
    """Fork a child for each act; each stays two seconds."""
    victim, count, pause_seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    libc = ctypes.CDLL(None, use_errno=True)
    time.sleep(1.5)
    for _ in range(count):
        if os.fork() == 0:
            for kind in NAMESPACES:
                if libc.setns(os.open(f"/proc/{victim}/ns/{kind}", os.O_RDONLY), 0) != 0:
                    os._exit(1)
            print(f"{os.getpid()} {time.time_ns()}", flush=True)
            os.execv("/bin/sleep", ["sleep", "2"])  # noqa: S606  a fixed program, no shell
        time.sleep(pause_seconds)
    for _ in range(count):
        os.wait()
    print("done", flush=True)


if __name__ == "__main__":
    main()
