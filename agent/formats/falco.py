"""The alert as Falco writes it with ``json_output: true``, for falcosidekick and its some sixty outputs. Pure.

Shape: falcosecurity/falco ``userspace/engine/formats.cpp``; names: "Supported Fields" of its documentation.
falcosidekick (``handlers.go``) takes an object with a known ``priority``, a ``rule``, a ``time`` with its offset and
``output_fields`` that hold something; ``k8s.ns.name`` and ``k8s.pod.name`` must be texts, so what is not known is left
out here and never null. What Falco has no field for stands under ``hullwatch.`` with the names of the native format.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.formats.instant import epoch_ns

Record = dict[str, Any]

SOURCE = "hullwatch"
SHORT_ID = 12  # characters of container.id in Falco

PRIORITIES = {10: "Informational", 30: "Notice", 50: "Warning", 70: "Error", 90: "Critical"}

# Falco's field, and where its value stands in the native document.
_FIELDS = (
    ("container.full_id", "container.id"),
    ("container.name", "container.name"),
    ("container.type", "container.runtime"),
    ("container.image", "container.image.name"),
    ("k8s.ns.name", "orchestrator.namespace"),
    ("k8s.pod.name", "orchestrator.resource.name"),
    ("k8s.pod.uid", "orchestrator.resource.id"),
    ("proc.name", "process.name"),
    ("proc.exepath", "process.executable"),
    ("proc.cmdline", "process.command_line"),
    ("proc.pid", "process.pid"),
    ("proc.vpid", "process.vpid"),
    ("proc.pname", "process.parent.name"),
    ("proc.pcmdline", "process.parent.command_line"),
    ("proc.ppid", "process.parent.pid"),
    ("thread.tid", "process.thread.id"),
    ("hullwatch.alert.id", "event.id"),
    ("hullwatch.severity", "event.severity"),
    ("hullwatch.family", "rule.category"),
    ("hullwatch.incident.id", "hullwatch.incident.id"),
    ("hullwatch.sensor", "hullwatch.sensor"),
    ("hullwatch.confidence", "hullwatch.confidence"),
    ("hullwatch.repeats", "hullwatch.repeats"),
    ("hullwatch.reason", "event.reason"),
)
_STEPS = tuple((field, tuple(path.split("."))) for field, path in _FIELDS)


def render(document: Record) -> Record:
    """The native document as one of Falco's."""
    time = document["@timestamp"]
    priority = PRIORITIES[document["event"]["severity"]]
    return {
        "uuid": document["event"]["id"],
        "time": time,
        "priority": priority,
        "rule": f"{document['rule']['id']} {document['rule']['name']}",
        "source": SOURCE,
        "hostname": document["host"].get("name", ""),
        "output": f"{time[11:29]}: {priority} {document['message']}",
        "tags": sorted(set(_tags(document))),
        "output_fields": dict(_output_fields(document)),
    }


def value_at(document: Record, path: str) -> Any:
    """What stands at a dotted path; ``None`` where the document has nothing."""
    return _value_at(document, tuple(path.split(".")))


def _value_at(document: Record, steps: tuple[str, ...]) -> Any:
    value: Any = document
    for step in steps:
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def image_parts(image: str) -> tuple[str, str | None]:
    """Repository and tag of an image's name; the colon of a registry's port is none of a tag."""
    name = image.partition("@")[0]
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (name, None)


def _output_fields(document: Record) -> Iterator[tuple[str, Any]]:
    yield "evt.time", epoch_ns(document["@timestamp"])
    for field, steps in _STEPS:
        value = _value_at(document, steps)
        if value is not None:
            yield field, value
    container_id = value_at(document, "container.id")
    if container_id is not None:
        yield "container.id", container_id[:SHORT_ID]
    image = value_at(document, "container.image.name")
    if image is not None:
        repository, tag = image_parts(image)
        yield "container.image.repository", repository
        if tag is not None:
            yield "container.image.tag", tag
    uid = value_at(document, "process.user.id")
    if uid is not None:
        yield "user.uid", int(uid)
    for name, value in document["hullwatch"]["evidence"].items():
        yield f"hullwatch.evidence.{name}", value if isinstance(value, str) else ", ".join(value)
    widened = document["hullwatch"]["widened"]
    if widened:
        yield "hullwatch.widened", "; ".join(f"{each['aspect']}: {each['was']} -> {each['now']}" for each in widened)


def _tags(document: Record) -> Iterator[str]:
    """Tags as Falco's own rules carry them: ``mitre_`` with the tactic, the technique's id, and our family."""
    yield SOURCE
    yield document["rule"]["category"]
    if "container" in document:
        yield "container"
    threat = document.get("threat")
    if threat is not None:
        yield from (f"mitre_{name.lower().replace(' ', '_')}" for name in threat["tactic"]["name"])
        yield from threat["technique"]["id"]
