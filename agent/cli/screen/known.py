"""What every source does alike: alerts cut down to what the screen shows, and the ways out of a container. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agent.cli import told
from agent.cli.screen.picture import Ways
from agent.cli.told import Document, at, text
from agent.config_schema import Config
from agent.state import NodeState
from agent.ways_out import Way, find_exposures, rank
from collectors.facts import Container
from detectors.catalog import DETECTORS

MAX_ALERTS = 1000
MAX_REMEMBERED = 4096

_PROCESS = ("pid", "entity_id", "name", "command_line")
_INCIDENT = ("id", "severity", "why", "start", "end", "findings", "container_id")


def shortened(alert: Document) -> Document:
    """The parts of an alert that the screen shows: a tenth of it."""
    process, incident = at(alert, "process"), at(alert, "hullwatch.incident", {})
    kept: Document = {name: alert[name] for name in ("@timestamp", "message", "orchestrator") if name in alert}
    kept["event"] = _picked(at(alert, "event", {}), ("id", "severity", "reason"))
    kept["rule"] = _picked(at(alert, "rule", {}), ("id", "name"))
    kept["hullwatch"] = {"incident": _picked(incident, _INCIDENT)}
    if "container" in alert:
        kept["container"] = _picked(alert["container"], ("id", "name", "image"))
    if isinstance(process, dict):
        kept["process"] = _picked(process, _PROCESS)
        if "parent" in process:
            kept["process"]["parent"] = _picked(process["parent"], _PROCESS)
        kept["hullwatch"]["ancestors"] = [_picked(each, _PROCESS) for each in at(alert, "hullwatch.ancestors", [])]
    return kept


def _picked(document: Any, names: Iterable[str]) -> Document:
    return {name: document[name] for name in names if name in document} if isinstance(document, dict) else {}


def latest_words(alerts: Iterable[Document], is_open: Iterable[str]) -> dict[str, Document]:
    """What was last told of the incidents that are open."""
    wanted = set(is_open)
    return {
        incident: at(alert, "hullwatch.incident", {})
        for alert in alerts
        if text(alert, "rule.id") == told.INCIDENT_RULE and (incident := text(alert, "hullwatch.incident.id")) in wanted
    }


def ways_by(config: Config) -> Ways:
    """The ways out by what is enabled; found anew for a container that is told anew, or of which not all was known."""
    enabled = {each.id for each in DETECTORS} - set(config.detectors.disabled)
    found: dict[str, tuple[Container, tuple[Way, ...]]] = {}

    def ways(container: Container, state: NodeState) -> tuple[Way, ...]:
        known = found.get(container.id)
        if known is not None and known[0] == container:
            return known[1]
        exposures, unknown = find_exposures(container, state, DETECTORS)
        ranked = rank(exposures, (), enabled)
        if not unknown:
            if len(found) >= MAX_REMEMBERED:
                found.clear()
            found[container.id] = (container, ranked)
        return ranked

    return ways
