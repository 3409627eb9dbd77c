"""What the main thread measures as it goes: events, losses, alerts and how long they took, sweeps.

The main thread alone writes; any thread reads a copy, which may lack the latest event. Bounded: as many kinds of
events as there are classes, ``MAX_LOSSES`` kinds of losses (what is beyond counts as ``other``), rules times
severities.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.exposition import Histogram, HistogramReading
from agent.report import Alert
from collectors.events import Event, Lost, SweepDone
from detectors.base import Severity

MAX_LOSSES = 64
OTHER = ("other", "other")
QUEUE_SOURCE = "inbox"  # counted by the queue itself, exactly: its Lost may be late

ACT_TO_ALERT_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SWEEP_CPU_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

_WORD_START = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Sweeps:
    """The sweeps so far: how many processes they looked at in all, and the last one."""

    looked_at: int = 0
    processes: int = 0
    ended_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A copy. ``events`` are by kind, ``lost`` by source and reason, ``alerts`` by rule and severity."""

    events: dict[str, int]
    lost: dict[tuple[str, str], int]
    alerts: dict[tuple[str, str], int]
    act_to_alert: HistogramReading
    sweep_cpu: HistogramReading
    sweeps: Sweeps


class Measurements:
    """See the module."""

    def __init__(self) -> None:
        self._events: dict[type[Event], int] = {}
        self._lost: dict[tuple[str, str], int] = {}
        self._alerts: dict[tuple[str, int], int] = {}
        self._act_to_alert = Histogram(ACT_TO_ALERT_BOUNDS)
        self._sweep_cpu = Histogram(SWEEP_CPU_BOUNDS)
        self._sweeps = Sweeps()

    def handled(self, event: Event) -> None:
        """The event was taken into the state and judged."""
        kind = type(event)
        self._events[kind] = self._events.get(kind, 0) + 1
        if kind is Lost:
            assert isinstance(event, Lost)
            self._note_loss(event)
        elif kind is SweepDone:
            assert isinstance(event, SweepDone)
            self._sweep_cpu.observe(event.cpu_ns / 1e9)
            self._sweeps = Sweeps(self._sweeps.looked_at + event.processes, event.processes, event.at_ns)

    def raised(self, alert: Alert, now_ns: int) -> None:
        """The alert was raised. A clock that was set back makes no negative time."""
        key = (alert.detector.id, int(alert.severity))
        self._alerts[key] = self._alerts.get(key, 0) + 1
        self._act_to_alert.observe(max(0, now_ns - alert.at_ns) / 1e9)

    def read(self) -> Measured:
        """A copy, for any thread."""
        return Measured(
            events={_snake_case(kind.__name__): count for kind, count in self._events.copy().items()},
            lost=self._lost.copy(),
            alerts={
                (rule, Severity(severity).name.lower()): count
                for (rule, severity), count in self._alerts.copy().items()
            },
            act_to_alert=self._act_to_alert.read(),
            sweep_cpu=self._sweep_cpu.read(),
            sweeps=self._sweeps,
        )

    def _note_loss(self, lost: Lost) -> None:
        if lost.source == QUEUE_SOURCE:
            return
        key = (lost.source, lost.reason)
        if key not in self._lost and len(self._lost) >= MAX_LOSSES:
            key = OTHER
        self._lost[key] = self._lost.get(key, 0) + lost.count


def _snake_case(name: str) -> str:
    return _WORD_START.sub("_", name).lower()
