"""Alerts as the agent tells them (ECS documents), looked into: what a row or a story shows of one. Pure.

Everything is looked up as if any of it could be missing: an alert may be of another version of the agent.
"""

from __future__ import annotations

from typing import Any

from agent.cli.moments import second
from agent.cli.output import SEVERITY_STYLES, short_id
from agent.cli.tables import Cell, Column
from detectors.base import Severity

Document = dict[str, Any]

INCIDENT_RULE = "HW-001"
"""What tells of a story itself (``agent.incidents.INCIDENT``)."""

COLUMNS = (
    Column("TIME"),
    Column("SEVERITY"),
    Column("RULE"),
    Column("NAME"),
    Column("CONTAINER"),
    Column("CALLED", 32),
    Column("IMAGE", 40, is_wide=True),
    Column("PID"),
    Column("INCIDENT"),
    Column("EVENT", is_wide=True),
    Column("FINDING", 200),
)
WIDTHS = (19, 8, 6, 24, 12, 24, 32, 7, 8, 36)
SHORT = 8  # of an incident's id


def at(document: Document, path: str, default: Any = None) -> Any:
    """The value at a dotted path."""
    found: Any = document
    for name in path.split("."):
        if not isinstance(found, dict) or name not in found:
            return default
        found = found[name]
    return found


def text(document: Document, path: str) -> str:
    """The value as text; empty where there is none."""
    found = at(document, path)
    return "" if found is None else str(found)


def severity(document: Document) -> Severity:
    """How bad it is."""
    return severity_of(at(document, "event.severity", 0))


def severity_of(number: object) -> Severity:
    """The step that a number has reached."""
    reached = [each for each in Severity if isinstance(number, int) and number >= each]
    return reached[-1] if reached else Severity.INFO


def severity_cell(step: Severity) -> Cell:
    """A severity in its colour."""
    return ((step.name.lower(), SEVERITY_STYLES.get(step, "")),)


def called(document: Document) -> str:
    """What the container is called: of its pod where there is one."""
    name, pod = text(document, "container.name"), text(document, "orchestrator.resource.name")
    if pod and text(document, "orchestrator.namespace"):
        return "/".join(each for each in (text(document, "orchestrator.namespace"), pod, name) if each)
    return name or "-"


def container_cell(document: Document, *, no_trunc: bool) -> str:
    """The container's id."""
    return short_id(text(document, "container.id"), no_trunc=no_trunc) or "-"


def row(document: Document, *, no_trunc: bool) -> tuple[Cell, ...]:
    """An alert as a row of ``COLUMNS``."""
    incident = text(document, "hullwatch.incident.id")
    return (
        second(text(document, "@timestamp")),
        severity_cell(severity(document)),
        text(document, "rule.id"),
        text(document, "rule.name"),
        container_cell(document, no_trunc=no_trunc),
        called(document),
        text(document, "container.image.name") or "-",
        text(document, "process.pid") or "-",
        incident if no_trunc else incident[:SHORT],
        text(document, "event.id"),
        finding(document),
    )


def finding(document: Document) -> str:
    """The sentence without what other columns say already."""
    if text(document, "rule.id") == INCIDENT_RULE:
        return text(document, "message")
    return text(document, "event.reason") or text(document, "message")
