"""The shapes of the native document: what an alert may hold, in the order in which it is written.

Names are those of ECS 9.0 (https://www.elastic.co/docs/reference/ecs); what it has no name for is under ``hullwatch``.
``None`` is left out, at every depth: that is why these are msgspec's structures and no mappings. ``Raw`` is JSON that
many alerts share, and that is made once. Pure.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

Lines = list[str]


class Part(msgspec.Struct, omit_defaults=True, gc=False):
    """A part of the document; gc is off because no part can hold itself."""


class Id(Part):
    """Somebody or something that is known by its id alone."""

    id: str


class Event(Part):
    """``event``: what kind of entry this is."""

    kind: str
    id: str
    severity: int
    category: Lines
    type: Lines
    action: str
    module: str
    dataset: str
    created: str
    reason: str


class Log(Part):
    """``log``."""

    level: str


class Rule(Part):
    """``rule``: the detector."""

    id: str
    name: str
    ruleset: str
    category: str
    description: str
    reference: str | None = None


class Named(Part):
    """Ids and names in the same order."""

    id: Lines
    name: Lines


class Threat(Part):
    """``threat``: techniques of ATT&CK, and their tactics."""

    framework: str
    tactic: Named
    technique: Named


class ThreadCapabilities(Part):
    """Names, as JSON."""

    effective: Raw
    permitted: Raw


class Thread(Part):
    """``process.thread``: the acting task."""

    id: int
    capabilities: ThreadCapabilities | None = None


class Ancestor(Part):
    """A process on the way up."""

    pid: int
    entity_id: str
    name: str
    executable: str | None = None
    command_line: str | None = None


class Parent(Part):
    """``process.parent``; only its pid where it is not known."""

    pid: int
    entity_id: str | None = None
    name: str | None = None
    executable: str | None = None
    args: Lines | None = None
    command_line: str | None = None
    start: str | None = None


class Process(Part):
    """``process``; of one that ended before anybody looked, only who it was."""

    pid: int
    entity_id: str
    name: str | None = None
    executable: str | None = None
    vpid: int | None = None
    args: Lines | None = None
    command_line: str | None = None
    start: str | None = None
    parent: Raw | Parent | None = None
    thread: Thread | None = None
    user: Id | None = None
    real_user: Id | None = None
    saved_user: Id | None = None
    group: Id | None = None


class Image(Part):
    """``container.image``."""

    name: str


class Container(Part):
    """``container``."""

    id: str
    name: str | None = None
    runtime: str | None = None
    image: Image | None = None
    labels: dict[str, str] | None = None


class Workload(Part):
    """``orchestrator.resource.parent``: what a person deployed."""

    type: str


class Resource(Part):
    """``orchestrator.resource``: the pod."""

    type: str
    name: str | None = None
    id: str | None = None
    parent: Workload | None = None


class Orchestrator(Part, kw_only=True):
    """``orchestrator``."""

    type: str
    namespace: str | None = None
    resource: Resource


class Boot(Part):
    """``host.boot``."""

    id: str | None = None


class System(Part):
    """``host.os``."""

    type: str
    name: str | None = None
    version: str | None = None
    platform: str | None = None
    full: str | None = None
    kernel: str | None = None


class Host(Part, kw_only=True):
    """``host``: the node."""

    name: str | None = None
    hostname: str | None = None
    id: str | None = None
    architecture: str | None = None
    boot: Boot | None = None
    os: System


class AgentPart(Part):
    """``agent``: hullwatch itself."""

    type: str
    version: str
    id: str
    name: str


class Widened(Part):
    """One aspect in which a process is less confined than its container."""

    dimension: str
    aspect: str
    was: str
    now: str


class CapabilityNames(Part):
    """The five sets; one that is empty is left out."""

    inheritable: Raw | None = None
    permitted: Raw | None = None
    effective: Raw | None = None
    bounding: Raw | None = None
    ambient: Raw | None = None


class Vector(Part, kw_only=True):
    """A whole confinement."""

    namespaces: dict[str, str]
    host_namespaces: Lines
    root: str
    root_is_host: bool
    cwd: str
    uids: str
    gids: str
    capabilities: CapabilityNames | None = None
    capabilities_unknown: str | None = None
    no_new_privs: str
    seccomp: str
    lsm_label: str
    cgroups: Lines


class Vectors(Part):
    """``hullwatch.confinement``: of the process, and of the first process of its container."""

    observed: Raw | None = None
    container: Raw | None = None


class ChapterPart(Part):
    """One alert in the story of an incident."""

    timestamp: str
    alert_id: str
    rule_id: str
    rule_name: str
    severity: int
    reason: str
    pid: int | None = None


class IncidentPart(Part):
    """``hullwatch.incident``: its id; of an alert that tells of the incident itself, all of it."""

    id: str
    phase: str | None = None
    severity: int | None = None
    why: str | None = None
    start: str | None = None
    end: str | None = None
    findings: int | None = None
    story: list[ChapterPart] | None = None


class RawBytes(Part):
    """The bytes of a field that was not UTF-8."""

    field: str
    base64: str


class Own(Part, kw_only=True):
    """``hullwatch``."""

    sensor: str
    confidence: str
    evidence: dict[str, str | Lines]
    widened: list[Widened]
    confinement: Vectors | None = None
    ancestors: list[Raw]
    incident: IncidentPart
    repeats: int
    raw: list[RawBytes]


class Document(Part, kw_only=True):
    """One alert."""

    timestamp: str = msgspec.field(name="@timestamp")
    ecs: Raw
    event: Event
    log: Log
    message: str
    rule: Raw
    threat: Raw | None = None
    process: Process | None = None
    container: Container | None = None
    orchestrator: Orchestrator | None = None
    kubernetes: dict[str, Any] | None = None
    host: Raw
    agent: Raw
    hullwatch: Own
