"""Which findings are one story: those of one container inside a sliding window share an incident's id.

Owned by the pipeline's thread. No clock: time is the event's, so a replay gives the same ids. Bounded: beyond
``limit`` the container that was quiet for longest is forgotten and counted, and would open a new incident.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace

WINDOW_NS = 15 * 60 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Incident:
    """An open incident: its id, and the times of its first and of its latest finding."""

    id: str
    first_ns: int
    last_ns: int
    findings: int


class Incidents:
    """The open incidents, one at most for each container; findings without a container share the node's."""

    def __init__(self, boot_id: str, *, window_ns: int = WINDOW_NS, limit: int = 4096) -> None:
        self._boot_id = boot_id
        self._window_ns = window_ns
        self._limit = limit
        self._open: OrderedDict[str | None, Incident] = OrderedDict()
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._open)

    def assign(self, container_id: str | None, at_ns: int) -> Incident:
        """The incident that a finding of that container belongs to, opened when the last one is too long ago.

        An event that comes late and is older than the incident belongs to it within the same window.
        """
        known = self._open.get(container_id)
        if known is None or not known.first_ns - self._window_ns <= at_ns <= known.last_ns + self._window_ns:
            current = Incident(self._id(container_id, at_ns), at_ns, at_ns, 1)
        else:
            current = replace(known, last_ns=max(known.last_ns, at_ns), findings=known.findings + 1)
        self._open[container_id] = current
        self._open.move_to_end(container_id)
        if len(self._open) > self._limit:
            self._open.popitem(last=False)
            self.evicted += 1
        return current

    def _id(self, container_id: str | None, at_ns: int) -> str:
        seed = f"{self._boot_id}\0{container_id or ''}\0{at_ns}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(seed, digest_size=16, person=b"hullwatch.inc").hexdigest()
