"""Everything that a scrape shows, as values: what ``agent.telemetry`` reads and ``agent.metrics`` makes samples of.

Tables of counters are the parts' own, and may grow while they are looked at: who walks one copies it first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.health import Health, OutboxStatus, SinkStatus
from agent.measurements import Measured
from agent.memory import MemoryStatus
from agent.pipeline import DetectorCounts
from agent.policy import ExceptionState
from collectors.connector.source import Counters as ConnectorCounters
from collectors.containers.counters import RegistryCounters
from collectors.containers.docker import SourceStatus
from collectors.ebpf.counters import Counters as EbpfCounters
from collectors.kubernetes.watch import PodSourceStatus
from collectors.listening import Counters as TouchWatchCounters
from collectors.mountwatch import Counters as MountWatchCounters


@dataclass(frozen=True, slots=True)
class SourceReading:
    """A source: whether it runs, and how often it ended with which error (``Class: words``)."""

    is_up: bool
    failures: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ProcessReading:
    """The agent as a process; ``None`` is not to be had."""

    cpu_seconds: float
    rss_bytes: int
    started_seconds: float
    open_fds: int | None


@dataclass(frozen=True, slots=True)
class TableReading:
    """One bounded table: what it holds, may hold, and did not take or forgot; ``None`` is not counted."""

    entries: int
    limit: int | None = None
    overflow: int | None = None


@dataclass(frozen=True, slots=True)
class EndpointReading:
    """What the endpoint did: answers by HTTP status, connections closed without one by reason."""

    answers: Mapping[int, int]
    closed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class EbpfReading:
    """The eBPF sensor: what its programs counted in the kernel by the last sweep, and what became of their records."""

    kernel: Mapping[str, int]
    source: EbpfCounters


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that a scrape shows, at about one moment."""

    now_ns: int
    version: str
    python: str
    tier: str
    configured_sensor: str
    sweep_interval_seconds: float
    health: Health
    reloads: Mapping[str, int]
    endpoint: EndpointReading
    sources: Mapping[str, SourceReading]
    connector: ConnectorCounters | None
    ebpf: EbpfReading | None
    observer: Mapping[str, int]
    mount_watch: MountWatchCounters | None
    touch_watch: TouchWatchCounters | None = None
    registry: RegistryCounters
    docker: SourceStatus | None
    pods: PodSourceStatus | None = None
    queue_events: int
    queue_limit: int
    queue_dropped: int
    measured: Measured
    tables: Mapping[str, TableReading]
    detectors: Mapping[str, DetectorCounts]
    repeated: int
    held_back: int
    exceptions: tuple[ExceptionState, ...]
    outbox: OutboxStatus | None
    sinks: tuple[SinkStatus, ...]
    process: ProcessReading
    memory: MemoryStatus = field(default_factory=MemoryStatus)
