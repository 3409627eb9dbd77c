"""What the outbox met and the operator must hear: told once, and no count is lost.

Any thread may call anything here.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from detectors.base import Severity

MAX_REPORTS = 64


@dataclass(frozen=True, slots=True)
class OutboxReport:
    """Something that the operator must hear, once: ``reason`` from a fixed list; ``dropped`` alerts are lost."""

    reason: str
    detail: str
    dropped: int = 0


class OutboxTroubles:
    """``current`` is what is wrong now, or ``None``."""

    def __init__(self) -> None:
        self.current: str | None = None
        self._lock = threading.Lock()
        self._dropped: dict[int, int] = dict.fromkeys((int(each) for each in Severity), 0)
        self._reports: list[OutboxReport] = []

    def take(self) -> tuple[OutboxReport, ...]:
        """What became known since the last call."""
        with self._lock:
            taken, self._reports = tuple(self._reports), []
        return taken

    def dropped(self) -> dict[str, int]:
        """How many alerts were dropped so far, by severity."""
        with self._lock:
            return {_severity_name(severity): count for severity, count in sorted(self._dropped.items())}

    def note_dropped(self, reason: str, detail: str, lost: Mapping[int, int]) -> None:
        """Alerts are lost: so many of each severity."""
        if not lost:
            return
        what = ", ".join(f"{count} {_severity_name(severity)}" for severity, count in sorted(lost.items()))
        with self._lock:
            for severity, count in lost.items():
                self._dropped[severity] = self._dropped.get(severity, 0) + count
            self._put(OutboxReport(reason, f"{detail}: dropped {what}", sum(lost.values())))

    def note(self, trouble: str | None, detail: str = "") -> None:
        """Remember what is wrong now; a change of it is reported."""
        with self._lock:
            if trouble == self.current:
                return
            self.current = trouble
            self._put(OutboxReport(trouble or "recovered", detail or "alerts are written to the disk again"))

    def report(self, report: OutboxReport) -> None:
        """Something that is not wrong any more, but is to be known."""
        with self._lock:
            self._put(report)

    def _put(self, report: OutboxReport) -> None:
        """Reports wait for ``take``; of too many the newest are joined."""
        if len(self._reports) < MAX_REPORTS:
            self._reports.append(report)
            return
        last = self._reports[-1]
        self._reports[-1] = OutboxReport(report.reason, report.detail, last.dropped + report.dropped)


def _severity_name(severity: int) -> str:
    try:
        return Severity(severity).name.lower()
    except ValueError:
        return str(severity)
