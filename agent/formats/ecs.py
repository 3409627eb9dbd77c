"""The alert in Elastic Common Schema: one JSON object on one line, closed under ``docs/alert.schema.json``.

Names are those of ECS 9.0 (https://www.elastic.co/docs/reference/ecs); what it has no name for is under ``hullwatch``.
Values of evidence are texts or lists of texts, always: an index that learnt a number there would refuse the alert of
another rule. Pure, and the same bytes for the same alert.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec

from agent import describe
from agent.report import Alert, HostFacts
from agent.text import arguments, clipped, raw_base64, to_text, valid, visible_json
from collectors.facts import (
    NAMESPACE_KINDS,
    Confinement,
    Container,
    Executable,
    HostBaseline,
    Ids,
    Process,
    ProcessKey,
    Unknown,
)
from detectors.base import EvidenceValue, Family, Severity

ECS_VERSION = "9.0.0"
MAX_TEXT = 4096
MAX_ANCESTOR_COMMAND_LINE = 256
MAX_LABELS = 64
MAX_LABEL = 256
MAX_EVIDENCE_ITEMS = 64
CACHED = 128

_LAST_NS = 253_402_300_799_999_999_999  # the year 9999 ends

Record = dict[str, Any]
T = TypeVar("T")

_LEVELS = {
    Severity.INFO: "info",
    Severity.LOW: "notice",
    Severity.MEDIUM: "warning",
    Severity.HIGH: "error",
    Severity.CRITICAL: "critical",
}
_CATEGORIES = {
    Family.DRIFT: (["intrusion_detection", "process"], ["info", "change"]),
    Family.TECHNIQUE: (["intrusion_detection", "process"], ["info"]),
    Family.EXPOSURE: (["intrusion_detection", "configuration"], ["info"]),
    Family.AGENT: (["host"], ["info"]),
    Family.INCIDENT: (["intrusion_detection"], ["info"]),
}


def encode(alert: Alert) -> bytes:
    """The alert as one line without its line feed: valid UTF-8, and no character in it that a terminal obeys."""
    return visible_json(msgspec.json.encode(_document(alert)).decode("utf-8")).encode("utf-8")


def to_ecs(alert: Alert) -> Record:
    """The alert as a document; keys that have no value are left out."""
    document: Record = msgspec.json.decode(msgspec.json.encode(_document(alert)))
    return document


def _document(alert: Alert) -> Record:
    """The document, in which the parts that many alerts share are JSON already."""
    category, kind = _CATEGORIES[alert.detector.family]
    record = _compact(
        {
            "@timestamp": timestamp(alert.at_ns),
            "ecs": {"version": ECS_VERSION},
            "event": {
                "kind": "alert",
                "id": alert.id,
                "severity": int(alert.severity),
                "category": category,
                "type": kind,
                "action": alert.detector.name,
                "module": "hullwatch",
                "dataset": f"hullwatch.{alert.detector.family.value}",
                "created": timestamp(alert.created_ns),
                "reason": alert.reason,
            },
            "log": {"level": _LEVELS[alert.severity]},
            "message": alert.message,
            "rule": {
                "id": alert.detector.id,
                "name": alert.detector.name,
                "ruleset": "hullwatch",
                "category": alert.detector.family.value,
                "description": alert.detector.summary,
                "reference": next(iter(alert.detector.references), None),
            },
            "threat": _threat(alert),
            "process": _process(alert),
            "container": _container(alert),
            "orchestrator": _orchestrator(alert.container),
            "host": _host(_Same((alert.host, alert.node))),
            "agent": {
                "type": "hullwatch",
                "version": alert.agent_version,
                "id": valid(alert.host.id),
                "name": valid(alert.host.name),
            },
            "hullwatch": _hullwatch(alert),
        },
    )
    record["hullwatch"].setdefault("evidence", {})  # required, also where there is none
    return record


def timestamp(at_ns: int) -> str:
    """Nanoseconds since the epoch as ISO 8601 in UTC, with nine digits after the second."""
    seconds, fraction_ns = divmod(min(max(at_ns, 0), _LAST_NS), 1_000_000_000)
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)
    return f"{moment.isoformat()[:19]}.{fraction_ns:09d}Z"


def entity_id(boot_id: str, key: ProcessKey) -> str:
    """The identity of a process among all nodes and boots."""
    return f"{valid(boot_id)}:{key.pid}:{key.start_ticks}"


def _threat(alert: Alert) -> Record | None:
    techniques = alert.detector.techniques
    if not techniques:
        return None
    tactics = dict.fromkeys((each.tactic_id, each.tactic) for each in techniques)
    return {
        "framework": "MITRE ATT&CK",
        "tactic": {"id": [tactic_id for tactic_id, _ in tactics], "name": [tactic for _, tactic in tactics]},
        "technique": {"id": [each.id for each in techniques], "name": [each.name for each in techniques]},
    }


def _process(alert: Alert) -> Record | None:
    process = alert.process
    if process is None:
        return _absent(alert)
    leader = process.thread_of or process.key
    confinement = process.confinement
    record: Record = {
        **_identity(alert.node, process),
        "vpid": process.ns_pid,
        "args": list(arguments(process.arguments)) or None,
        "command_line": _command_line(process, MAX_TEXT) or None,
        "start": _start(alert, leader),
        "parent": _parent(alert, process),
        "thread": {"id": process.key.pid, "capabilities": _thread_capabilities(confinement)},
    }
    if isinstance(confinement.uids, Ids):
        record["user"] = {"id": str(confinement.uids.effective)}
        record["real_user"] = {"id": str(confinement.uids.real)}
        record["saved_user"] = {"id": str(confinement.uids.saved)}
    if isinstance(confinement.gids, Ids):
        record["group"] = {"id": str(confinement.gids.effective)}
    return record


def _absent(alert: Alert) -> Record | None:
    """What is known of a process that ended before anybody looked."""
    if alert.subject is None:
        return None
    return {
        "pid": alert.subject.pid,
        "entity_id": entity_id(alert.node.boot_id, alert.subject),
        "start": _start(alert, alert.subject),
    }


def _identity(node: HostBaseline, process: Process) -> Record:
    leader = process.thread_of or process.key
    return {
        "pid": leader.pid,
        "entity_id": entity_id(node.boot_id, leader),
        "name": to_text(process.name),
        "executable": _executable(process),
    }


def _parent(alert: Alert, process: Process) -> Record:
    if not alert.ancestors:
        return {"pid": process.parent_pid}
    parent = alert.ancestors[0]
    return {
        **_identity(alert.node, parent),
        "args": list(arguments(parent.arguments[:MAX_ANCESTOR_COMMAND_LINE])) or None,
        "command_line": _command_line(parent, MAX_ANCESTOR_COMMAND_LINE) or None,
        "start": _start(alert, parent.thread_of or parent.key),
    }


def _thread_capabilities(confinement: Confinement) -> Record | None:
    known = describe.capability_names(confinement.capabilities)
    return {kind: known[kind] for kind in ("effective", "permitted")} if known else None


def _executable(process: Process) -> str | None:
    if not isinstance(process.executable, Executable):
        return None
    return clipped(to_text(process.executable.path), MAX_TEXT)


def _command_line(process: Process, limit: int) -> str:
    return clipped(" ".join(arguments(process.arguments)), limit)


def _start(alert: Alert, key: ProcessKey) -> str:
    ticks_per_second = max(alert.node.ticks_per_second, 1)
    return timestamp(alert.node.boot_time_ns + key.start_ticks * 1_000_000_000 // ticks_per_second)


def _container(alert: Alert) -> Record | None:
    container = alert.container
    if container is None:
        return None if alert.container_id is None else {"id": valid(alert.container_id)}
    return {
        "id": valid(container.id),
        "name": _text(container.name and container.name.removeprefix("/")),
        "runtime": valid(container.runtime),
        "image": {"name": _text(container.image)},
        "labels": _labels(container),
    }


def _labels(container: Container) -> Record | None:
    """Labels with ``_`` for dots, as Beats write them: an index takes ``a`` and ``a.b`` for a value and an object."""
    labels: dict[str, str] = {}
    for name, value in sorted(container.labels)[:MAX_LABELS]:
        labels.setdefault(clipped(valid(name), MAX_LABEL).replace(".", "_") or "_", clipped(valid(value), MAX_LABEL))
    return labels or None


def _orchestrator(container: Container | None) -> Record | None:
    if container is None:
        return None
    if container.pod is None:
        if container.pod_uid is None:
            return None
        return {"type": "kubernetes", "resource": {"type": "pod", "id": valid(container.pod_uid)}}
    pod = container.pod
    return {
        "type": "kubernetes",
        "namespace": _text(pod.namespace),
        "resource": {"type": "pod", "name": _text(pod.name), "id": _text(pod.uid)},
    }


class _Same(Generic[T]):
    """Two values by their identity, as the key of a cache: they are frozen, and to hash them whole is too dear.

    The first process of a container, its ancestors and the node are the same objects in alert after alert.
    """

    __slots__ = ("_hash", "node", "value")

    def __init__(self, pair: tuple[T, HostBaseline]) -> None:
        self.value, self.node = pair
        self._hash = id(self.value) ^ id(self.node)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value and self.node is other.node


def _json(record: Record) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(_compact(record)))


@lru_cache(CACHED)
def _ancestor(same: _Same[Process]) -> msgspec.Raw:
    process = same.value
    command_line = _command_line(process, MAX_ANCESTOR_COMMAND_LINE) or None
    return _json({**_identity(same.node, process), "command_line": command_line})


@lru_cache(1)
def _host(same: _Same[HostFacts]) -> msgspec.Raw:
    host = same.value
    return _json(
        {
            "name": _text(host.name),
            "hostname": _text(host.hostname),
            "id": _text(host.id),
            "architecture": _text(host.architecture),
            "boot": {"id": _text(same.node.boot_id)},
            "os": {
                "type": "linux",
                "name": _text(host.os_name),
                "version": _text(host.os_version),
                "platform": _text(host.os_platform),
                "full": _text(host.os_full),
                "kernel": _text(host.kernel),
            },
        }
    )


def _hullwatch(alert: Alert) -> Record:
    return {
        "sensor": alert.tier.value,
        "confidence": alert.confidence.value,
        "evidence": {valid(name): _evidence(value) for name, value in alert.evidence},
        "widened": [
            {
                "dimension": each.dimension.value,
                "aspect": each.aspect,
                "was": clipped(describe.value(each.was), MAX_TEXT),
                "now": clipped(describe.value(each.now), MAX_TEXT),
            }
            for each in alert.widened
        ],
        "confinement": {
            "observed": None if alert.observed is None else _confinement(_Same((alert.observed, alert.node))),
            "container": None if alert.baseline is None else _confinement(_Same((alert.baseline, alert.node))),
        },
        "ancestors": [_ancestor(_Same((each, alert.node))) for each in alert.ancestors],
        "incident": _incident(alert),
        "repeats": alert.repeats,
        "raw": [{"field": field, "base64": text} for field, text in _raw(alert)],
    }


def _incident(alert: Alert) -> Record:
    """The id of the story; of an alert that tells of it, all of it in the order in which it happened."""
    incident = alert.incident
    if alert.phase is None:
        return {"id": incident.id}
    return {
        "id": incident.id,
        "phase": alert.phase.value,
        "severity": int(incident.severity),
        "why": clipped(valid(incident.why), MAX_TEXT),
        "start": timestamp(incident.first_ns),
        "end": timestamp(incident.last_ns),
        "findings": incident.findings,
        "story": [
            {
                "timestamp": timestamp(each.at_ns),
                "alert_id": each.alert_id,
                "rule_id": each.rule_id,
                "rule_name": each.rule_name,
                "severity": int(each.severity),
                "reason": each.reason,
                "pid": each.pid,
            }
            for each in incident.story
        ],
    }


def _evidence(value: EvidenceValue) -> str | list[str]:
    match value:
        case tuple():
            return [_scalar(each) for each in value[:MAX_EVIDENCE_ITEMS]]
        case _:
            return _scalar(value)


def _scalar(value: str | bytes | int) -> str:
    match value:
        case bytes():
            return clipped(to_text(value), MAX_TEXT)
        case str():
            return clipped(valid(value), MAX_TEXT)
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)


@lru_cache(CACHED)
def _confinement(same: _Same[Confinement]) -> msgspec.Raw:
    """The whole vector; namespaces that are the host's are named beside it."""
    confinement, node = same.value, same.node
    capabilities = confinement.capabilities
    return _json(
        {
            "namespaces": {kind: describe.value(getattr(confinement.namespaces, kind)) for kind in NAMESPACE_KINDS},
            "host_namespaces": list(describe.shared_with_host(confinement, node)),
            "root": describe.value(confinement.root),
            "root_is_host": describe.is_host_root(confinement.root, node),
            "cwd": describe.value(confinement.cwd),
            "uids": describe.value(confinement.uids),
            "gids": describe.value(confinement.gids),
            "capabilities": {kind: found for kind, found in describe.capability_names(capabilities).items() if found},
            "capabilities_unknown": capabilities.why if isinstance(capabilities, Unknown) else None,
            "no_new_privs": describe.value(confinement.no_new_privs),
            "seccomp": describe.value(confinement.seccomp),
            "lsm_label": clipped(describe.value(confinement.lsm_label), MAX_TEXT),
            "cgroups": _cgroups(confinement),
        }
    )


def _cgroups(confinement: Confinement) -> list[str]:
    if isinstance(confinement.cgroups, Unknown):
        return [describe.value(confinement.cgroups)]
    return [clipped(describe.cgroup(each), MAX_TEXT) for each in confinement.cgroups[:MAX_EVIDENCE_ITEMS]]


def _raw(alert: Alert) -> Iterator[tuple[str, str]]:
    """The bytes of every field that were not UTF-8, so that what U+FFFD stands for can be had."""
    process = alert.process
    fields: list[tuple[str, bytes]] = []
    if process is not None:
        fields += [("process.name", process.name), ("process.args", process.arguments[:MAX_TEXT])]
        if isinstance(process.executable, Executable):
            fields.append(("process.executable", process.executable.path[:MAX_TEXT]))
    fields += [
        (f"hullwatch.evidence.{valid(name)}", value) for name, value in alert.evidence if isinstance(value, bytes)
    ]
    for field, raw in fields:
        encoded = raw_base64(raw[:MAX_TEXT])
        if encoded is not None:
            yield field, encoded


def _text(text: str | None) -> str | None:
    return clipped(valid(text), MAX_TEXT) if text else None


def _compact(record: Record) -> Record:
    """``record`` without ``None`` and without objects that hold nothing; empty lists and ``False`` say something."""
    compact: Record = {}
    for key, value in record.items():
        if isinstance(value, dict):
            if kept := _compact(value):
                compact[key] = kept
        elif isinstance(value, list):
            is_of_records = value and isinstance(value[0], dict)  # lists are all of one kind
            compact[key] = [_compact(each) for each in value] if is_of_records else value
        elif value is not None:
            compact[key] = value
    return compact
