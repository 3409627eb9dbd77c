"""How the agent does, in three words and with reasons: what ``/healthz``, ``/readyz`` and ``hullwatch status`` say.

``failing`` means that the node is not watched any more, and that a new start may mend it: that is what a liveness
probe is for. Everything else that is wrong is ``degraded``: a sink that is away, lost events, a weaker sensor. A
restart would only lose more. ``assess`` is pure; ``Growth`` remembers when counters last grew.

What feeds it from the way out (outbox, sinks) is ``DeliveryView``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from detectors.base import Tier

RECENT_SECONDS = 300.0
LOOP_STUCK_SECONDS = 30.0
SWEEP_LATE_SECONDS = 10.0
SWEEP_LATE_INTERVALS = 3
SWEEP_STUCK_SECONDS = 60.0
SWEEP_STUCK_INTERVALS = 20
SINK_LAG_SECONDS = 60.0
MAX_NAMED = 8


class Status(StrEnum):
    """The best first."""

    OK = "ok"
    DEGRADED = "degraded"
    FAILING = "failing"


class Code(StrEnum):
    """Why health is not ``ok``; a fixed list, since it is a label of ``hullwatch_health_reason``."""

    MAIN_LOOP_STUCK = "main_loop_stuck"
    SWEEP_OVERDUE = "sweep_overdue"
    SENSOR_LOST = "sensor_lost"
    SENSOR_WEAK = "sensor_weak"
    SOURCE_FAILING = "source_failing"
    EVENTS_LOST = "events_lost"
    STATE_FULL = "state_full"
    DETECTOR_FAILING = "detector_failing"
    BLIND = "blind"
    DOCKER_API_FAILING = "docker_api_failing"
    KUBERNETES_API_FAILING = "kubernetes_api_failing"
    OUTBOX_FAILING = "outbox_failing"
    OUTBOX_DROPPING = "outbox_dropping"
    SINK_FAILING = "sink_failing"
    SINK_DROPPING = "sink_dropping"
    ENDPOINT_UNAVAILABLE = "endpoint_unavailable"
    CONTROL_UNAVAILABLE = "control_unavailable"
    MEMORY_SHORT = "memory_short"


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is wrong. ``detail`` is one line for a person, without anything that a container named."""

    code: Code
    status: Status
    detail: str


@dataclass(frozen=True, slots=True)
class Health:
    """The verdict: the worst of the reasons, and whether the node is being watched (``is_ready``)."""

    status: Status
    reasons: tuple[Reason, ...]
    is_ready: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStatus:
    """The outbox at one moment. Counters only grow while the agent runs; ``dropped`` is by severity's name."""

    alerts: int
    size_bytes: int
    limit_bytes: int
    dropped: Mapping[str, int]
    write_failures: int  # commits that failed
    is_failing: bool  # the last commit failed: alerts are not safe now


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkStatus:
    """A sink at one moment. ``oldest_waiting_ns`` is when the oldest alert that it still has to take came in."""

    name: str
    sent: int
    retried: int
    dropped: int
    waiting: int
    oldest_waiting_ns: int | None
    last_success_ns: int | None
    is_failing: bool  # the last attempt failed
    failures: int  # attempts that failed
    left_out: int = 0  # kept back by the sink's own limit


class DeliveryView(Protocol):
    """What health and metrics want to know of the way out. Never called from the main thread; must not raise."""

    def outbox_status(self) -> OutboxStatus | None:
        """The outbox; ``None`` where there is none."""

    def sink_statuses(self) -> tuple[SinkStatus, ...]:
        """Every sink, in the configuration's order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """All that health is judged by, at one moment.

    ``ages`` says of each counter that grew how many seconds ago it last did: see ``Growth``.
    """

    now_ns: int
    is_stopping: bool
    uptime_seconds: float
    loop_age_seconds: float
    sweep_age_seconds: float | None  # None: no sweep has ended yet
    sweep_interval_seconds: float
    tier: Tier
    configured_sensor: str
    sources_up: Mapping[str, bool]
    docker_trouble: str | None  # None: it does what is expected of it
    pods_trouble: str | None = None  # likewise, of the Kubernetes API
    is_endpoint_missing: bool
    outbox: OutboxStatus | None
    sinks: tuple[SinkStatus, ...]
    ages: Mapping[tuple[Code, str], float]
    is_control_missing: bool = False
    memory_steps: tuple[str, ...] = ()  # by which memory is saved now


class Growth:
    """When each of some counters last grew. Any thread; as many counters as names, which callers keep few."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[Code, str], tuple[int, float]] = {}

    def note(self, totals: Mapping[tuple[Code, str], int], now_seconds: float) -> None:
        """Take note of what the counters say now. One that fell (it was set to zero) starts anew."""
        with self._lock:
            for name, total in totals.items():
                known = self._known.get(name, (0, 0.0))
                if total > known[0]:
                    self._known[name] = (total, now_seconds)
                elif total < known[0]:
                    self._known[name] = (total, known[1])

    def ages(self, now_seconds: float) -> dict[tuple[Code, str], float]:
        """Seconds since each counter last grew; one that never did is missing."""
        with self._lock:
            return {name: now_seconds - at for name, (total, at) in self._known.items() if total}


def assess(vitals: Vitals) -> Health:
    """The verdict on these vitals."""
    reasons = (*_watching(vitals), *_sensing(vitals), *_recent(vitals), *_delivering(vitals))
    status = max((each.status for each in reasons), key=list(Status).index, default=Status.OK)
    is_ready = vitals.sweep_age_seconds is not None and not vitals.is_stopping and status is not Status.FAILING
    return Health(status, reasons, is_ready)


def _watching(vitals: Vitals) -> Iterator[Reason]:
    """The main thread turns, and the node is swept."""
    if vitals.loop_age_seconds > LOOP_STUCK_SECONDS:
        detail = f"the main loop has not turned for {vitals.loop_age_seconds:.0f} s"
        yield Reason(Code.MAIN_LOOP_STUCK, Status.FAILING, detail)
    has_swept = vitals.sweep_age_seconds is not None
    age = vitals.uptime_seconds if vitals.sweep_age_seconds is None else vitals.sweep_age_seconds
    interval = vitals.sweep_interval_seconds
    since = "no sweep has ended" if has_swept else "the first sweep has not ended"
    if age > max(SWEEP_STUCK_SECONDS, SWEEP_STUCK_INTERVALS * interval):
        yield Reason(Code.SWEEP_OVERDUE, Status.FAILING, f"{since} for {age:.0f} s")
    elif age > max(SWEEP_LATE_SECONDS, SWEEP_LATE_INTERVALS * interval):
        yield Reason(Code.SWEEP_OVERDUE, Status.DEGRADED, f"{since} for {age:.0f} s")


def _sensing(vitals: Vitals) -> Iterator[Reason]:
    """The sensor is the best that was asked for, and every source runs."""
    if vitals.tier is Tier.POLL and vitals.configured_sensor != Tier.POLL:
        detail = "only sweeps tell what happens: what is short-lived is not seen"
        yield Reason(Code.SENSOR_WEAK, Status.DEGRADED, detail)
    for source, is_up in vitals.sources_up.items():
        if not is_up:
            code = Code.SENSOR_LOST if source == vitals.tier else Code.SOURCE_FAILING
            yield Reason(code, Status.DEGRADED, f"{source} has stopped and is tried again")
    if vitals.docker_trouble is not None:
        detail = f"the Docker API {vitals.docker_trouble}: names and labels may be missing"
        yield Reason(Code.DOCKER_API_FAILING, Status.DEGRADED, detail)
    if vitals.pods_trouble is not None:
        detail = f"the Kubernetes API {vitals.pods_trouble}: labels and owners of pods may be missing"
        yield Reason(Code.KUBERNETES_API_FAILING, Status.DEGRADED, detail)
    if vitals.is_endpoint_missing:
        yield Reason(Code.ENDPOINT_UNAVAILABLE, Status.DEGRADED, "the metrics endpoint cannot listen: see the log")
    if vitals.is_control_missing:
        yield Reason(Code.CONTROL_UNAVAILABLE, Status.DEGRADED, "the control socket cannot be made: see the log")
    if vitals.memory_steps:
        detail = f"memory is short, and saved by: {', '.join(vitals.memory_steps)}"
        yield Reason(Code.MEMORY_SHORT, Status.DEGRADED, detail)


_WORDS: Mapping[Code, str] = {
    Code.EVENTS_LOST: "events were lost",
    Code.STATE_FULL: "the state had no room",
    Code.SOURCE_FAILING: "a source failed",
    Code.DETECTOR_FAILING: "detectors failed",
    Code.BLIND: "detectors could not read what they need",
    Code.OUTBOX_DROPPING: "the outbox dropped alerts",
    Code.SINK_DROPPING: "alerts were dropped for a sink",
}


def _recent(vitals: Vitals) -> Iterator[Reason]:
    """What was counted in the last five minutes, one reason for each code."""
    for code, words in _WORDS.items():
        recent = {name: age for (each, name), age in vitals.ages.items() if each is code and age < RECENT_SECONDS}
        if recent:
            names = ", ".join(sorted(recent)[:MAX_NAMED]) + (", ..." if len(recent) > MAX_NAMED else "")
            yield Reason(code, Status.DEGRADED, f"{words} ({names}), the last {min(recent.values()):.0f} s ago")


def _delivering(vitals: Vitals) -> Iterator[Reason]:
    """Alerts are safe in the outbox, and sinks take them."""
    if vitals.outbox is not None and vitals.outbox.is_failing:
        yield Reason(Code.OUTBOX_FAILING, Status.DEGRADED, "alerts cannot be written to the outbox")
    for sink in vitals.sinks:
        waited = 0.0 if sink.oldest_waiting_ns is None else (vitals.now_ns - sink.oldest_waiting_ns) / 1e9
        if sink.is_failing or waited > SINK_LAG_SECONDS:
            how = "fails" if sink.is_failing else "is slow"
            detail = f"{sink.name} {how}: {sink.waiting} alerts wait, the oldest for {max(0.0, waited):.0f} s"
            yield Reason(Code.SINK_FAILING, Status.DEGRADED, detail)
