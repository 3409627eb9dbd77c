"""What the eBPF tier counts: its programs in the kernel, and whoever takes their records."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

COUNTERS = (
    "forks",
    "execs",
    "exits",
    "calls",
    "cgroups",
    "notable_execs",
    "notable_changes",
    "notable_refusals",
    "notable_exits",
    "lost",
    "not_remembered",
    "notable_acts",
    "streamed",
    "stream_lost",
)
"""``enum counter`` of ``kernel/maps.h``, in its order."""


@dataclass(slots=True)
class Counters:
    """What the source did; written by its thread, readable from any. The kernel's own are in ``kernel_counts``."""

    records: int = 0
    malformed: int = 0
    introduced: int = 0  # tasks that were known by their mark alone
    strangers: int = 0  # marks of a session that nobody knows any more
    detached: int = 0  # programs that somebody took off their tracepoint
    failed: Counter[str] = field(default_factory=Counter)  # records whose handling raised, by kind of error
