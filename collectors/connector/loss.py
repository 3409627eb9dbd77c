"""How many records never reached us: gaps in the numbers that each CPU gives to what it sends.

``send_msg`` in ``drivers/connector/cn_proc.c`` numbers every record of a CPU in ``cn_msg.seq``, before it tries to
deliver it and also when nobody's buffer has room, so the difference of two neighbours is exact. The first record of a
CPU is what the count starts from; ``netlink.ConnectorSocket.probe`` provokes one on every CPU.
"""

from __future__ import annotations

from typing import NamedTuple

SEQUENCE_GAP = "sequence_gap"
RECEIVE_BUFFER_FULL = "receive_buffer_full"

_WRAP = 1 << 32
_HALF = 1 << 31


class Gap(NamedTuple):
    """Records that are missing before one that came, and the reason as far as it is known."""

    reason: str
    missing: int


class LossTracker:
    """Remembers the last number of each CPU; the size of its table is the number of CPUs."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}
        self._overrun: set[int] = set()

    def note_overrun(self) -> None:
        """The kernel said ENOBUFS: the next gap of each CPU is the receive buffer's doing."""
        self._overrun.update(self._last)

    def observe(self, cpu: int, seq: int) -> Gap | None:
        """The records missing between the last one of this CPU and this one; ``None`` when there is no gap.

        A number that lies behind the last one (a restored virtual machine) starts the count anew, and is no loss.
        """
        last = self._last.get(cpu)
        self._last[cpu] = seq
        if last is None:
            return None
        missing = (seq - last - 1) % _WRAP
        if missing == 0 or missing >= _HALF:
            return None
        if cpu in self._overrun:
            self._overrun.discard(cpu)
            return Gap(RECEIVE_BUFFER_FULL, missing)
        return Gap(SEQUENCE_GAP, missing)
