"""Alerts as OpenTelemetry log records: which of an alert's facts is called what there. Pure.

Names: OpenTelemetry semantic conventions (registries ``container``, ``host``, ``k8s``, ``os``, ``process``,
``security-rule``, ``service``); a fact that they have no name for keeps its name in ECS, which merges with them. What
stands under ``hullwatch`` is one attribute each, with its structure. The body is the sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from agent.formats.instant import epoch_ns

Record = dict[str, Any]
Parts = dict[str, msgspec.Raw]

CACHED_RESOURCES = 4
CACHED_PARTS = 128

_PARTS = msgspec.json.Decoder(Parts)
_NOTHING = msgspec.Raw(b"{}")

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
_SHARED_PARTS = ("rule", "threat", "container", "orchestrator", "kubernetes")
_PARTS_ELSEWHERE = frozenset(
    {*_SHARED_PARTS, "@timestamp", "ecs", "event", "log", "message", "process", "host", "agent", "hullwatch"}
)
_LABELS = (("container.labels.", "container.label."), ("kubernetes.labels.", "k8s.pod.label."))


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """Attributes that are the same object in many records, so that an encoding makes them once."""

    attributes: Record


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record; ``attributes`` hold texts, numbers, truth values, and lists and mappings of them.

    A value may also be ``Raw``: JSON of one that other alerts have as well. ``shared`` are more attributes, of other
    names.
    """

    time_ns: int
    observed_ns: int
    severity_number: int
    severity_text: str
    body: str
    event_name: str
    attributes: Record
    shared: tuple[Shared, ...] = ()

    def all_attributes(self) -> Record:
        """The attributes, wherever they stand."""
        found = dict(self.attributes)
        for each in self.shared:
            found |= each.attributes
        return found


Batch = Sequence[tuple[Record, Sequence[LogRecord]]]
"""Resources, and the records of each."""


def parts_of(document: bytes) -> Parts:
    """The parts of a native document, as JSON still: what many alerts share is looked at once."""
    return _PARTS.decode(document)


def resource(parts: Parts) -> Record:
    """The attributes of the agent and its node, in the order of their names: equal for all alerts of one node."""
    return _resource(bytes(parts["host"]), bytes(parts["agent"]))


def log_record(parts: Parts) -> LogRecord:
    """The alert itself."""
    event = msgspec.json.decode(parts["event"])
    level = msgspec.json.decode(parts["log"])["level"]
    process = _PARTS.decode(parts["process"]) if "process" in parts else {}
    shared = [_shared(key, bytes(parts[key])) for key in _SHARED_PARTS if key in parts]
    if "parent" in process:
        shared.append(_shared("process.parent", bytes(process["parent"])))
    attributes = dict(_named("event", event))
    attributes["event.id"] = event["id"]
    attributes |= _process(process)
    for key in parts.keys() - _PARTS_ELSEWHERE:
        attributes |= _named(key, msgspec.json.decode(parts[key]))
    attributes |= _own(_PARTS.decode(parts["hullwatch"]))
    return LogRecord(
        time_ns=epoch_ns(msgspec.json.decode(parts["@timestamp"])),
        observed_ns=epoch_ns(event["created"]),
        severity_number=_SEVERITY_NUMBERS[level],
        severity_text=level,
        body=msgspec.json.decode(parts["message"]),
        event_name=f"hullwatch.{event['action']}",
        attributes=attributes,
        shared=tuple(shared),
    )


@lru_cache(CACHED_RESOURCES)
def _resource(host_json: bytes, agent_json: bytes) -> Record:
    host: Record = msgspec.json.decode(host_json)
    agent: Record = msgspec.json.decode(agent_json)
    found: Record = {
        _RESOURCE[path]: value
        for path, value in (*_leaves(host, "host."), *_leaves(agent, "agent."))
        if value and path in _RESOURCE
    }
    found["service.name"] = SCOPE
    architecture = host.get("architecture")
    if architecture:
        found["host.arch"] = _ARCHITECTURES.get(architecture, architecture)
    return dict(sorted(found.items()))


@lru_cache(CACHED_PARTS)
def _shared(key: str, part: bytes) -> Shared:
    """The attributes of a part that is the same for all alerts of a rule, of a container, or of a parent."""
    return Shared(_named(key, msgspec.json.decode(part)))


def _process(parts: Parts) -> Record:
    """Its sets of capabilities are many processes'."""
    found: Record = {}
    for key, part in parts.items():
        match key:
            case "parent":
                pass
            case "thread":
                thread = _PARTS.decode(part)
                sets = _PARTS.decode(thread.pop("capabilities", _NOTHING))
                found |= {f"process.thread.{name}": msgspec.json.decode(each) for name, each in thread.items()}
                found |= {f"process.thread.capabilities.{kind}": each for kind, each in sets.items()}
            case _:
                value = msgspec.json.decode(part)
                path = f"process.{key}"
                if isinstance(value, dict):
                    found |= _named(path, value)
                else:
                    found[_ATTRIBUTES.get(path, path)] = value
    return found


def _named(key: str, part: Any) -> Record:
    """The attributes of a part, under their names here."""
    if not isinstance(part, dict):
        return {} if key in _LEFT_OUT else {_ATTRIBUTES.get(key, key): part}
    return {_name(path): value for path, value in _leaves(part, f"{key}.") if path not in _LEFT_OUT}


def _name(path: str) -> str:
    for prefix, instead in _LABELS:
        if path.startswith(prefix):
            return instead + path.removeprefix(prefix)
    return _ATTRIBUTES.get(path, path)


def _own(parts: Parts) -> Record:
    """What stands under ``hullwatch``; each vector, the ancestors and the aspects are many alerts'."""
    found: Record = {}
    for key, part in parts.items():
        match key:
            case "confinement":
                found["hullwatch.confinement"] = _PARTS.decode(part)
            case "ancestors" | "widened":
                found[f"hullwatch.{key}"] = part
            case _:
                value = msgspec.json.decode(part)
                if isinstance(value, dict) and value.keys() == {"id"}:
                    found[f"hullwatch.{key}.id"] = value["id"]
                else:
                    found[f"hullwatch.{key}"] = value
    return found


def _leaves(value: Record, prefix: str) -> Iterator[tuple[str, Any]]:
    """Each value that is no mapping, with its dotted path."""
    for key, each in value.items():
        if isinstance(each, dict):
            yield from _leaves(each, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", each
