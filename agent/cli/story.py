"""The story of an incident, made of what the agent tells: its findings in order, its processes as a tree. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from agent.cli import told
from agent.cli.told import Document, at, text
from agent.text import clipped
from detectors.base import Severity

MAX_COMMAND = 96
MAX_DEPTH = 64


@dataclass(slots=True)
class Node:
    """A process of the story; ``rules`` are those of the findings about it, in order."""

    entity_id: str
    pid: int
    name: str
    command_line: str
    rules: list[str] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)

    @property
    def start_ticks(self) -> int | None:
        """Of its key; the last part of the entity id."""
        last = self.entity_id.rpartition(":")[2]
        return int(last) if last.isascii() and last.isdigit() else None


@dataclass(frozen=True, slots=True)
class Story:
    """One incident. ``alerts`` are its findings, the oldest first; ``summary`` is the latest word on the whole."""

    id: str
    severity: Severity
    why: str
    start: str
    end: str
    findings: int
    is_open: bool
    container_id: str
    alerts: tuple[Document, ...]
    exposures: tuple[Document, ...] = ()
    living: tuple[tuple[Document, ...], ...] = ()  # each process that is out now, with its ancestors

    @property
    def about(self) -> Document:
        """An alert that names the container best."""
        named = [each for each in self.alerts if at(each, "container.name") or at(each, "orchestrator")]
        return named[-1] if named else self.alerts[-1] if self.alerts else {}


def make_story(incident_id: str, alerts: list[Document], current: Document | None, exposures: list[Document]) -> Story:
    """The story: ``alerts`` as they came, ``current`` what the agent holds of it if it is open."""
    ordered = sorted(alerts, key=lambda each: (text(each, "@timestamp"), text(each, "event.id")))
    findings = tuple(each for each in ordered if text(each, "rule.id") != told.INCIDENT_RULE)
    summaries = [each for each in ordered if text(each, "rule.id") == told.INCIDENT_RULE]
    latest = at(summaries[-1], "hullwatch.incident", {}) if summaries else {}
    summary: Document = current if current is not None else latest
    times = [text(each, "@timestamp") for each in ordered] or [""]
    worst = max((told.severity(each) for each in ordered), default=Severity.INFO)
    known = {text(each, "event.id") for each in findings}
    return Story(
        id=incident_id,
        severity=max(worst, told.severity_of(summary.get("severity"))),
        why=str(summary.get("why") or ""),
        start=str(summary.get("start") or times[0]),
        end=str(summary.get("end") or times[-1]),
        findings=max(int(summary.get("findings") or 0), len(findings)),
        is_open=current is not None,
        container_id=next((found for each in ordered if (found := text(each, "container.id"))), ""),
        alerts=findings or tuple(ordered),
        exposures=tuple(each for each in exposures if each.get("alert_id") not in known),
    )


def tree(story: Story) -> list[Node]:
    """The processes of the story with their ancestors, the topmost first."""
    nodes: dict[str, Node] = {}
    parents: dict[str, str] = {}
    for alert in story.alerts:
        process = at(alert, "process")
        if not isinstance(process, dict) or not process.get("entity_id"):
            continue
        chain = [process, *at(alert, "hullwatch.ancestors", [])]
        if len(chain) == 1 and at(alert, "process.parent.entity_id"):
            chain.append(at(alert, "process.parent"))
        first = _link(nodes, parents, chain)
        rule = text(alert, "rule.id")
        if first is not None and rule not in first.rules:
            first.rules.append(rule)
    for living in story.living:
        _link(nodes, parents, living)
    for child_id, parent_id in parents.items():
        nodes[parent_id].children.append(nodes[child_id])
    for node in nodes.values():
        node.children.sort(key=lambda each: (each.start_ticks or 0, each.pid))
    return sorted((node for key, node in nodes.items() if key not in parents), key=lambda each: each.pid)


def _link(nodes: dict[str, Node], parents: dict[str, str], chain: Iterable[Any]) -> Node | None:
    """The process that begins the chain, with its ancestors put above it."""
    known = [_node(nodes, each) for each in chain if isinstance(each, dict) and each.get("entity_id")]
    for child, parent in pairwise(known):
        if child.entity_id != parent.entity_id:
            parents.setdefault(child.entity_id, parent.entity_id)
    return known[0] if known else None


def drawn(roots: list[Node]) -> Iterator[tuple[str, Node]]:
    """Each node with the branch that leads to it, as tree(1) draws them."""
    for root in roots:
        yield "", root
        yield from _below(root, "")


def _below(node: Node, indent: str) -> Iterator[tuple[str, Node]]:
    if len(indent) > 3 * MAX_DEPTH:  # somebody forks for ever: their tree is not drawn to its end
        return
    for index, child in enumerate(node.children):
        is_last = index == len(node.children) - 1
        yield f"{indent}{'└─ ' if is_last else '├─ '}", child
        yield from _below(child, indent + ("   " if is_last else "│  "))


def _node(nodes: dict[str, Node], process: Document) -> Node:
    entity_id = str(process["entity_id"])
    node = nodes.get(entity_id)
    if node is None:
        pid = process.get("pid")
        node = nodes[entity_id] = Node(entity_id, pid if isinstance(pid, int) else 0, "", "")
    node.name = node.name or str(process.get("name") or "")
    node.command_line = node.command_line or clipped(str(process.get("command_line") or ""), MAX_COMMAND)
    return node
