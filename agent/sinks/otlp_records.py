"""Alerts as OpenTelemetry log records: which of an alert's facts is called what there. Pure.

Names: OpenTelemetry semantic conventions (registries ``container``, ``host``, ``k8s``, ``os``, ``process``,
``security-rule``, ``service``); a fact that they have no name for keeps its name in ECS, which merges with them. What
stands under ``hullwatch`` is one attribute each, with its structure. The body is the sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agent.formats.instant import epoch_ns

Record = dict[str, Any]

SCOPE = "hullwatch"

# opentelemetry-specification, logs/data-model-appendix.md, "Appendix B: SeverityNumber example mappings", syslog.
_SEVERITY_NUMBERS = {"info": 9, "notice": 10, "warning": 13, "error": 17, "critical": 18}
# Registry of host.arch: the names of Go for those of uname(2).
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm32", "i686": "x86", "ppc64le": "ppc64"}

_RESOURCE = {
    "host.name": "host.name",
    "host.id": "host.id",
    "host.boot.id": "host.boot.id",
    "host.os.type": "os.type",
    "host.os.name": "os.name",
    "host.os.version": "os.version",
    "host.os.full": "os.description",
    "host.os.kernel": "host.os.kernel",
    "agent.version": "service.version",
    "agent.id": "service.instance.id",
}
_ATTRIBUTES = {
    "container.runtime": "container.runtime.name",
    "orchestrator.namespace": "k8s.namespace.name",
    "orchestrator.resource.name": "k8s.pod.name",
    "orchestrator.resource.id": "k8s.pod.uid",
    "kubernetes.container.name": "k8s.container.name",
    "kubernetes.node.name": "k8s.node.name",
    "kubernetes.deployment.name": "k8s.deployment.name",
    "kubernetes.replicaset.name": "k8s.replicaset.name",
    "kubernetes.statefulset.name": "k8s.statefulset.name",
    "kubernetes.daemonset.name": "k8s.daemonset.name",
    "kubernetes.job.name": "k8s.job.name",
    "kubernetes.cronjob.name": "k8s.cronjob.name",
    "process.name": "process.executable.name",
    "process.executable": "process.executable.path",
    "process.args": "process.command_args",
    "process.start": "process.creation.time",
    "process.parent.pid": "process.parent_pid",
    "rule.name": "security_rule.name",
    "rule.category": "security_rule.category",
    "rule.description": "security_rule.description",
    "rule.ruleset": "security_rule.ruleset.name",
    "rule.reference": "security_rule.reference",
    "event.id": "log.record.uid",
}
# What is said elsewhere in the record, or is the same in every one.
_LEFT_OUT = frozenset(
    {
        "@timestamp", "ecs.version", "message", "log.level", "event.kind", "event.created", "orchestrator.type",
        "orchestrator.resource.type", "kubernetes.namespace", "kubernetes.pod.name", "kubernetes.pod.uid",
    }
)  # fmt: skip
_PARTS_ELSEWHERE = frozenset({"hullwatch", "host", "agent"})
_LABELS = (("container.labels.", "container.label."), ("kubernetes.labels.", "k8s.pod.label."))


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record; ``attributes`` hold texts, numbers, truth values, and lists and mappings of them."""

    time_ns: int
    observed_ns: int
    severity_number: int
    severity_text: str
    body: str
    event_name: str
    attributes: Record


Batch = Sequence[tuple[Record, Sequence[LogRecord]]]
"""Resources, and the records of each."""


def resource(document: Record) -> Record:
    """The attributes of the agent and its node, in the order of their names: equal for all alerts of one node."""
    parts = (("host.", document["host"]), ("agent.", document["agent"]))
    found: Record = {
        _RESOURCE[path]: value
        for prefix, part in parts
        for path, value in _leaves(part, prefix)
        if value and path in _RESOURCE
    }
    found["service.name"] = SCOPE
    architecture = document["host"].get("architecture")
    if architecture:
        found["host.arch"] = _ARCHITECTURES.get(architecture, architecture)
    return dict(sorted(found.items()))


def log_record(document: Record) -> LogRecord:
    """The alert itself."""
    level = document["log"]["level"]
    attributes = dict(_attributes(document))
    attributes["event.id"] = document["event"]["id"]
    return LogRecord(
        time_ns=epoch_ns(document["@timestamp"]),
        observed_ns=epoch_ns(document["event"]["created"]),
        severity_number=_SEVERITY_NUMBERS[level],
        severity_text=level,
        body=document["message"],
        event_name=f"hullwatch.{document['rule']['name']}",
        attributes=attributes,
    )


def _attributes(document: Record) -> Iterator[tuple[str, Any]]:
    for path, value in _leaves({key: each for key, each in document.items() if key not in _PARTS_ELSEWHERE}, ""):
        if path in _LEFT_OUT:
            continue
        prefix, instead = next((each for each in _LABELS if path.startswith(each[0])), ("", ""))
        yield (instead + path.removeprefix(prefix) if prefix else _ATTRIBUTES.get(path, path)), value
    for key, value in document["hullwatch"].items():
        if isinstance(value, dict) and set(value) == {"id"}:
            yield f"hullwatch.{key}.id", value["id"]
        else:
            yield f"hullwatch.{key}", value


def _leaves(value: Record, prefix: str) -> Iterator[tuple[str, Any]]:
    """Each value that is no mapping, with its dotted path."""
    for key, each in value.items():
        if isinstance(each, dict):
            yield from _leaves(each, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", each
