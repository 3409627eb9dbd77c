"""What the programs in the kernel counted, and telling what of it was lost. Owned by the sweep's thread."""

from __future__ import annotations

import time
from collections.abc import Callable

from collectors.ebpf.counters import COUNTERS
from collectors.ebpf.libbpf import BpfMap, possible_cpus
from collectors.events import Event, Lost
from collectors.streamed import STREAM, Streamed


class Losses:
    """``counts`` is as of the last look, for any thread. A loss asks for a sweep; one of the stream concerns nobody."""

    def __init__(self, source: str, emit: Callable[[Event], None], request_sweep: Callable[[], None]) -> None:
        self.counts = dict.fromkeys(COUNTERS, 0)
        self._source = source
        self._emit = emit
        self._request_sweep = request_sweep

    def tell(self, counters: BpfMap) -> None:
        """Count; tell of what the ring had no room for since the last time, and have everything looked at again."""
        cpus, before = possible_cpus(), self.counts
        self.counts = {name: counters.read_sum(index, cpus) for index, name in enumerate(COUNTERS)}
        if lost := self.counts["lost"] - before["lost"]:
            self._emit(Lost(time.time_ns(), self._source, "ring_full", lost))
            self._request_sweep()
        if lost := self.counts["stream_lost"] - before["stream_lost"]:
            at_ns = time.time_ns()
            self._emit(Streamed(at_ns, Lost(at_ns, STREAM, "ring_full", lost)))
