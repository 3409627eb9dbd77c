"""CPU of a sweep: the first (everything is new), the incremental one, and psutil over the same processes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import psutil

from agent.assembly import assemble, tell_containers
from agent.config_schema import Config
from bench.crowd import crowd

SIZES = (1000, 5000)
ATTRIBUTES = ["pid", "ppid", "name", "exe", "cmdline", "uids", "create_time"]
PASSES = 11


def main() -> None:
    """Print one line for each crowd."""
    print("sweep: CPU in ms of one pass (median); the ratio is psutil's iteration with 7 attributes to the incremental")
    for size in SIZES:
        for in_container in (False, True):
            _measure(size, in_container=in_container)


def _measure(size: int, *, in_container: bool) -> None:
    with crowd(size, in_container=in_container):
        collectors = assemble(Config(), lambda _: None, watch_mounts=False)
        tell_containers(collectors, lambda _: None)
        first = _cpu_ms(collectors.sweep.run)
        incremental = [_cpu_ms(collectors.sweep.run) for _ in range(PASSES)]
        by_psutil = [_cpu_ms(_iterate) for _ in range(3)]
    median = statistics.median(incremental)
    print(
        f"  {size:>5} processes {'of a container' if in_container else 'of the host   '}: first {first:7.1f}, "
        f"incremental {median:6.1f} (max {max(incremental):6.1f}), psutil {statistics.median(by_psutil):7.1f}, "
        f"ratio {statistics.median(by_psutil) / median:5.1f}"
    )


def _iterate() -> None:
    for _ in psutil.process_iter(ATTRIBUTES):
        pass


def _cpu_ms(work: Callable[[], object]) -> float:
    started = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - started) / 1e6


if __name__ == "__main__":
    main()
