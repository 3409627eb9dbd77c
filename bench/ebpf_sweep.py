"""The task iterator alone, then the whole sweep of the eBPF tier, over crowds in a container's cgroup."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from agent.assembly import Collectors, assemble, tell_containers
from agent.config_schema import Config
from agent.ebpf_assembly import new_ebpf_source, new_ebpf_sweep
from bench.crowd import crowd
from collectors.ebpf.iterator import EbpfSweep
from collectors.ebpf.sensor import EbpfSource
from collectors.events import Event

CROWDS = (1000, 10_000)
PASSES = 11


def main() -> None:
    """Print a line for each crowd."""
    for size in CROWDS:
        with crowd(size, in_container=True):
            _measure()


def _measure() -> None:
    collectors, source = open_source(lambda _: None)
    sweep = sweep_of(collectors, source, lambda _: None)
    try:
        tasks = sweep.run().processes
        reading = [_cpu_ms(lambda: b"".join(source.read_tasks())) for _ in range(PASSES)]
        whole = [sweep.run().cpu_ns / 1e6 for _ in range(PASSES)]
    finally:
        source.close()
    print(
        f"sweep of {tasks} processes: kernel {statistics.median(reading) * 1000 / tasks:.2f} ms, with "
        f"decoding and comparison {statistics.median(whole) * 1000 / tasks:.2f} ms per 1,000 (CPU, median)"
    )


def open_source(emit: Callable[[Event], None]) -> tuple[Collectors, EbpfSource]:
    """The sensor in this very process, with the agent's own defaults."""
    collectors = assemble(Config(), emit, watch_mounts=False)
    tell_containers(collectors, lambda _: None)
    source = new_ebpf_source(
        collectors,
        emit,
        ring_bytes=Config().ebpf.ring_bytes,
        request_sweep=collectors.observer.forget_what_was_told,
    )
    source.open()
    return collectors, source


def sweep_of(collectors: Collectors, source: EbpfSource, emit: Callable[[Event], None]) -> EbpfSweep:
    """The sweep beside it."""
    return new_ebpf_sweep(collectors, source, emit, full_every=Config().sweep.full_every)


def _cpu_ms(work: Callable[[], object]) -> float:
    started = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - started) / 1e6
