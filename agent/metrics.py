"""From the counters of all parts to the samples of a scrape. Pure: ``collect`` is a function of a ``Snapshot``.

``agent.telemetry`` takes the snapshot, ``agent.metrics_catalog`` declares the metrics, ``agent.exposition`` writes.
Counters of parts are read while their threads go on, so a table is copied before it is walked.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from agent import metrics_catalog as catalog
from agent.exposition import Metric, Sample
from agent.health import Code, OutboxStatus, SinkStatus, Status
from agent.measurements import QUEUE_SOURCE
from agent.memory import MemoryStatus
from agent.pipeline import DetectorCounts
from agent.snapshot import EbpfReading, ProcessReading, Snapshot
from collectors.containers.docker import SourceState
from collectors.kubernetes.watch import PodSourceState, PodSourceStatus
from collectors.listening import Counters as TouchWatchCounters
from detectors.base import Severity

OTHER = "other"

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

# The kinds of ``collectors.errors`` and of ``Unknown.why``: the words before a colon that are no detail.
BLIND_KINDS = frozenset(
    {"gone", "denied", "malformed", "too_large", "unsupported", "error", "not_read", "no_bundle", "no_state_directory"}
)
CONNECTOR_RECORDS = (
    "forks",
    "execs",
    "credential_changes",
    "traces",
    "exits",
    "thread_forks",
    "thread_exits",
    "others",
)
EBPF_TROUBLE = frozenset({"lost", "not_remembered"})  # of the kernel's counters; the others are work

_CLASS_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,63}", re.ASCII)


def collect(snapshot: Snapshot) -> Iterator[Sample]:
    """The samples of a scrape; those of one metric follow one another."""
    yield from _agent(snapshot)
    yield from _sources(snapshot)
    yield from _sensor_errors(snapshot)
    yield from _sensor_records(snapshot)
    yield from _watched(snapshot)
    yield from _events(snapshot)
    yield from _containers(snapshot)
    if snapshot.pods is not None:
        yield from _pods(snapshot.pods)
    yield from _sweeps_and_tables(snapshot)
    yield from _detectors(snapshot.detectors)
    yield from _alerts(snapshot)
    if snapshot.outbox is not None:
        yield from _outbox(snapshot.outbox)
    yield from _sinks(snapshot.sinks, snapshot.now_ns)
    yield from _process(snapshot.process)
    yield from _memory(snapshot.memory)


def blind_kind(why: str) -> str:
    """The kind of a missing fact: a word of a fixed list, never the detail that ``why`` also holds."""
    return next((word for word in why.split(": ") if word in BLIND_KINDS), OTHER)


def error_kind(reason: str) -> str:
    """The class of an error that was counted as ``Class: words``."""
    name = reason.partition(":")[0]
    return name if _CLASS_NAME.fullmatch(name) is not None else OTHER


def _agent(snapshot: Snapshot) -> Iterator[Sample]:
    yield Sample(catalog.BUILD_INFO, 1, (snapshot.version, snapshot.python))
    health = snapshot.health
    yield from (Sample(catalog.HEALTH_STATUS, int(each is health.status), (each.value,)) for each in Status)
    wrong = {reason.code for reason in health.reasons}
    yield from (Sample(catalog.HEALTH_REASON, int(each in wrong), (each.value,)) for each in Code)
    yield Sample(catalog.READY, int(health.is_ready))
    yield from (Sample(catalog.CONFIG_RELOADS, count, (result,)) for result, count in _pairs(snapshot.reloads))
    answers = _pairs(snapshot.endpoint.answers)
    yield from (Sample(catalog.HTTP_REQUESTS, count, (str(code),)) for code, count in answers)
    yield from (Sample(catalog.HTTP_CLOSED, count, (why,)) for why, count in _pairs(snapshot.endpoint.closed))
    yield Sample(catalog.SENSOR_INFO, 1, (snapshot.tier, snapshot.configured_sensor))


def _sources(snapshot: Snapshot) -> Iterator[Sample]:
    sources = _pairs(snapshot.sources)
    yield from (Sample(catalog.SOURCE_UP, int(source.is_up), (name,)) for name, source in sources)
    for name, source in sources:
        by_class = _summed((error_kind(reason), count) for reason, count in _pairs(source.failures))
        yield from (Sample(catalog.SOURCE_FAILURES, count, (name, error)) for error, count in by_class)


def _sensor_errors(snapshot: Snapshot) -> Iterator[Sample]:
    connector, ebpf, pods = snapshot.connector, snapshot.ebpf, snapshot.pods
    if connector is not None:
        own = (("malformed", connector.malformed), ("stranger", connector.strangers), ("reopened", connector.reopened))
        for error, count in _summed((*own, *_pairs(connector.failed))):
            yield Sample(catalog.SENSOR_ERRORS, count, ("netlink", error))
    if ebpf is not None:
        source, missed = ebpf.source, ebpf.kernel["not_remembered"]
        own = (("malformed", source.malformed), ("stranger", source.strangers), ("not_remembered", missed))
        for error, count in _summed((*own, ("detached", source.detached), *_pairs(source.failed))):
            yield Sample(catalog.SENSOR_ERRORS, count, ("ebpf", error))
    if pods is not None:
        yield Sample(catalog.SENSOR_ERRORS, pods.odd_answers, ("kubernetes", "odd_answer"))
        yield Sample(catalog.SENSOR_ERRORS, pods.strangers, ("kubernetes", "other_node"))
    yield from _touch_errors(snapshot.touch_watch)
    if connector is not None:
        yield Sample(catalog.SENSOR_OVERRUNS, connector.overruns, ("netlink",))
    if ebpf is not None:
        yield Sample(catalog.SENSOR_OVERRUNS, ebpf.kernel["lost"], ("ebpf",))
    if snapshot.touch_watch is not None:
        yield Sample(catalog.SENSOR_OVERRUNS, snapshot.touch_watch.overruns, ("touch_watch",))


def _touch_errors(touches: TouchWatchCounters | None) -> Iterator[Sample]:
    if touches is not None:
        for error, count in {"refused": touches.refused, "failed": touches.failed}.items():
            yield Sample(catalog.SENSOR_ERRORS, count, ("touch_watch", error))


def _sensor_records(snapshot: Snapshot) -> Iterator[Sample]:
    if snapshot.connector is not None:
        for kind in CONNECTOR_RECORDS:
            yield Sample(catalog.SENSOR_RECORDS, getattr(snapshot.connector, kind), ("netlink", kind))
    if snapshot.ebpf is not None:
        yield from _ebpf_records(snapshot.ebpf)
    yield from _watch_records(snapshot)
    yield Sample(catalog.SENSOR_RECORDS, snapshot.measured.sweeps.looked_at, ("sweep", "processes"))
    if snapshot.docker is not None:
        yield Sample(catalog.SENSOR_RECORDS, snapshot.docker.merged, ("docker", "merged"))
    if snapshot.pods is not None:
        yield Sample(catalog.SENSOR_RECORDS, snapshot.pods.changes, ("kubernetes", "changes"))
        yield Sample(catalog.SENSOR_RECORDS, snapshot.pods.merged, ("kubernetes", "merged"))


def _watch_records(snapshot: Snapshot) -> Iterator[Sample]:
    watch, touches = snapshot.mount_watch, snapshot.touch_watch
    if watch is not None:
        tables = {"told": watch.told, "unchanged": watch.unchanged, "failed": watch.failed, "refused": watch.refused}
        for kind, count in tables.items():
            yield Sample(catalog.SENSOR_RECORDS, count, ("mount_watch", kind))
    if touches is not None:
        looks = {"events": touches.events, "looks": touches.looks, "found": touches.found}
        for kind, count in looks.items():
            yield Sample(catalog.SENSOR_RECORDS, count, ("touch_watch", kind))


def _watched(snapshot: Snapshot) -> Iterator[Sample]:
    if snapshot.mount_watch is not None:
        yield Sample(catalog.MOUNT_NAMESPACES, snapshot.mount_watch.watched)
    if snapshot.touch_watch is not None:
        yield Sample(catalog.OBJECTS_WATCHED, snapshot.touch_watch.watches)


def _ebpf_records(reading: EbpfReading) -> Iterator[Sample]:
    for kind, count in reading.kernel.items():
        if kind not in EBPF_TROUBLE:
            yield Sample(catalog.SENSOR_RECORDS, count, ("ebpf", kind))
    yield Sample(catalog.SENSOR_RECORDS, reading.source.introduced, ("ebpf", "introduced"))


def _events(snapshot: Snapshot) -> Iterator[Sample]:
    yield from (Sample(catalog.EVENTS, count, (kind,)) for kind, count in _pairs(snapshot.measured.events))
    yield Sample(catalog.EVENTS_LOST, snapshot.queue_dropped, (QUEUE_SOURCE, "queue_full"))
    yield from (Sample(catalog.EVENTS_LOST, count, labels) for labels, count in _pairs(snapshot.measured.lost))
    yield Sample(catalog.QUEUE_EVENTS, snapshot.queue_events)
    yield Sample(catalog.QUEUE_LIMIT, snapshot.queue_limit)
    yield Sample(catalog.LOOKS, snapshot.observer["looks"])
    results = ((result, count) for result, count in _pairs(snapshot.observer) if result != "looks")
    yield from (Sample(catalog.LOOK_RESULTS, count, (result,)) for result, count in results)


def _containers(snapshot: Snapshot) -> Iterator[Sample]:
    for field in dataclasses.fields(snapshot.registry):
        yield Sample(catalog.CONTAINER_TROUBLE, getattr(snapshot.registry, field.name), (field.name,))
    docker = snapshot.docker
    if docker is not None:
        yield from (Sample(catalog.DOCKER_STATE, int(each is docker.state), (each.value,)) for each in SourceState)
        yield Sample(catalog.DOCKER_FAILURES, docker.failures)


def _pods(pods: PodSourceStatus) -> Iterator[Sample]:
    yield from (Sample(catalog.KUBERNETES_STATE, int(each is pods.state), (each.value,)) for each in PodSourceState)
    yield Sample(catalog.KUBERNETES_REQUESTS, pods.lists, ("list",))
    yield Sample(catalog.KUBERNETES_REQUESTS, pods.watches, ("watch",))
    yield Sample(catalog.KUBERNETES_RELISTS, pods.relists)
    yield from (Sample(catalog.KUBERNETES_FAILURES, count, (error,)) for error, count in _pairs(pods.failures))
    yield Sample(catalog.KUBERNETES_PODS, pods.pods)
    if pods.contact_ns is not None:
        yield Sample(catalog.KUBERNETES_LAST_CONTACT, pods.contact_ns / 1e9)


def _sweeps_and_tables(snapshot: Snapshot) -> Iterator[Sample]:
    measured = snapshot.measured
    yield Sample(catalog.SWEEP_CPU, measured.sweep_cpu)
    yield Sample(catalog.SWEEP_PROCESSES, measured.sweeps.processes)
    if measured.sweeps.ended_ns is not None:
        yield Sample(catalog.SWEEP_LAST, measured.sweeps.ended_ns / 1e9)
    yield Sample(catalog.SWEEP_INTERVAL, snapshot.sweep_interval_seconds)
    tables = _pairs(snapshot.tables)
    yield from (Sample(catalog.STATE_ENTRIES, table.entries, (name,)) for name, table in tables)
    yield from _known(catalog.STATE_LIMIT, {name: table.limit for name, table in tables})
    yield from _known(catalog.STATE_OVERFLOW, {name: table.overflow for name, table in tables})


def _detectors(detectors: Mapping[str, DetectorCounts]) -> Iterator[Sample]:
    counts = _pairs(detectors)
    yield from (Sample(catalog.CHECKS, each.checks, (rule,)) for rule, each in counts)
    yield from (Sample(catalog.CHECK_SECONDS, each.spent_ns / 1e9, (rule,)) for rule, each in counts)
    yield from (Sample(catalog.FINDINGS, each.findings, (rule,)) for rule, each in counts)
    for rule, each in counts:
        kinds = _summed((blind_kind(why), count) for why, count in _pairs(each.blind))
        yield from (Sample(catalog.BLIND, count, (rule, kind)) for kind, count in kinds)
    for rule, each in counts:
        kinds = _summed((error_kind(reason), count) for reason, count in _pairs(each.failures))
        yield from (Sample(catalog.FAILURES, count, (rule, kind)) for kind, count in kinds)


def _alerts(snapshot: Snapshot) -> Iterator[Sample]:
    yield Sample(catalog.REPEATED, snapshot.repeated)
    yield from (Sample(catalog.ALERTS, count, labels) for labels, count in _pairs(snapshot.measured.alerts))
    yield Sample(catalog.HELD_BACK, snapshot.held_back)
    yield Sample(catalog.ACT_TO_ALERT, snapshot.measured.act_to_alert)
    yield from (Sample(catalog.EXCEPTED, each.matched, (str(each.number),)) for each in snapshot.exceptions)
    yield Sample(catalog.EXCEPTIONS, len(snapshot.exceptions))
    yield Sample(catalog.EXCEPTIONS_EXPIRED, sum(each.expired for each in snapshot.exceptions))


def _outbox(outbox: OutboxStatus) -> Iterator[Sample]:
    yield Sample(catalog.OUTBOX_ALERTS, outbox.alerts)
    yield Sample(catalog.OUTBOX_BYTES, outbox.size_bytes)
    yield Sample(catalog.OUTBOX_LIMIT, outbox.limit_bytes)
    for severity in Severity:
        name = severity.name.lower()
        yield Sample(catalog.OUTBOX_DROPPED, outbox.dropped.get(name, 0), (name,))
    yield Sample(catalog.OUTBOX_FAILURES, outbox.write_failures)


def _sinks(sinks: tuple[SinkStatus, ...], now_ns: int) -> Iterator[Sample]:
    yield from (Sample(catalog.SINK_UP, int(not each.is_failing), (each.name,)) for each in sinks)
    yield from (Sample(catalog.SINK_SENT, each.sent, (each.name,)) for each in sinks)
    yield from (Sample(catalog.SINK_RETRIED, each.retried, (each.name,)) for each in sinks)
    yield from (Sample(catalog.SINK_DROPPED, each.dropped, (each.name,)) for each in sinks)
    yield from (Sample(catalog.SINK_LEFT_OUT, each.left_out, (each.name,)) for each in sinks)
    yield from (Sample(catalog.SINK_FAILURES, each.failures, (each.name,)) for each in sinks)
    yield from (Sample(catalog.SINK_WAITING, each.waiting, (each.name,)) for each in sinks)
    yield from (Sample(catalog.SINK_LAG, _lag_seconds(each, now_ns), (each.name,)) for each in sinks)
    for each in sinks:
        if each.last_success_ns is not None:
            yield Sample(catalog.SINK_LAST_SUCCESS, each.last_success_ns / 1e9, (each.name,))


def _lag_seconds(sink: SinkStatus, now_ns: int) -> float:
    return 0.0 if sink.oldest_waiting_ns is None else max(0, now_ns - sink.oldest_waiting_ns) / 1e9


def _process(process: ProcessReading) -> Iterator[Sample]:
    yield Sample(catalog.PROCESS_CPU, process.cpu_seconds)
    yield Sample(catalog.PROCESS_RSS, process.rss_bytes)
    yield Sample(catalog.PROCESS_START, process.started_seconds)
    if process.open_fds is not None:
        yield Sample(catalog.PROCESS_FDS, process.open_fds)


def _memory(memory: MemoryStatus) -> Iterator[Sample]:
    if memory.limit_bytes is not None:
        yield Sample(catalog.MEMORY_LIMIT, memory.limit_bytes)
    yield Sample(catalog.MEMORY_STEPS, len(memory.steps))
    yield from (Sample(catalog.MEMORY_STEPS_TAKEN, count, (step,)) for step, count in _pairs(memory.taken))
    yield Sample(catalog.MEMORY_REFUSED, memory.refused_processes)


def _known(metric: Metric, values: Mapping[str, int | None]) -> Iterator[Sample]:
    yield from (Sample(metric, value, (name,)) for name, value in values.items() if value is not None)


def _pairs(table: Mapping[_Key, _Value]) -> tuple[tuple[_Key, _Value], ...]:
    """What the table holds now; copied in one step, since its owner goes on adding to it."""
    return tuple(dict(table).items())


def _summed(counts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """One count for each word, in the words' order."""
    totals: dict[str, int] = {}
    for word, count in counts:
        totals[word] = totals.get(word, 0) + count
    return sorted(totals.items())
