"""What the running agent tells of itself: it measures, judges its health, and has both for scrapes and probes.

Concurrency: the main thread calls ``turned``, ``handled``, ``raised``, ``reloaded`` and ``stopping``; they cost it a
microsecond or two an event. ``health`` and ``scrape`` may be called from any thread; the endpoint's does. They read
counters while their owners go on counting; the one lock that they share with the main thread (``Growth``) is held for
a copy. What only the main thread may walk (the tables of the state) is counted by it after each sweep; what has a lock
of its own, under which files are read, is asked for by the others. A scrape is written at most once a second, however
often it is wanted.
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Iterator

import psutil

from agent import __version__
from agent.assembly import Collectors
from agent.config_schema import Config
from agent.exposition import render
from agent.health import Code, DeliveryView, Growth, Health, OutboxStatus, SinkStatus, Vitals, assess
from agent.inbox import Inbox
from agent.measurements import QUEUE_SOURCE, Measurements
from agent.memory import MemoryStatus
from agent.metrics import blind_kind, collect
from agent.pipeline import Pipeline
from agent.probes import open_endpoint
from agent.report import Alert
from agent.snapshot import EbpfReading, EndpointReading, ProcessReading, Snapshot, SourceReading, TableReading
from agent.sources import SensorChoice, Sources
from agent.state import NodeState
from collectors.containers.docker import SourceState
from collectors.events import Event, SweepDone
from collectors.kubernetes.watch import PodSourceState

FRESH_SECONDS = 1.0
ENDPOINT_GRACE_SECONDS = 5.0
KUBERNETES_SILENT_SECONDS = 60.0

# Blindness that somebody can mend (a capability, a bound). The other kinds are processes that ended meanwhile, and what
# no agent that keeps few rights can read on any node (``unsupported``): counted, and no reason to call anybody.
BLIND_TROUBLE = frozenset({"denied", "malformed", "too_large"})


class Telemetry:
    """See the module. Made before the sources are started; they then run the endpoint as well."""

    def __init__(
        self,
        config: Config,
        sensor: SensorChoice,
        collectors: Collectors,
        sources: Sources,
        inbox: Inbox,
        state: NodeState,
        pipeline: Pipeline,
        delivery: DeliveryView | None = None,
        *,
        held_back: Callable[[], int] = lambda: 0,
    ) -> None:
        self._config = config
        self._sensor = sensor
        self._collectors = collectors
        self._sources = sources
        self._inbox = inbox
        self._state = state
        self._pipeline = pipeline
        self._delivery = delivery
        self._held_back = held_back
        self._measurements = Measurements()
        self._growth = Growth()
        self._process = psutil.Process()
        self._tables: dict[str, TableReading] = {}
        self._reloads = {"taken": 0, "refused": 0}
        self._started = self._turned = time.monotonic()
        self._swept: float | None = None
        self._is_stopping = False
        self._has_control: Callable[[], bool] = lambda: True
        self._memory: Callable[[], MemoryStatus] = MemoryStatus
        self._way_out_lock = threading.Lock()
        self._way_out_seen: tuple[OutboxStatus | None, tuple[SinkStatus, ...]] = (None, ())
        self._way_out_at = -FRESH_SECONDS
        self._scrape_lock = threading.Lock()
        self._scraped: tuple[float, bytes] | None = None
        self._endpoint = open_endpoint(config.metrics, self.health, self.scrape)
        if self._endpoint is not None:
            sources.watch_over("http", self._endpoint.run, self._endpoint.stop)

    # What the main thread tells ----------------------------------------------------------------------------------

    def turned(self) -> None:
        """The main loop goes round."""
        self._turned = time.monotonic()

    def handled(self, event: Event) -> None:
        """An event was taken into the state and judged."""
        self._measurements.handled(event)
        if isinstance(event, SweepDone):
            self._swept = time.monotonic()
            self._tables = dict(self._count_tables())
            self._growth.note(dict(self._trouble()), self._swept)

    def raised(self, alert: Alert) -> None:
        """An alert was raised."""
        self._measurements.raised(alert, time.time_ns())

    def reloaded(self, *, is_taken: bool) -> None:
        """The configuration was read again."""
        self._reloads["taken" if is_taken else "refused"] += 1

    def stopping(self) -> None:
        """The agent was told to end: it is ready no more."""
        self._is_stopping = True

    def watch_control(self, is_listening: Callable[[], bool]) -> None:
        """There is to be a control socket; whether it is there counts for health."""
        self._has_control = is_listening

    def watch_memory(self, status: Callable[[], MemoryStatus]) -> None:
        """The guard of our memory, for health, metrics and ``hullwatch status``."""
        self._memory = status

    # What any thread may ask -------------------------------------------------------------------------------------

    def health(self) -> Health:
        """How the agent does now."""
        return self._judge(*self._way_out())

    def scrape(self) -> bytes:
        """All metrics in the text format; the same for a second."""
        with self._scrape_lock:
            now = time.monotonic()
            if self._scraped is None or now - self._scraped[0] >= FRESH_SECONDS:
                self._scraped = (now, render(collect(self.snapshot())))
            return self._scraped[1]

    def snapshot(self) -> Snapshot:
        """Everything that a scrape shows."""
        outbox, sinks = self._way_out()
        connector, watch, sources = self._sources.connector, self._collectors.mount_watch, self._sources
        touches, ebpf, now_ns = self._collectors.touch_watch, sources.ebpf, time.time_ns()
        return Snapshot(
            now_ns=now_ns,
            version=__version__,
            python=platform.python_version(),
            tier=self._sensor.tier.value,
            configured_sensor=self._config.sensor,
            sweep_interval_seconds=self._config.sweep.interval_seconds,
            health=self._judge(outbox, sinks),
            reloads=self._reloads,
            endpoint=self._endpoint.reading() if self._endpoint is not None else EndpointReading({}, {}),
            sources={
                name: SourceReading(health.is_up, health.failures) for name, health in sources.health.copy().items()
            },
            connector=connector.counters if connector is not None else None,
            ebpf=EbpfReading(ebpf.kernel_counts(), ebpf.counters) if ebpf is not None else None,
            observer=self._collectors.observer.counts,
            mount_watch=watch.counters if watch is not None else None,
            touch_watch=touches.counters if touches is not None and ebpf is None else None,
            registry=self._collectors.registry.counters(),
            docker=sources.docker_status,
            pods=sources.pods_status,
            queue_events=len(self._inbox),
            queue_limit=self._config.limits.queue_events,
            queue_dropped=self._inbox.dropped,
            measured=self._measurements.read(),
            tables=self._tables,
            detectors=self._pipeline.counts,
            repeated=self._pipeline.dedupe.repeated,
            held_back=self._held_back(),
            exceptions=self._pipeline.policy.states(now_ns),
            outbox=outbox,
            sinks=sinks,
            process=self._read_process(),
            memory=self._memory(),
        )

    # Readings ----------------------------------------------------------------------------------------------------

    def _way_out(self) -> tuple[OutboxStatus | None, tuple[SinkStatus, ...]]:
        """The outbox and the sinks; the same for a second, since what waits is counted in a file."""
        with self._way_out_lock:
            now = time.monotonic()
            if self._delivery is not None and now - self._way_out_at >= FRESH_SECONDS:
                self._way_out_at = now
                self._way_out_seen = (self._delivery.outbox_status(), self._delivery.sink_statuses())
            return self._way_out_seen

    def _judge(self, outbox: OutboxStatus | None, sinks: tuple[SinkStatus, ...]) -> Health:
        now = time.monotonic()
        self._growth.note(dict(self._trouble_elsewhere(outbox, sinks)), now)
        uptime = now - self._started
        is_late = self._endpoint is not None and not self._endpoint.is_listening and uptime > ENDPOINT_GRACE_SECONDS
        return assess(
            Vitals(
                now_ns=time.time_ns(),
                is_stopping=self._is_stopping,
                uptime_seconds=uptime,
                loop_age_seconds=now - self._turned,
                sweep_age_seconds=None if self._swept is None else now - self._swept,
                sweep_interval_seconds=self._config.sweep.interval_seconds,
                tier=self._sensor.tier,
                configured_sensor=self._config.sensor,
                sources_up={name: health.is_up for name, health in self._sources.health.copy().items()},
                docker_trouble=self._docker_trouble(),
                pods_trouble=self._pods_trouble(),
                is_endpoint_missing=is_late,
                is_control_missing=uptime > ENDPOINT_GRACE_SECONDS and not self._has_control(),
                outbox=outbox,
                sinks=sinks,
                ages=self._growth.ages(now),
                memory_steps=self._memory().steps,
            )
        )

    def _docker_trouble(self) -> str | None:
        status = self._sources.docker_status
        if status is None:
            return None
        if status.state is SourceState.FAILING:
            return "fails"
        is_wanted = self._config.containers.docker.enabled is True
        return "has no socket" if status.state is SourceState.ABSENT and is_wanted else None

    def _pods_trouble(self) -> str | None:
        status = self._sources.pods_status
        if status is None or not status.why:
            return None
        silent = time.time() - (status.contact_ns or 0) / 1e9
        is_old = silent > KUBERNETES_SILENT_SECONDS and time.monotonic() - self._started > KUBERNETES_SILENT_SECONDS
        return f"says: {status.why}" if status.state is not PodSourceState.FAILING or is_old else None

    def _count_tables(self) -> Iterator[tuple[str, TableReading]]:
        """The bounded tables of the core; for the main thread alone."""
        limits = self._config.limits
        bounds = {
            "processes": limits.processes,
            "containers": limits.containers,
            "mount_namespaces": 2 * limits.containers,
        }
        for name, entries in self._pipeline.state_counts().items():
            yield name, TableReading(entries, bounds.get(name), self._state.overflow.get(name))
        dedupe, incidents = self._pipeline.dedupe, self._pipeline.incidents
        yield "findings", TableReading(len(dedupe), limits.findings, dedupe.evicted)
        yield "incidents", TableReading(len(incidents), None, incidents.evicted)

    def _trouble(self) -> Iterator[tuple[tuple[Code, str], int]]:
        """The core's counters whose growth is a matter of health, by what they are called there."""
        yield (Code.EVENTS_LOST, f"{QUEUE_SOURCE} queue_full"), self._inbox.dropped
        for (source, reason), count in self._measurements.read().lost.items():
            yield (Code.EVENTS_LOST, f"{source} {reason}"), count
        for table, count in self._state.overflow.items():
            yield (Code.STATE_FULL, table), count
        yield (Code.STATE_FULL, "observer"), self._collectors.observer.counts["not_remembered"]
        if (ebpf := self._sources.ebpf) is not None:
            yield (Code.STATE_FULL, "ebpf"), ebpf.kernel_counts()["not_remembered"]
            yield (Code.SOURCE_FAILING, "ebpf programs"), ebpf.counters.detached
        if (touches := self._collectors.touch_watch) is not None:
            yield (Code.STATE_FULL, "touch_watch"), touches.counters.refused
        for name, health in self._sources.health.copy().items():
            yield (Code.SOURCE_FAILING, name), sum(health.failures.copy().values())
        blind: dict[str, int] = {}
        for rule, counts in self._pipeline.counts.items():
            yield (Code.DETECTOR_FAILING, rule), sum(counts.failures.values())
            for why, count in counts.blind.items():
                kind = blind_kind(why)
                blind[kind] = blind.get(kind, 0) + count
        for kind in BLIND_TROUBLE & blind.keys():
            yield (Code.BLIND, kind), blind[kind]

    def _trouble_elsewhere(
        self, outbox: OutboxStatus | None, sinks: tuple[SinkStatus, ...]
    ) -> Iterator[tuple[tuple[Code, str], int]]:
        """The same, of parts that the main thread must not wait for."""
        yield (Code.STATE_FULL, "registry"), self._collectors.registry.counters().refused_containers
        if outbox is not None:
            for severity, count in outbox.dropped.items():
                yield (Code.OUTBOX_DROPPING, severity), count
        for sink in sinks:
            yield (Code.SINK_DROPPING, sink.name), sink.dropped

    def _read_process(self) -> ProcessReading:
        process = self._process
        with process.oneshot():
            cpu = process.cpu_times()
            return ProcessReading(
                cpu.user + cpu.system, process.memory_info().rss, process.create_time(), process.num_fds()
            )
