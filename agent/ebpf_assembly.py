"""Puts the eBPF sensor and its sweep together from the collectors of one node; nothing is loaded or started here.

Apart from ``agent.assembly``, which commands import that load no program.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from agent.assembly import Collectors
from collectors.ebpf.connections import Connections
from collectors.ebpf.deeds import Watching
from collectors.ebpf.iterator import EbpfSweep
from collectors.ebpf.object_watch import ObjectWatch
from collectors.ebpf.sensor import OBJECT, EbpfSource
from collectors.events import Event


def new_ebpf_source(
    collectors: Collectors,
    emit: Callable[[Event], None],
    *,
    ring_bytes: int,
    request_sweep: Callable[[], None],
    object_watch: ObjectWatch | None = None,
    object_path: Path = OBJECT,
) -> EbpfSource:
    """The sensor, not open yet. Without ``object_watch`` it watches no object of the host."""
    return EbpfSource(
        collectors.observer,
        emit,
        collectors.host,
        ring_bytes=ring_bytes,
        request_sweep=request_sweep,
        watching=Watching(
            object_watch or ObjectWatch((), collectors.roots.host, 0, clock_ns=time.monotonic_ns),
            Connections(collectors.observer, collectors.host, collectors.roots, emit, governors=collectors.governors),
        ),
        object_path=object_path,
    )


def new_ebpf_sweep(
    collectors: Collectors, source: EbpfSource, emit: Callable[[Event], None], *, full_every: int
) -> EbpfSweep:
    """The sweep by the sensor's task iterator. ``full_every`` is in passes."""
    return EbpfSweep(
        source,
        collectors.observer,
        emit,
        proc=collectors.roots.proc,
        clock_ns=time.time_ns,
        cpu_ns=time.thread_time_ns,
        full_every=full_every,
    )
