"""Keeps still for the benchmarks' containers, or executes a program again and again: ``idle.py [COUNT]``."""

from __future__ import annotations

import os
import sys
import time


def main() -> None:
    """Execute ``/bin/true`` so many times, one after the other, say ``done``, and sleep."""
    print("up", flush=True)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    if count:
        time.sleep(1)
        program = next(each for each in ("/bin/true", "/usr/bin/true") if os.path.exists(each))
        for _ in range(count):
            os.waitpid(os.posix_spawn(program, ["true"], {}), 0)
        print("done", flush=True)
    time.sleep(120)


if __name__ == "__main__":
    main()
