"""What ``hullwatch status`` shows, as plain values: made of what the agent measures. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from agent.snapshot import Snapshot
from detectors.base import Severity


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known since the start: of the node, the sensor, the configuration."""

    node: str
    pid: int
    reason: str  # why this sensor tier
    config_path: str | None
    state_directory: str | None
    socket: str
    detectors: int


def document(snapshot: Snapshot, facts: Facts, open_incidents: Iterable[Severity]) -> dict[str, Any]:
    """The whole status."""
    process, measured = snapshot.process, snapshot.measured
    now_seconds = snapshot.now_ns / 1e9
    uptime = max(0.0, now_seconds - process.started_seconds)
    sweeps = measured.sweep_cpu
    by_severity: Counter[str] = Counter()
    for (_, severity), count in measured.alerts.items():
        by_severity[severity] += count
    tables = {name: each.entries for name, each in snapshot.tables.items()}
    return {
        "version": snapshot.version,
        "node": facts.node,
        "pid": facts.pid,
        "uptime_seconds": round(uptime, 1),
        "config": facts.config_path,
        "state_directory": facts.state_directory,
        "socket": facts.socket,
        "health": {
            "status": snapshot.health.status.value,
            "is_ready": snapshot.health.is_ready,
            "reasons": [
                {"code": each.code.value, "status": each.status.value, "detail": each.detail}
                for each in snapshot.health.reasons
            ],
        },
        "sensor": {
            "tier": snapshot.tier,
            "configured": snapshot.configured_sensor,
            "reason": facts.reason,
            "sources": {name: each.is_up for name, each in snapshot.sources.items()},
        },
        "losses": {
            "queue_full": snapshot.queue_dropped,
            **{f"{source} {reason}": count for (source, reason), count in measured.lost.items()},
        },
        "blind": sum(sum(each.blind.values()) for each in snapshot.detectors.values()),
        "node_state": {
            "containers": tables.get("containers", 0),
            "processes": tables.get("processes", 0),
            "container_processes": tables.get("container_processes", 0),
        },
        "detectors": facts.detectors,
        "incidents": dict(Counter(each.name.lower() for each in open_incidents)),
        "alerts": dict(by_severity),
        "held_back": snapshot.held_back,
        "excepted": sum(each.matched for each in snapshot.exceptions),
        "outbox": None
        if snapshot.outbox is None
        else {
            "alerts": snapshot.outbox.alerts,
            "size_bytes": snapshot.outbox.size_bytes,
            "limit_bytes": snapshot.outbox.limit_bytes,
            "dropped": sum(snapshot.outbox.dropped.values()),
            "is_failing": snapshot.outbox.is_failing,
        },
        "sinks": [
            {
                "name": each.name,
                "sent": each.sent,
                "waiting": each.waiting,
                "oldest_waiting_seconds": None
                if each.oldest_waiting_ns is None
                else round(max(0.0, (snapshot.now_ns - each.oldest_waiting_ns) / 1e9), 1),
                "dropped": each.dropped,
                "failures": each.failures,
                "is_failing": each.is_failing,
            }
            for each in snapshot.sinks
        ],
        "memory": {
            "limit_bytes": snapshot.memory.limit_bytes,
            "saved_by": list(snapshot.memory.steps),
            "refused_processes": snapshot.memory.refused_processes,
        },
        "cost": {
            "cpu_percent": round(100 * process.cpu_seconds / uptime, 2) if uptime else 0.0,
            "cpu_seconds": round(process.cpu_seconds, 2),
            "rss_bytes": process.rss_bytes,
            "sweep_cpu_ms": round(1000 * sweeps.total / sum(sweeps.counts), 2) if any(sweeps.counts) else None,
            "events": sum(measured.events.values()),
        },
    }
