"""``python -m bench``: every benchmark, one after the other. As root, on a machine that has nothing better to do."""

from __future__ import annotations

from bench import commands, ebpf, latency, memory, outbox, process_events, running_agent, sinks, sweep, watch_start

MODULES = (sweep, process_events, running_agent, latency, memory, ebpf, outbox, sinks, commands, watch_start)

for benchmark in MODULES:
    benchmark.main()
