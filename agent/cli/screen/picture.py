"""What the screen shows of the node at one moment: plain values, so that any source may have made them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.cli import documents, ps, ways_out
from agent.cli.node import Snapshot
from agent.cli.output import SEVERITY_STYLES
from agent.cli.select import Admits, anything, display_name
from agent.cli.tables import Span
from agent.config_schema import Config
from agent.report import Alert
from agent.state import NodeState
from collectors.facts import Container, Ids, Process
from detectors.base import Family, Severity

Spans = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class ProcessLine:
    """One process of a container; ``host`` is what it shares with the host."""

    pid: int
    user: str
    host: Spans
    command: str


@dataclass(frozen=True, slots=True)
class FindingLine:
    """One finding of a container, or of the node."""

    severity: Severity
    rule: str
    pid: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Card:
    """One container. ``host`` is the worst of what its processes share with the host; ``ways`` are the ways out."""

    id: str
    name: str
    image: str
    host: Spans
    processes: tuple[ProcessLine, ...]
    findings: tuple[FindingLine, ...]
    ways: tuple[str, ...]
    is_out: bool

    @property
    def worst(self) -> Severity | None:
        """The severity of the worst finding."""
        return max((each.severity for each in self.findings), default=None)


@dataclass(frozen=True, slots=True)
class Picture:
    """The node: its containers by risk, what was found of the node itself, and what could not be seen."""

    at_ns: int
    cards: tuple[Card, ...]
    of_node: tuple[FindingLine, ...]
    unseen: tuple[str, ...]


def picture_of(snapshot: Snapshot, config: Config, at_ns: int, admits: Admits = anything) -> Picture:
    """The picture of a look that judged, of the containers that are meant."""
    state = snapshot.state
    members: dict[str, list[Process]] = {}
    for process in state.processes():
        if (container := state.container_of(process)) is not None:
            members.setdefault(container.id, []).append(process)
    alerts = [each for each in snapshot.alerts if each.phase is None]
    cards = [
        _card(snapshot, config, container, members.get(container.id, []), alerts)
        for container in filter(admits, state.containers())
    ]
    nobody = _findings(each for each in alerts if each.container_id is None and admits(None))
    return Picture(at_ns, tuple(sorted(cards, key=_risk)), nobody, snapshot.unseen)


def _card(
    snapshot: Snapshot, config: Config, container: Container, members: list[Process], alerts: list[Alert]
) -> Card:
    state = snapshot.state
    ours = [each for each in alerts if each.container_id == container.id]
    ways, _ = ways_out.of_container(container, snapshot, config, with_node=False)
    members.sort(key=lambda each: each.key)
    lines = tuple(_process(state, each) for each in members)
    return Card(
        container.id,
        display_name(container),
        container.image or "-",
        _worst_host(lines),
        lines,
        _findings(ours),
        tuple(f"{way.ease.text}: {way.declared}; {'; '.join(way.steps)}" for way in ways),
        is_out=any(each.detector.family is Family.DRIFT for each in ours),
    )


def _process(state: NodeState, process: Process) -> ProcessLine:
    uids = process.confinement.uids
    shared = ps.host_shared(state, process)
    return ProcessLine(
        process.key.pid,
        str(uids.effective) if isinstance(uids, Ids) else "?",
        ((shared, ""),) if isinstance(shared, str) else tuple(shared),
        documents.command(process),
    )


def _worst_host(lines: Iterable[ProcessLine]) -> Spans:
    """Every word that one of the processes has, those in red first."""
    words = dict.fromkeys(span for line in lines for span in line.host if span[0] not in {",", "-"})
    painted = sorted(words, key=lambda word: not word[1])
    spaced: list[Span] = []
    for index, word in enumerate(painted):
        spaced += [(",", ""), word] if index else [word]
    return tuple(spaced) or (("-", ""),)


def _findings(alerts: Iterable[Alert]) -> tuple[FindingLine, ...]:
    return tuple(
        FindingLine(
            each.severity, each.detector.id, each.subject.pid if each.subject is not None else None, each.reason
        )
        for each in sorted(alerts, key=lambda each: (-each.severity, each.detector.id))
    )


def _risk(card: Card) -> tuple[object, ...]:
    """Who is out comes first, then the worst finding, then the most ways out."""
    return (not card.is_out, -(card.worst or 0), -len(card.ways), card.name, card.id)


def severity_span(severity: Severity | None) -> Span:
    """A severity in a word and its colour; a dash where nothing was found."""
    return ("-", "") if severity is None else (severity.name.lower(), SEVERITY_STYLES.get(severity, ""))
