"""What the screen shows of the node at one moment: plain values, whoever knows the node. Pure.

A source gives what it knows (``Known``): the state, the alerts that were told, which incidents are open. Whether that
comes from the running agent, from a look or from a capture makes no difference to what is made of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from agent.cli import documents, ps, told
from agent.cli import verdict as verdicts
from agent.cli.incidents import chain
from agent.cli.moments import clock
from agent.cli.output import BAD, DOUBTFUL, SEVERITY_STYLES
from agent.cli.select import Admits, anything, display_name
from agent.cli.story import Story, make_story
from agent.cli.tables import Span
from agent.cli.told import Document, text
from agent.cli.verdict import Verdict
from agent.incidents import WIDENED as ESCAPES
from agent.state import NodeState
from agent.ways_out import Way
from collectors.facts import Container, Ids, Process
from detectors.base import Severity

Spans = tuple[Span, ...]
Ways = Callable[[Container, NodeState], tuple[Way, ...]]

OUT, WIDENED, WAS_OUT = "OUT", "wider", "was out"
_STANDINGS = {"out": OUT, "widened": WIDENED, "unknown": "?", "ended": "ended"}
_STYLES = {OUT: BAD, WIDENED: DOUBTFUL, WAS_OUT: DOUBTFUL, "?": DOUBTFUL}
_RANKS = {OUT: 0, WIDENED: 1, WAS_OUT: 2}


@dataclass(frozen=True, slots=True)
class Known:
    """What a source knows. ``alerts`` are documents as the agent tells them, the oldest first.

    ``current`` are the incidents that are open, by id; ``exposures`` what each container was given, by its id.
    """

    at_ns: int
    origin: str
    state: NodeState
    alerts: Sequence[Document]
    current: Mapping[str, Document] = field(default_factory=dict)
    exposures: Mapping[str, list[Document]] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProcessLine:
    """One process of a container; ``host`` is what it shares with the host, ``standing`` whether it is out."""

    pid: int
    user: str
    host: Spans
    command: str
    standing: str = ""


@dataclass(frozen=True, slots=True)
class FindingLine:
    """One finding of a container, or of the node; ``incident`` is the id of its story."""

    at: str
    severity: Severity
    rule: str
    pid: str
    text: str
    incident: str


@dataclass(frozen=True, slots=True)
class Card:
    """One container. ``host`` is the worst of what its processes share with the host; ``ways`` are the ways out."""

    id: str
    name: str
    image: str
    standing: str
    host: Spans
    processes: tuple[ProcessLine, ...]
    findings: tuple[FindingLine, ...]
    ways: tuple[str, ...]

    @property
    def worst(self) -> Severity | None:
        """The severity of the worst finding."""
        return max((each.severity for each in self.findings), default=None)


@dataclass(frozen=True, slots=True)
class Picture:
    """The node: containers by risk, stories (the latest first), findings of the node, what could not be seen."""

    at_ns: int
    origin: str
    cards: tuple[Card, ...] = ()
    stories: tuple[Story, ...] = ()
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    of_node: tuple[FindingLine, ...] = ()
    unseen: tuple[str, ...] = ()
    can_play: bool = False


def picture_of(known: Known, ways: Ways, admits: Admits = anything, *, can_play: bool = False) -> Picture:
    """The picture of what is known, of the containers that are meant."""
    state = known.state
    members: dict[str, list[Process]] = defaultdict(list)
    for process in state.processes():
        if (container := state.container_of(process)) is not None:
            members[container.id].append(process)
    found: dict[str, list[Document]] = defaultdict(list)
    for alert in known.alerts:
        if text(alert, "rule.id") != told.INCIDENT_RULE:
            found[text(alert, "container.id")].append(alert)
    now = verdicts.verdicts(state)
    cards = [
        _card(
            state,
            each,
            members[each.id],
            now.get(each.id) or Verdict(each.id, frozenset(), (), 0),
            (*_findings(found[each.id]), *_given(known.exposures.get(each.id, ()), found[each.id])),
            ways(each, state),
        )
        for each in filter(admits, state.containers())
    ]
    meant = {each.id for each in cards}
    is_all = admits(None)
    stories = tuple(each for each in _stories(known, now) if is_all or each.container_id in meant)
    return Picture(
        known.at_ns,
        known.origin,
        tuple(sorted(cards, key=_risk)),
        stories,
        now,
        _findings(found[""]) if is_all else (),
        known.unseen,
        can_play,
    )


def _card(
    state: NodeState,
    container: Container,
    members: list[Process],
    now: Verdict,
    findings: tuple[FindingLine, ...],
    ways: tuple[Way, ...],
) -> Card:
    members.sort(key=lambda each: each.key)
    outside = {each.process.key: OUT if each.is_out else WIDENED for each in now.wide}
    lines = tuple(_process(state, each, outside.get(each.key, "")) for each in members)
    standing = _STANDINGS.get(now.word, "")
    if standing in {"", "ended"} and any(each.rule in ESCAPES for each in findings):
        standing = WAS_OUT
    return Card(
        container.id,
        display_name(container),
        container.image or "-",
        standing,
        _worst_host(lines),
        lines,
        findings,
        tuple(f"{way.ease.text}: {way.declared}; {'; '.join(way.steps)}" for way in ways),
    )


def _process(state: NodeState, process: Process, standing: str) -> ProcessLine:
    uids = process.confinement.uids
    shared = ps.host_shared(state, process)
    return ProcessLine(
        process.key.pid,
        str(uids.effective) if isinstance(uids, Ids) else "?",
        ((shared, ""),) if isinstance(shared, str) else tuple(shared),
        documents.command(process),
        standing,
    )


def _worst_host(lines: Iterable[ProcessLine]) -> Spans:
    """Every word that one of the processes has, those in red first."""
    words = dict.fromkeys(span for line in lines for span in line.host if span[0] not in {",", "-"})
    painted = sorted(words, key=lambda word: not word[1])
    spaced: list[Span] = []
    for index, word in enumerate(painted):
        spaced += [(",", ""), word] if index else [word]
    return tuple(spaced) or (("-", ""),)


def _findings(alerts: Iterable[Document]) -> tuple[FindingLine, ...]:
    """The latest alert for each rule and process, the worst first."""
    latest: dict[tuple[str, str, str], FindingLine] = {}
    for each in alerts:
        rule, pid = text(each, "rule.id"), text(each, "process.pid") or "-"
        what = told.finding(each)
        latest[rule, pid, what if pid == "-" else ""] = FindingLine(
            clock(text(each, "@timestamp"))[:8],
            told.severity(each),
            rule,
            pid,
            what,
            text(each, "hullwatch.incident.id"),
        )
    return tuple(sorted(latest.values(), key=lambda each: (-each.severity, each.rule, each.at)))


def _given(chapters: Iterable[Document], found: Iterable[Document]) -> tuple[FindingLine, ...]:
    """Exposures of which the agent knows, and whose alerts are no longer there."""
    there = {text(each, "rule.id") for each in found}
    return tuple(
        FindingLine(
            clock(text(each, "timestamp"))[:8],
            told.severity_of(each.get("severity")),
            text(each, "rule_id"),
            "-",
            text(each, "reason"),
            "",
        )
        for each in chapters
        if text(each, "rule_id") not in there
    )


def _stories(known: Known, now: Mapping[str, Verdict]) -> list[Story]:
    """Every incident that was told, the latest first."""
    by_id: dict[str, list[Document]] = defaultdict(list)
    was_told = dict.fromkeys(known.current)
    for alert in known.alerts:
        incident = text(alert, "hullwatch.incident.id")
        by_id[incident].append(alert)
        if text(alert, "rule.id") == told.INCIDENT_RULE:
            was_told[incident] = None
    made = []
    for incident in was_told:
        current = known.current.get(incident)
        alerts = by_id[incident]
        whose = text(current or {}, "container_id") or next(
            (found for each in alerts if (found := text(each, "container.id"))), ""
        )
        story = make_story(incident, alerts, current, known.exposures.get(whose, []))
        verdict = now.get(whose)
        living = tuple(chain(known.state, each.process) for each in verdict.wide) if verdict is not None else ()
        made.append(replace(story, container_id=whose, living=living))
    return sorted(made, key=lambda each: (each.end, each.id), reverse=True)


def _risk(card: Card) -> tuple[object, ...]:
    """Who is out comes first, then the worst finding, then the most ways out."""
    return (_RANKS.get(card.standing, 3), -(card.worst or 0), -len(card.ways), card.name, card.id)


def severity_span(severity: Severity | None) -> Span:
    """A severity in a word and its colour; a dash where nothing was found."""
    return ("-", "") if severity is None else (severity.name.lower(), SEVERITY_STYLES.get(severity, ""))


def standing_span(standing: str) -> Span:
    """How a container or process stands, in its colour."""
    return (standing, _STYLES.get(standing, ""))
