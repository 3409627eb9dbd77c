"""Which findings are one story, how bad the story is, and when that is to be told.

Findings of one container inside a sliding window are one incident: what its processes did, also after they left it, and
what the host ran for it. A finding that names no container belongs to the container for which another finding named
the same process, else to the node. An incident is *opened* (told) by the first thing that somebody did, medium or
worse; a lone exposure is worth knowing, and no incident. It is told again when its severity is *raised*, and when it is
*closed*, after a window without a finding.

Its severity is the highest of its findings; a behaviour counts one step higher where an exposure meets it (``JOINS``:
the way out was given, and is used), and the whole is critical when a confinement widened (HW-101 to HW-109) and a
technique goes with it. A container's exposures count for as long as it is remembered, not only for a window: they were
told when it started.

Owned by the pipeline's thread. No clock: time is the event's, so a replay gives the same. Ids are made of boot id,
container and the number of the container's incident, which ``agent.incident_memory`` keeps: an agent that is started
anew in the middle of one goes on with the same id. Bounded: ``limit`` open incidents and containers with exposures
(the one that was quiet for longest is forgotten and counted), ``MAX_STORY`` findings of a story.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from agent.digests import blake2b
from collectors.facts import ProcessKey
from detectors.base import Detector, Family, Severity, Tier

WINDOW_NS = 15 * 60 * 1_000_000_000
MAX_STORY = 64
SHORT_STORY = 16  # while memory is short (agent.memory)
MAX_SUBJECTS = 16_384

BEHAVIOUR = frozenset({Family.DRIFT, Family.TECHNIQUE, Family.OPERATOR})
WIDENED = frozenset(f"HW-{number}" for number in range(101, 110))
"""The drift that is an escape in itself; with a technique it is beyond doubt."""

JOINS: dict[str, frozenset[str]] = {
    # privileged: every device, every capability, no filter
    "HW-301": frozenset(
        {"HW-101", "HW-103", "HW-106", "HW-107", "HW-112", "HW-201", "HW-202", "HW-203", "HW-204", "HW-205", "HW-206"}
        | {"HW-207", "HW-209", "HW-213", "HW-215", "HW-216", "HW-217", "HW-218", "HW-219", "HW-221"}
    ),
    # the host's namespaces: its processes and its abstract sockets are in sight
    "HW-302": frozenset({"HW-101", "HW-106", "HW-201", "HW-210", "HW-213", "HW-214", "HW-220"}),
    # capabilities: mounts, modules, raw disks, other processes, handles, bpf
    "HW-303": frozenset(
        {"HW-101", "HW-103", "HW-112", "HW-203", "HW-204", "HW-206", "HW-207", "HW-209", "HW-213", "HW-215", "HW-216"}
        | {"HW-217", "HW-218"}
    ),
    "HW-304": frozenset({"HW-210"}),  # the socket, and a connection to it
    # the host's files, and with /sys or /proc the kernel's
    "HW-305": frozenset(
        {"HW-103", "HW-104", "HW-105", "HW-202", "HW-205", "HW-206", "HW-209", "HW-219", "HW-220", "HW-221"}
    ),
    "HW-306": frozenset({"HW-112", "HW-203", "HW-204"}),  # devices
    "HW-307": frozenset({"HW-108", "HW-109", "HW-111", "HW-216", "HW-218", "HW-225"}),  # no filter in the way
    "HW-309": frozenset({"HW-112", "HW-204", "HW-205", "HW-206", "HW-209"}),  # the kernel's files, writable
    "HW-310": frozenset({"HW-113"}),  # a mount that propagates
    "HW-311": frozenset({"HW-104", "HW-114", "HW-221"}),  # a bundle made to escape
}
"""Which exposure is the way of which behaviours: the two are on one dimension. HW-308 is true of most containers."""

INCIDENT = Detector(
    id="HW-001",
    name="incident",
    family=Family.INCIDENT,
    severity=Severity.MEDIUM,
    techniques=(),
    wants=(),
    check=lambda _event, _view: iter(()),
    weakest=Tier.POLL,
    summary="Findings of one container make one story: it was opened, got worse, or has ended.",
    benign=(
        "What is honest in its findings is honest in the story: except those, and there is none.",
        "A workload that uses what it was given on purpose (an agent of the node) makes a story one step worse.",
    ),
    misses=(
        "Findings of several containers that belong together: each container has a story of its own.",
        (
            "What was told before an agent that was started anew: its stories begin again, under the same id where it "
            "has a state directory."
        ),
    ),
    advice=(
        "Read hullwatch.incident.story from the top: what was given, what was done with it, what came of it.",
        "Page people for this rule, and keep the single findings for those who look into it.",
    ),
    references=("https://attack.mitre.org/techniques/T1611/",),
)
"""What the alerts of incidents bear as their rule; it is no detector: the engine makes them of findings."""

_STEPS = tuple(Severity)


class Phase(StrEnum):
    """What is told of an incident."""

    OPENED = "opened"
    RAISED = "raised"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Chapter:
    """One finding of a story; ``alert_id`` is its alert's."""

    at_ns: int
    alert_id: str
    rule_id: str
    rule_name: str
    family: Family
    severity: Severity
    reason: str
    pid: int | None


@dataclass(frozen=True, slots=True)
class Incident:
    """A story: its id, the times of its first and latest finding, and its chapters in the order of their times.

    ``why`` says how ``severity`` came about. ``findings`` counts also those for which the story had no room.
    """

    id: str
    container_id: str | None
    first_ns: int
    last_ns: int
    findings: int = 0
    severity: Severity = Severity.INFO
    why: str = ""
    is_told: bool = False
    story: tuple[Chapter, ...] = ()


@dataclass(frozen=True, slots=True)
class IncidentChange:
    """Something about an incident that is to be told."""

    phase: Phase
    incident: Incident


class Numbered(NamedTuple):
    """How many incidents a container has had, and when the latest was last heard of."""

    container_id: str | None
    number: int
    last_ns: int


class _Verdict(NamedTuple):
    """How bad a story is, why, and how bad its behaviours alone are."""

    severity: Severity
    why: str
    acted: Severity


class Incidents:
    """The open incidents, one at most for each container; findings without a container share the node's."""

    def __init__(self, boot_id: str, *, window_ns: int = WINDOW_NS, limit: int = 4096) -> None:
        self._boot_id = boot_id
        self._window_ns = window_ns
        self._limit = limit
        self._open: OrderedDict[str | None, Incident] = OrderedDict()
        self._numbers: OrderedDict[str | None, int] = OrderedDict()
        self._before: dict[str | None, Numbered] = {}
        self._exposures: OrderedDict[str, dict[str, Chapter]] = OrderedDict()
        self._subjects: OrderedDict[ProcessKey, str] = OrderedDict()
        self._overdue: list[IncidentChange] = []
        self._max_story = MAX_STORY
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._open)

    def shorten(self, *, is_short: bool) -> None:
        """Keep ``SHORT_STORY`` findings of each story from now on, those there are included; or as many as before."""
        self._max_story = SHORT_STORY if is_short else MAX_STORY
        if is_short:
            for container_id, incident in self._open.items():
                self._open[container_id] = replace(incident, story=_shortened(list(incident.story), SHORT_STORY))

    def assign(self, container_id: str | None, at_ns: int, subject: ProcessKey | None = None) -> Incident:
        """The incident that a finding of that container belongs to, made when the last one is too long ago.

        An event that comes late and is older than the incident belongs to it within the same window.
        """
        if subject is not None:
            container_id = self._container(container_id, subject)
        known = self._open.get(container_id)
        if known is None or not self._covers(known, at_ns):
            if known is not None:
                self._close(known)
            current = Incident(self._next_id(container_id, at_ns), container_id, at_ns, at_ns)
        else:
            current = replace(known, last_ns=max(known.last_ns, at_ns))
        current = replace(current, findings=current.findings + 1)
        self._put(current)
        return current

    def record(self, incident: Incident, chapter: Chapter) -> tuple[IncidentChange, ...]:
        """Write a finding into its story; what is to be told because of it, closed incidents first."""
        current = self._open.get(incident.container_id, incident)
        if incident.container_id is not None and chapter.family is Family.EXPOSURE:
            self._remember_exposure(incident.container_id, chapter)
        story = sorted((*current.story, chapter), key=lambda each: each.at_ns)
        severity, why, acted = self._judge(incident.container_id, story)
        before = current.severity
        phase = None
        if current.is_told:
            phase = Phase.RAISED if severity > before else None
        elif acted >= Severity.MEDIUM:
            phase = Phase.OPENED
        current = replace(
            current,
            story=_shortened(story, self._max_story),
            severity=max(severity, before),
            why=why if severity >= before else current.why,
            is_told=current.is_told or phase is not None,
        )
        self._open[incident.container_id] = current
        changes, self._overdue = self._overdue, []
        if phase is not None:
            changes.append(IncidentChange(phase, self._whole(current)))
        return tuple(changes)

    def expire(self, at_ns: int) -> tuple[IncidentChange, ...]:
        """Close what has been quiet for a window at that time, or lies a window ahead: the clock was set back."""
        for container_id in [key for key, each in self._open.items() if not self._covers(each, at_ns)]:
            self._close(self._open.pop(container_id))
        changes, self._overdue = self._overdue, []
        return tuple(changes)

    def current(self) -> tuple[Incident, ...]:
        """The open incidents that were told, each with the exposures of its container."""
        return tuple(self._whole(each) for each in self._open.values() if each.is_told)

    def numbers(self) -> tuple[Numbered, ...]:
        """The latest incident of every container, also of those that an agent before this one knew."""
        heard = {container_id: each.last_ns for container_id, each in self._open.items()}
        own = (Numbered(each, number, heard.get(each, 0)) for each, number in self._numbers.items())
        return (*self._before.values(), *own)

    def resume(self, numbers: Iterable[Numbered]) -> None:
        """Take up what an agent before this one told: a story that goes on keeps its id. Before any finding."""
        self._before = {each.container_id: each for each in numbers}

    def exposures(self) -> dict[str, tuple[Chapter, ...]]:
        """What was told of how each container was given a way out."""
        return {container_id: tuple(given.values()) for container_id, given in self._exposures.items()}

    def _covers(self, incident: Incident, at_ns: int) -> bool:
        """That moment is within the incident's window."""
        return incident.first_ns - self._window_ns <= at_ns <= incident.last_ns + self._window_ns

    def _container(self, container_id: str | None, subject: ProcessKey) -> str | None:
        """The container of a finding: its own, else that for which the same process was named before."""
        if container_id is None:
            return self._subjects.get(subject)
        self._subjects[subject] = container_id
        self._subjects.move_to_end(subject)
        if len(self._subjects) > MAX_SUBJECTS:
            self._subjects.popitem(last=False)
        return container_id

    def _judge(self, container_id: str | None, story: list[Chapter]) -> _Verdict:
        """How bad the story is and why, and how bad is what somebody did in it."""
        worst = max(story, key=lambda each: each.severity)
        acts = [each for each in story if each.family in BEHAVIOUR]
        acted = max((each.severity for each in acts), default=Severity.INFO)
        drift = next((each for each in acts if each.rule_id in WIDENED), None)
        technique = next(
            (each for each in acts if each.family is Family.TECHNIQUE and each.severity > Severity.INFO), None
        )
        if drift is not None and technique is not None:
            return _Verdict(Severity.CRITICAL, f"{_name(drift)} came with {_name(technique)}", Severity.CRITICAL)
        verdict = _Verdict(worst.severity, f"the worst is {_name(worst)}", acted)
        for rule_id, exposure in self._exposures.get(container_id or "", {}).items():
            uses = [each for each in acts if each.rule_id in JOINS.get(rule_id, frozenset())]
            how = max(uses, key=lambda each: each.severity, default=None)
            if how is not None and _step_up(how.severity) > verdict.acted:
                why = f"{_name(exposure)} was given, and {_name(how)} uses it"
                stepped = _step_up(how.severity)
                verdict = _Verdict(max(stepped, worst.severity), why, stepped)
        return verdict

    def _whole(self, incident: Incident) -> Incident:
        """The incident with the exposures of its container that were told before it began."""
        told = {each.rule_id for each in incident.story}
        given = self._exposures.get(incident.container_id or "", {})
        before = [each for rule_id, each in given.items() if rule_id not in told]
        story = sorted((*before, *incident.story), key=lambda each: each.at_ns)
        return replace(incident, story=_shortened(story, self._max_story))

    def _remember_exposure(self, container_id: str, chapter: Chapter) -> None:
        self._exposures.setdefault(container_id, {})[chapter.rule_id] = chapter
        self._exposures.move_to_end(container_id)
        if len(self._exposures) > self._limit:
            self._exposures.popitem(last=False)

    def _close(self, incident: Incident) -> None:
        if incident.is_told:
            self._overdue.append(IncidentChange(Phase.CLOSED, self._whole(incident)))

    def _put(self, incident: Incident) -> None:
        self._open[incident.container_id] = incident
        self._open.move_to_end(incident.container_id)
        if len(self._open) > self._limit:
            _, victim = self._open.popitem(last=False)
            self._close(victim)
            self.evicted += 1

    def _next_id(self, container_id: str | None, at_ns: int) -> str:
        before = self._before.pop(container_id, None)
        if before is None:
            number = self._numbers.get(container_id, 0) + 1
        else:
            number = before.number if at_ns <= before.last_ns + self._window_ns else before.number + 1
        self._numbers[container_id] = number
        self._numbers.move_to_end(container_id)
        if len(self._numbers) > 16 * self._limit:
            self._numbers.popitem(last=False)
        seed = f"{self._boot_id}\0{container_id or ''}\0{number}".encode("utf-8", "surrogatepass")
        return blake2b(seed, digest_size=16, person=b"hullwatch.inc").hexdigest()


def _shortened(story: list[Chapter], limit: int) -> tuple[Chapter, ...]:
    """The story with room for what comes: of what is too much, the mildest of the latest goes first."""
    kept = list(story)
    while len(kept) > limit:
        mildest = min(range(len(kept)), key=lambda index: (kept[index].severity, -index))
        del kept[mildest]
    return tuple(kept)


def _step_up(severity: Severity) -> Severity:
    return _STEPS[min(_STEPS.index(severity) + 1, len(_STEPS) - 1)]


def _name(chapter: Chapter) -> str:
    return f"{chapter.rule_id} {chapter.rule_name}"
