"""The alert in Elastic Common Schema: one JSON object on one line, closed under ``docs/alert.schema.json``.

Its shapes are in ``agent.formats.ecs_document``. Values of evidence are texts or lists of texts, always: an index that
learnt a number there would refuse the alert of another rule. Pure, and the same bytes for the same alert.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw

from agent import describe
from agent.formats import ecs_document as shape
from agent.formats.ecs_confinement import CACHED, MAX_TEXT, Same, raw_json, vector
from agent.formats.ecs_process import ancestors_part, process_part, raw_part
from agent.formats.instant import timestamp
from agent.formats.kubernetes_fields import kubernetes_fields, workload_kind
from agent.report import Alert, HostFacts
from agent.text import clipped, to_text, valid, visible_line
from collectors.facts import Container, HostBaseline
from detectors.base import Detector, EvidenceValue, Family, Severity

ECS_VERSION = "9.0.0"
MAX_LABELS = 64
MAX_LABEL = 256
MAX_EVIDENCE_ITEMS = 64

Record = dict[str, Any]

_ECS = raw_json({"version": ECS_VERSION})
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
    Family.OPERATOR: (["intrusion_detection"], ["info"]),
}


def encode(alert: Alert) -> bytes:
    """The alert as one line without its line feed: valid UTF-8, and no character in it that a terminal obeys."""
    return visible_line(msgspec.json.encode(_document(alert)))


def to_ecs(alert: Alert) -> Record:
    """The alert as a document; keys that have no value are left out."""
    document: Record = msgspec.json.decode(msgspec.json.encode(_document(alert)))
    return document


def _document(alert: Alert) -> shape.Document:
    same_detector = Same(alert.detector, None)
    return shape.Document(
        timestamp=timestamp(alert.at_ns),
        ecs=_ECS,
        event=_event(alert),
        log=shape.Log(_LEVELS[alert.severity]),
        message=alert.message,
        rule=_rule(same_detector),
        threat=_threat(same_detector),
        process=process_part(alert),
        container=_container(alert),
        orchestrator=_orchestrator(alert.container),
        kubernetes=kubernetes_fields(alert.container),
        host=_host(Same(alert.host, alert.node)),
        agent=_agent(Same(alert.host, alert.agent_version)),
        hullwatch=_own(alert),
    )


def _event(alert: Alert) -> shape.Event:
    family = alert.detector.family
    category, kind = _CATEGORIES[family]
    return shape.Event(
        kind="alert",
        id=alert.id,
        severity=int(alert.severity),
        category=category,
        type=kind,
        action=alert.detector.name,
        module="hullwatch",
        dataset=f"hullwatch.{family.value}",
        created=timestamp(alert.created_ns),
        reason=alert.reason,
    )


@lru_cache(CACHED)
def _rule(same: Same[Detector, None]) -> Raw:
    detector = same.value
    return raw_json(
        shape.Rule(
            id=detector.id,
            name=detector.name,
            ruleset="operator" if detector.family is Family.OPERATOR else "hullwatch",
            category=detector.family.value,
            description=detector.summary,
            reference=next(iter(detector.references), None),
        )
    )


@lru_cache(CACHED)
def _threat(same: Same[Detector, None]) -> Raw | None:
    techniques = same.value.techniques
    if not techniques:
        return None
    tactics = dict.fromkeys((each.tactic_id, each.tactic) for each in techniques)
    return raw_json(
        shape.Threat(
            framework="MITRE ATT&CK",
            tactic=shape.Named([tactic_id for tactic_id, _ in tactics], [tactic for _, tactic in tactics]),
            technique=shape.Named([each.id for each in techniques], [each.name for each in techniques]),
        )
    )


def _container(alert: Alert) -> shape.Container | None:
    container = alert.container
    if container is None:
        return None if alert.container_id is None else shape.Container(valid(alert.container_id))
    image = _text(container.image)
    return shape.Container(
        id=valid(container.id),
        name=_text(container.name and container.name.removeprefix("/")),
        runtime=valid(container.runtime),
        image=None if image is None else shape.Image(image),
        labels=_labels(container),
    )


def _labels(container: Container) -> dict[str, str] | None:
    """Labels with ``_`` for dots, as Beats write them: an index takes ``a`` and ``a.b`` for a value and an object."""
    labels: dict[str, str] = {}
    for name, value in sorted(container.labels)[:MAX_LABELS]:
        labels.setdefault(clipped(valid(name), MAX_LABEL).replace(".", "_") or "_", clipped(valid(value), MAX_LABEL))
    return labels or None


def _orchestrator(container: Container | None) -> shape.Orchestrator | None:
    if container is None:
        return None
    if container.pod is None:
        if container.pod_uid is None:
            return None
        return shape.Orchestrator(type="kubernetes", resource=shape.Resource(type="pod", id=valid(container.pod_uid)))
    pod = container.pod
    return shape.Orchestrator(
        type="kubernetes",
        namespace=_text(pod.namespace),
        resource=shape.Resource(
            type="pod",
            name=_text(pod.name),
            id=_text(pod.uid),
            parent=None if (kind := workload_kind(container)) is None else shape.Workload(kind),
        ),
    )


@lru_cache(1)
def _host(same: Same[HostFacts, HostBaseline]) -> Raw:
    host = same.value
    boot_id = _text(same.beside.boot_id)
    return raw_json(
        shape.Host(
            name=_text(host.name),
            hostname=_text(host.hostname),
            id=_text(host.id),
            architecture=_text(host.architecture),
            boot=None if boot_id is None else shape.Boot(boot_id),
            os=shape.System(
                type="linux",
                name=_text(host.os_name),
                version=_text(host.os_version),
                platform=_text(host.os_platform),
                full=_text(host.os_full),
                kernel=_text(host.kernel),
            ),
        )
    )


@lru_cache(1)
def _agent(same: Same[HostFacts, str]) -> Raw:
    host = same.value
    return raw_json(shape.AgentPart(type="hullwatch", version=same.beside, id=valid(host.id), name=valid(host.name)))


def _own(alert: Alert) -> shape.Own:
    return shape.Own(
        sensor=alert.tier.value,
        confidence=alert.confidence.value,
        evidence={valid(name): _evidence(value) for name, value in alert.evidence},
        widened=[
            shape.Widened(
                each.dimension.value,
                each.aspect,
                clipped(describe.value(each.was), MAX_TEXT),
                clipped(describe.value(each.now), MAX_TEXT),
            )
            for each in alert.widened
        ],
        confinement=_vectors(alert),
        ancestors=ancestors_part(alert),
        incident=_incident(alert),
        repeats=alert.repeats,
        raw=raw_part(alert),
    )


def _vectors(alert: Alert) -> shape.Vectors | None:
    if alert.observed is None and alert.baseline is None:
        return None
    return shape.Vectors(
        observed=None if alert.observed is None else vector(alert.observed, alert.node),
        container=None if alert.baseline is None else vector(alert.baseline, alert.node),
    )


def _incident(alert: Alert) -> shape.IncidentPart:
    """The id of the story; of an alert that tells of it, all of it in the order in which it happened."""
    incident = alert.incident
    if alert.phase is None:
        return shape.IncidentPart(incident.id)
    return shape.IncidentPart(
        id=incident.id,
        phase=alert.phase.value,
        severity=int(incident.severity),
        why=clipped(valid(incident.why), MAX_TEXT),
        start=timestamp(incident.first_ns),
        end=timestamp(incident.last_ns),
        findings=incident.findings,
        story=[
            shape.ChapterPart(
                timestamp=timestamp(each.at_ns),
                alert_id=each.alert_id,
                rule_id=each.rule_id,
                rule_name=each.rule_name,
                severity=int(each.severity),
                reason=each.reason,
                pid=each.pid,
            )
            for each in incident.story
        ],
    )


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


def _text(text: str | None) -> str | None:
    return clipped(valid(text), MAX_TEXT) if text else None
