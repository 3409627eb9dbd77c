"""An alert: a finding with everything that is static or known about it, ready for any format. Pure.

Ids come from the event's time, a counter and the boot id, never from chance: a replay gives byte-identical alerts.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from agent.digests import blake2b
from agent.incidents import INCIDENT, Chapter, Incident, IncidentChange, Phase
from agent.text import clipped, to_text, visible
from collectors.confinement import Widening
from collectors.events import Event, ProcessEvent
from collectors.facts import Confinement, Container, HostBaseline, Process, ProcessKey
from detectors.base import Confidence, Detector, EvidenceValue, Family, Finding, NodeView, Severity, Tier

MAX_NAME = 128
MAX_MESSAGE = 1024


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The node, as ``host.*`` of the alert names it; read once at start (``agent.host_facts``), ``""`` is not known."""

    name: str
    hostname: str
    id: str
    architecture: str
    os_name: str
    os_version: str
    os_platform: str
    os_full: str
    kernel: str


@dataclass(frozen=True, slots=True)
class Alert:
    """A finding that is told. All formats are made of this and of nothing else.

    ``sequence`` is the builder's number. ``at_ns`` is when it happened, ``created_ns`` when the agent read it.
    ``observed`` and ``baseline`` are set for drift: the confinement of the process, and that of the container's first
    process. ``subject`` is set also where ``process`` is no longer known. ``ancestors`` begin with the parent.
    ``phase`` is set for alerts that tell of the incident itself.
    """

    id: str
    sequence: int
    at_ns: int
    created_ns: int
    detector: Detector
    severity: Severity
    confidence: Confidence
    message: str
    reason: str
    subject: ProcessKey | None
    process: Process | None
    ancestors: tuple[Process, ...]
    container: Container | None
    container_id: str | None
    evidence: tuple[tuple[str, EvidenceValue], ...]
    widened: tuple[Widening, ...]
    observed: Confinement | None
    baseline: Confinement | None
    tier: Tier
    incident: Incident
    repeats: int
    node: HostBaseline
    host: HostFacts
    agent_version: str
    phase: Phase | None = None

    def chapter(self) -> Chapter:
        """The alert as a part of its incident's story."""
        return Chapter(
            at_ns=self.at_ns,
            alert_id=self.id,
            rule_id=self.detector.id,
            rule_name=self.detector.name,
            family=self.detector.family,
            severity=self.severity,
            reason=self.reason,
            pid=self.subject.pid if self.subject is not None else None,
        )


class AlertBuilder:
    """Builds the alerts of one run of the agent, and numbers them from ``first_sequence``.

    An agent that runs takes the outbox' next number, so that none comes twice among its runs; a replay starts at 1.
    """

    def __init__(self, host: HostFacts, agent_version: str, first_sequence: int = 1) -> None:
        self._host = host
        self._agent_version = agent_version
        self._next = first_sequence

    def build(
        self,
        detector: Detector,
        finding: Finding,
        event: Event,
        view: NodeView,
        incident: Incident,
        repeats: int,
    ) -> Alert:
        """The next alert."""
        return build_alert(
            detector,
            finding,
            event,
            view,
            incident=incident,
            repeats=repeats,
            sequence=self.next_sequence(),
            host=self._host,
            agent_version=self._agent_version,
        )

    def build_incident(self, change: IncidentChange, event: Event, view: NodeView) -> Alert:
        """The next alert, of an incident."""
        return build_incident(
            change, event, view, sequence=self.next_sequence(), host=self._host, agent_version=self._agent_version
        )

    @property
    def upcoming(self) -> int:
        """The number of the next alert."""
        return self._next

    def number_from(self, sequence: int) -> None:
        """Go on with this number: a replay follows the agent's."""
        self._next = sequence

    def next_sequence(self) -> int:
        """The number of the next alert, taken."""
        taken = self._next
        self._next += 1
        return taken


def build_alert(
    detector: Detector,
    finding: Finding,
    event: Event,
    view: NodeView,
    *,
    incident: Incident,
    repeats: int,
    sequence: int,
    host: HostFacts,
    agent_version: str,
) -> Alert:
    """The alert that tells ``finding``; ``sequence`` is different for each alert of a node."""
    process = _subject(finding, event, view)
    container = view.container(finding.container_id) if finding.container_id is not None else None
    observed, baseline = _vectors(detector, finding, process, view)
    reason = visible(finding.message)
    return Alert(
        id=alert_id(event.at_ns, sequence, view.host.boot_id),
        sequence=sequence,
        at_ns=event.at_ns,
        created_ns=process.observed_ns if process is not None else event.at_ns,
        detector=detector,
        severity=detector.severity if finding.severity is None else finding.severity,
        confidence=finding.confidence,
        message=clipped(_sentence(finding, container, process, reason), MAX_MESSAGE),
        reason=clipped(reason, MAX_MESSAGE),
        subject=finding.subject,
        process=process,
        ancestors=view.ancestors(process) if process is not None else (),
        container=container,
        container_id=finding.container_id,
        evidence=finding.evidence,
        widened=finding.widened,
        observed=observed,
        baseline=baseline,
        tier=view.tier,
        incident=incident,
        repeats=repeats,
        node=view.host,
        host=host,
        agent_version=agent_version,
    )


def build_incident(
    change: IncidentChange, event: Event, view: NodeView, *, sequence: int, host: HostFacts, agent_version: str
) -> Alert:
    """The alert that tells of an incident; that one is closed is no more than information."""
    incident, phase = change.incident, change.phase
    container = view.container(incident.container_id) if incident.container_id is not None else None
    rules = ", ".join(dict.fromkeys(f"{each.rule_id} {each.rule_name}" for each in incident.story))
    reason = f"an incident was {phase.value}, {incident.severity.name.lower()}: {incident.why}; its findings: {rules}"
    finding = Finding(reason, incident.container_id)
    return Alert(
        id=alert_id(event.at_ns, sequence, view.host.boot_id),
        sequence=sequence,
        at_ns=event.at_ns,
        created_ns=event.at_ns,
        detector=INCIDENT,
        severity=Severity.INFO if phase is Phase.CLOSED else incident.severity,
        confidence=Confidence.LIKELY,
        message=clipped(_sentence(finding, container, None, visible(reason)), MAX_MESSAGE),
        reason=clipped(visible(reason), MAX_MESSAGE),
        subject=None,
        process=None,
        ancestors=(),
        container=container,
        container_id=incident.container_id,
        evidence=(),
        widened=(),
        observed=None,
        baseline=None,
        tier=view.tier,
        incident=incident,
        repeats=0,
        node=view.host,
        host=host,
        agent_version=agent_version,
        phase=phase,
    )


def alert_id(at_ns: int, sequence: int, boot_id: str) -> str:
    """A UUID of version 7 (RFC 9562, 5.7): ordered by time, then by ``sequence``; no bit of it is left to chance.

    48 bits of milliseconds and 12 bits of their fraction (method 3 of 6.2), 20 bits of the counter, 42 bits of a hash
    that keeps nodes, boots and runs apart.
    """
    at_ns = max(at_ns, 0)
    milliseconds, fraction_ns = divmod(at_ns, 1_000_000)
    seed = f"{boot_id}\0{at_ns}\0{sequence}".encode("utf-8", "surrogatepass")
    digest = int.from_bytes(blake2b(seed, digest_size=8, person=b"hullwatch.alert").digest(), "big")
    bits = (milliseconds & (1 << 48) - 1) << 80 | 7 << 76 | (fraction_ns << 12) // 1_000_000 << 64
    return str(UUID(int=bits | 0b10 << 62 | (sequence & (1 << 20) - 1) << 42 | digest & (1 << 42) - 1))


def process_name(process: Process) -> str:
    """What the process is called: ``comm``, made visible; hostile, for people only."""
    return visible(to_text(process.name)) or "?"


def container_name(container: Container) -> str:
    """What a person calls the container: ``pod namespace/name container name``, its name, or the start of its id."""
    if container.pod is not None:
        pod = f"pod {container.pod.namespace}/{container.pod.name}"
        name = "" if container.pod.is_sandbox else container.pod.container_name
        return _short(f"{pod} container {name}" if name else pod)
    return _short(f"container {(container.name or container.id[:12]).removeprefix('/')}")


def _subject(finding: Finding, event: Event, view: NodeView) -> Process | None:
    """The acting task: as the event carries it, else as the state holds it."""
    if finding.subject is None:
        return None
    if isinstance(event, ProcessEvent) and event.process.key == finding.subject:
        return event.process
    return view.process(finding.subject)


def _vectors(
    detector: Detector,
    finding: Finding,
    process: Process | None,
    view: NodeView,
) -> tuple[Confinement | None, Confinement | None]:
    """Both confinements of a drift, as far as they are known."""
    if detector.family is not Family.DRIFT:
        return None, None
    first = view.first_process(finding.container_id) if finding.container_id is not None else None
    return (
        process.confinement if process is not None else None,
        first.confinement if isinstance(first, Process) else None,
    )


def _sentence(finding: Finding, container: Container | None, process: Process | None, reason: str) -> str:
    """Who, then what: the container (and its image), the program with its pid, and the detector's words."""
    parts = []
    if container is not None:
        image = f" ({_short(container.image)})" if container.image else ""
        parts.append(container_name(container) + image)
    elif finding.container_id is not None:
        parts.append(_short(f"container {finding.container_id[:12]}"))
    if process is not None:
        leader = process.thread_of or process.key
        thread = f" thread {process.key.pid}" if process.thread_of is not None else ""
        parts.append(f"process {process_name(process)} (pid {leader.pid}{thread})")
    elif finding.subject is not None:
        parts.append(f"process with pid {finding.subject.pid}")
    sentence = ": ".join(each for each in (", ".join(parts), reason) if each)
    return sentence[:1].upper() + sentence[1:]


def _short(name: str) -> str:
    return clipped(visible(name), MAX_NAME)
