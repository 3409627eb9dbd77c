"""From an event to alerts: state, detectors, policy, repetition, incident, report. The whole core, in one thread.

``Pipeline.feed`` is a function of the events fed so far and of nothing else: no clock, no /proc, no network. The agent
feeds it from its inbox; anything else that has the same events gets the same alerts.

A detector that fails does not stop the others: this is one of the two places that catch broadly, and it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from agent import tally
from agent.dedupe import Dedupe, Repeated
from agent.incidents import IncidentChange, Incidents
from agent.policy import Policy
from agent.report import Alert, AlertBuilder
from agent.settled import Settled
from agent.state import NodeState
from collectors.events import (
    AgentTrouble,
    AlertsNumbered,
    Event,
    Exec,
    ProcessEvent,
    Seen,
    SweepDone,
    TroubleKind,
)
from collectors.facts import Process
from detectors.base import Blind, Detector, Family, Finding, Holder, Member, holder


@dataclass(slots=True)
class DetectorCounts:
    """What one detector did: findings raised, blind answers by reason, failures by error, and the time it took."""

    findings: int = 0
    checks: int = 0
    spent_ns: int = 0
    blind: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)


class _Interested:
    """The detectors that want a kind of event, and which of them need be asked."""

    def __init__(self, kind: type[Event], detectors: Iterable[Detector]) -> None:
        self.all = tuple(each for each in detectors if any(issubclass(kind, wanted) for wanted in each.wants))
        is_of_process = issubclass(kind, ProcessEvent)
        self.compare = is_of_process and any(each.compares for each in self.all)
        self.holding = tuple(each for each in self.all if each.holds and kind in (Seen, Exec))
        self._rest = {
            (is_settled, is_held): tuple(
                each
                for each in self.all
                if not (is_settled and each.compares) and not (is_held and each in self.holding)
            )
            for is_settled in (False, True)
            for is_held in (False, True)
        }

    def rest(self, *, is_settled: bool, is_held: bool) -> tuple[Detector, ...]:
        """Those whose answer is not known: all comparisons have settled, what is held was answered for all."""
        return self._rest[is_settled, is_held]


def no_timer() -> int:
    """The time that passes where nobody measures it."""
    return 0


class Pipeline:
    """``detectors`` are the enabled ones; they (``use``) and ``policy`` may be replaced while it runs (``SIGHUP``).

    ``timer_ns`` is asked before and after each check, for the counts alone: no alert depends on it.
    """

    def __init__(
        self,
        state: NodeState,
        detectors: Iterable[Detector],
        policy: Policy,
        builder: AlertBuilder,
        boot_id: str,
        *,
        tells_incidents: bool = True,
        max_findings: int = 16_384,
        timer_ns: Callable[[], int] = no_timer,
    ) -> None:
        self.policy = policy
        self.counts: dict[str, DetectorCounts] = {}
        self.dedupe = Dedupe(max_findings)
        self.incidents = Incidents(boot_id)
        self._state = state
        self._builder = builder
        self._timer_ns = timer_ns
        self._detectors: tuple[Detector, ...] = ()
        self._wanted_by: dict[type[Event], _Interested] = {}
        self._settled = Settled()
        self.use(detectors, tells_incidents=tells_incidents)

    def use(self, detectors: Iterable[Detector], *, tells_incidents: bool = True) -> None:
        """Replace the enabled detectors, and say whether incidents are told beside their findings."""
        self._tells_incidents = tells_incidents
        self._detectors = tuple(detectors)
        self._wanted_by = {}
        self._settled = Settled()
        for detector in self._detectors:
            self.counts.setdefault(detector.id, DetectorCounts())

    def feed(self, event: Event) -> Iterator[Alert]:
        """Take one event in; yields the alerts that it gives rise to, in the detectors' order."""
        if isinstance(event, AlertsNumbered):
            self._builder.number_from(event.sequence)
            return
        self._state.apply(event)
        yield from self._judge(event)
        for again in self._state.take_pending():
            if not _is_same_subject(event, again):
                yield from self._judge(again)
        if isinstance(event, SweepDone):
            yield from self._tell(self.incidents.expire(event.at_ns), event)

    @property
    def upcoming(self) -> int:
        """The number of the next alert."""
        return self._builder.upcoming

    def state_counts(self) -> dict[str, int]:
        """How many of what the state holds."""
        return self._state.counts()

    def _judge(self, event: Event) -> Iterator[Alert]:
        """Ask the detectors, but for those whose answer is known."""
        interested = self._interested(type(event))
        asked, compared = interested.all, None
        if isinstance(event, ProcessEvent):
            member = self._state.member(event.process) if interested.compare else None
            is_settled = isinstance(member, Member) and self._settled.covers(member)
            compared = member if isinstance(member, Member) and not is_settled else None
            is_held = bool(interested.holding) and self._is_answered(interested.holding, event.process)
            asked = interested.rest(is_settled=is_settled, is_held=is_held)
        are_comparing_silent = True
        timer_ns = self._timer_ns
        started_ns = timer_ns()
        for detector in asked:
            counts = self.counts[detector.id]
            found: tuple[Finding | Blind, ...] | str
            try:
                found = tuple(detector.check(event, self._state))
            except Exception as error:  # noqa: BLE001  one of the two broad catches: a detector's fault is counted
                found = f"{type(error).__name__}: {error}"[:200]
            ended_ns = timer_ns()
            counts.checks += 1
            counts.spent_ns += ended_ns - started_ns
            started_ns = ended_ns
            if found == ():
                continue
            are_comparing_silent = are_comparing_silent and not detector.compares
            if not isinstance(found, str):
                yield from self._take(detector, found, event)
            elif tally.count(counts.failures, found) == 1 and detector.family is not Family.AGENT:
                yield from self._judge(AgentTrouble(event.at_ns, TroubleKind.DETECTOR_FAILED, detector.id, found))
            started_ns = timer_ns()
        if are_comparing_silent and compared is not None:
            self._settled.note(compared)

    def _is_answered(self, holding: Iterable[Detector], process: Process) -> bool:
        """Nothing that it holds is to be judged; where that is because nobody looked, each of them is blind."""
        held = holder(process, self._state)
        if isinstance(held, Blind):
            for detector in holding:
                tally.count(self.counts[detector.id].blind, held.why)
        return not isinstance(held, Holder)

    def _take(self, detector: Detector, found: Iterable[Finding | Blind], event: Event) -> Iterator[Alert]:
        """Count what a detector could not tell, and raise what it found."""
        counts = self.counts[detector.id]
        for each in found:
            if isinstance(each, Blind):
                tally.count(counts.blind, each.why)
            elif (alert := self._raise(detector, each, event)) is not None:
                counts.findings += 1
                yield alert
                yield from self._tell(self.incidents.record(alert.incident, alert.chapter()), event)

    def _tell(self, changes: Iterable[IncidentChange], event: Event) -> Iterator[Alert]:
        """The alerts of incidents that were opened, raised or closed, unless they are turned off."""
        for change in changes if self._tells_incidents else ():
            yield self._builder.build_incident(change, event, self._state)

    def _interested(self, kind: type[Event]) -> _Interested:
        known = self._wanted_by.get(kind)
        if known is None:
            known = self._wanted_by[kind] = _Interested(kind, self._detectors)
        return known

    def _raise(self, detector: Detector, finding: Finding, event: Event) -> Alert | None:
        """The alert for a finding, or ``None`` where an exception covers it or it was told already."""
        process = self._state.process(finding.subject) if finding.subject is not None else None
        container = self._state.container(finding.container_id) if finding.container_id is not None else None
        if self.policy.excepts(detector.id, container, process, event.at_ns):
            return None
        ancestors = self._state.ancestors(process) if process is not None else ()
        told = self.dedupe.judge(detector.id, finding, (each.key for each in ancestors))
        if isinstance(told, Repeated):
            return None
        incident = self.incidents.assign(finding.container_id, event.at_ns, finding.subject)
        return self._builder.build(detector, finding, event, self._state, incident, told.repeats)


def _is_same_subject(event: Event, again: Event) -> bool:
    """The event itself has just been judged; its process need not be, once more."""
    return isinstance(event, ProcessEvent) and isinstance(again, Seen) and event.process.key == again.process.key
