"""A flood of notable events: how many are told, whether the others are counted, and whether a sweep repairs it."""

from __future__ import annotations

import os
import threading

from bench.ebpf_sweep import open_source, sweep_of
from bench.storm_container import storm
from collectors.events import Event, Lost, ProcessEvent
from collectors.facts import Place, Unknown

RATE = 20_000
SECONDS = 10


def main() -> None:
    """Print the account of one flood, with the agent's default buffers."""
    told: list[Place | Unknown] = []
    lost: list[int] = []
    pids: set[int] = set()

    def emit(event: Event) -> None:
        match event:
            case Lost():
                lost.append(event.count)
            case ProcessEvent() if event.process.key.pid in pids:
                told.append(event.process.confinement.cwd)

    collectors, source = open_source(emit)
    reader = threading.Thread(target=source.run)
    reader.start()
    sweep = sweep_of(collectors, source, emit)
    try:
        with storm("flood", RATE, SECONDS) as flooding:
            sweep.run()
            pids.add(flooding.pid)
            flooding.start()
            _, made, seconds = flooding.read_line().split()
            source.drain()
            source.tell_losses()
            happened, heard = int(made), len(told)
            sweep.run()
            stands_in, last = os.stat(f"/proc/{flooding.pid}/cwd"), told[-1]
            is_repaired = isinstance(last, Place) and last.file == (stands_in.st_dev, stands_in.st_ino)
    finally:
        source.stop()
        reader.join()
        source.close()
    print(
        f"flood of {happened / float(seconds):.0f} notable events a second for {float(seconds):.1f} s: {heard} told, "
        f"{sum(lost)} lost and counted, of {happened} ({heard + sum(lost) - happened:+d}: others'); after one sweep "
        f"the last of them is {'known' if is_repaired else 'NOT known'}"
    )
