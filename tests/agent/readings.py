"""A snapshot in which every part has something to show, for the tests of metrics and of what is made of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from agent.exposition import Histogram
from agent.health import Code, Health, OutboxStatus, Reason, SinkStatus, Status
from agent.measurements import ACT_TO_ALERT_BOUNDS, SWEEP_CPU_BOUNDS, Measured, Sweeps
from agent.memory import MemoryStatus
from agent.pipeline import DetectorCounts
from agent.policy import ExceptionState
from agent.snapshot import EbpfReading, EndpointReading, ProcessReading, Snapshot, SourceReading, TableReading
from collectors.connector.source import Counters as ConnectorCounters
from collectors.containers.counters import RegistryCounters
from collectors.containers.docker import SourceState, SourceStatus
from collectors.ebpf.counters import Counters as EbpfCounters
from collectors.kubernetes.watch import PodSourceState, PodSourceStatus
from collectors.listening import Counters as TouchWatchCounters
from collectors.mountwatch import Counters as MountWatchCounters

NOW_NS = 1_763_700_000_000_000_000


def snapshot(**overrides: Any) -> Snapshot:
    """Everything is set; ``overrides`` by field."""
    parts: dict[str, Any] = {
        "now_ns": NOW_NS,
        "version": "0.1.0",
        "python": "3.11.7",
        "tier": "netlink",
        "configured_sensor": "auto",
        "sweep_interval_seconds": 1.0,
        "health": Health(
            Status.DEGRADED, (Reason(Code.EVENTS_LOST, Status.DEGRADED, "events were lost"),), is_ready=True
        ),
        "reloads": {"taken": 2, "refused": 1},
        "endpoint": EndpointReading({200: 5, 404: 1}, {"timeout": 1, "displaced": 0, "broken": 0}),
        "sources": {
            "netlink": SourceReading(is_up=True, failures={}),
            "sweep": SourceReading(is_up=False, failures={"OSError: [Errno 5] /proc/1": 2, "OSError: [Errno 2]": 1}),
        },
        "connector": ConnectorCounters(
            forks=10, execs=9, overruns=1, malformed=1, failed=Counter({"gone": 4, "malformed": 2})
        ),
        "ebpf": EbpfReading(
            {"forks": 8, "execs": 7, "notable_execs": 2, "lost": 3, "not_remembered": 4},
            EbpfCounters(malformed=1, strangers=2, introduced=5, detached=1, failed=Counter({"gone": 6})),
        ),
        "observer": {"looks": 30, "told": 20, "gone_before_looked": 5, "not_remembered": 0},
        "mount_watch": MountWatchCounters(watched=3, told=7),
        "touch_watch": TouchWatchCounters(watches=120, refused=2, events=30, overruns=4, looks=6, found=1),
        "registry": RegistryCounters(problems=1),
        "docker": SourceStatus(SourceState.CONNECTED, merged=3, failures=1),
        "pods": PodSourceStatus(
            PodSourceState.CONNECTED,
            pods=12,
            lists=3,
            watches=9,
            changes=40,
            merged=20,
            odd_answers=1,
            strangers=2,
            contact_ns=NOW_NS - 4_000_000_000,
            failures={"http_410": 2, "cut": 1},
        ),
        "queue_events": 4,
        "queue_limit": 16_384,
        "queue_dropped": 6,
        "measured": measured(),
        "tables": {"processes": TableReading(100, 65_536, 0), "incidents": TableReading(1, None, 2)},
        "detectors": {
            "HW-101": DetectorCounts(
                findings=2,
                checks=50,
                spent_ns=1_500_000,
                blind={"gone: proc/ns": 3, "entry process: gone: proc/stat": 1, "what nobody foresaw": 1},
                failures={"KeyError: 'x'": 1, "KeyError: 'y'": 1},
            ),
        },
        "repeated": 8,
        "held_back": 40,
        "exceptions": (ExceptionState(1, "known", 3, expired=False), ExceptionState(2, "old", 0, expired=True)),
        "outbox": OutboxStatus(
            alerts=10, size_bytes=4096, limit_bytes=8192, dropped={"low": 2}, write_failures=1, is_failing=False
        ),
        "sinks": (sink("siem"), sink("loki", is_failing=True, waiting=4, oldest_waiting_ns=NOW_NS - 2_500_000_000)),
        "process": ProcessReading(1.5, 36_000_000, 1_763_600_000.25, 16),
        "memory": MemoryStatus(200_000_000, ("caches",), {"caches": 2, "histories": 1}, 9),
    }
    return Snapshot(**{**parts, **overrides})


def measured() -> Measured:
    """Some events, a loss, an alert and a sweep."""
    act_to_alert, sweep_cpu = Histogram(ACT_TO_ALERT_BOUNDS), Histogram(SWEEP_CPU_BOUNDS)
    act_to_alert.observe(0.004)
    sweep_cpu.observe(0.012)
    return Measured(
        events={"exec": 9, "seen": 100},
        lost={("netlink", "overrun"): 12},
        alerts={("HW-101", "critical"): 2},
        act_to_alert=act_to_alert.read(),
        sweep_cpu=sweep_cpu.read(),
        sweeps=Sweeps(looked_at=200, processes=100, ended_ns=NOW_NS - 500_000_000),
    )


def sink(name: str, **overrides: Any) -> SinkStatus:
    """A sink that took all it had to."""
    parts: dict[str, Any] = {
        "name": name,
        "sent": 20,
        "retried": 1,
        "dropped": 0,
        "waiting": 0,
        "oldest_waiting_ns": None,
        "last_success_ns": NOW_NS - 1_000_000_000,
        "is_failing": False,
        "failures": 1,
        "left_out": 5,
    }
    return SinkStatus(**{**parts, **overrides})
