"""What commands ask the running agent to tell a story: incidents, alerts by id, the state of the node now."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from agent.cli import told
from agent.cli.agent_link import Agent
from agent.cli.alerts import decoded
from agent.cli.moments import second
from agent.cli.output import Refused
from agent.cli.story import Story, make_story
from agent.cli.told import Document, at, text
from agent.control.picture import restored
from agent.control.values import Malformed
from agent.state import NodeState
from agent.text import clipped

MAX_INCIDENTS = 2000
MAX_ALERTS = 2000
MAX_CANDIDATES = 20
_ID = re.compile(r"[0-9a-f][0-9a-f-]{3,63}")


@dataclass(frozen=True, slots=True)
class Told:
    """An incident as it was told: the latest word on it, and whose it is."""

    id: str
    is_open: bool
    summary: Document
    alert: Document  # that bears the names; empty where the outbox has none


def looks_like_id(wanted: str) -> bool:
    """It may be the id of an alert or incident, or the start of one: four digits at least."""
    return _ID.fullmatch(wanted.lower()) is not None


def told_incidents(agent: Agent) -> tuple[list[Told], dict[str, list[Document]]]:
    """Every incident that was told, the latest last, and the exposures of each container."""
    current: dict[str, Document] = {}
    exposures: dict[str, list[Document]] = {}
    for part in agent.ask("incidents"):
        if "incident" in part:
            current[part["incident"]["id"]] = part["incident"]
        else:
            exposures[part["container"]] = part["exposures"]
    latest: dict[str, Document] = {}
    for value in agent.ask("alerts", wanted={"rule": told.INCIDENT_RULE}, limit=MAX_INCIDENTS):
        if value is None:
            break
        document = decoded(value)
        latest.setdefault(text(document, "hullwatch.incident.id"), document)
    found = [
        Told(each, each in current, current.get(each) or at(alert, "hullwatch.incident", {}), alert)
        for each, alert in latest.items()
    ]
    found += [
        Told(each, is_open=True, summary=summary, alert={}) for each, summary in current.items() if each not in latest
    ]
    found.sort(key=lambda each: str(each.summary.get("end") or ""))
    return found, exposures


def find_story(agent: Agent, wanted: str) -> Story:
    """The one incident that ``wanted`` is, or that an alert of this id belongs to. Raises ``Refused``."""
    wanted = wanted.lower()
    known, exposures = told_incidents(agent)
    fitting = [each for each in known if each.id.startswith(wanted)] if looks_like_id(wanted) else []
    if len(fitting) > 1:
        raise Refused(
            f"{wanted} is ambiguous; it may be one of", *(_candidate(each) for each in fitting[:MAX_CANDIDATES])
        )
    incident_id = fitting[0].id if fitting else _of_alert(agent, wanted, known)
    alerts = [decoded(each) for each in agent.ask("alerts", wanted={"incident": incident_id}, limit=MAX_ALERTS) if each]
    current = next((each.summary for each in known if each.id == incident_id and each.is_open), None)
    container_id = next((found for each in alerts if (found := text(each, "container.id"))), "")
    return make_story(incident_id, alerts, current, exposures.get(container_id, []))


def find_alert(agent: Agent, wanted: str) -> Document | None:
    """The one alert whose id this is, or begins with it; ``None`` where there is none. Raises ``Refused``."""
    if not looks_like_id(wanted):
        return None
    found = [decoded(each) for each in agent.ask("alerts", wanted={"alert": wanted.lower()}, limit=MAX_CANDIDATES + 1)]
    if len(found) > 1:
        lines = (
            f"  {text(each, 'event.id')}  {clipped(text(each, 'message'), 100)}" for each in found[:MAX_CANDIDATES]
        )
        raise Refused(f"{clipped(wanted, 80)} is ambiguous; it may be one of", *lines)
    return found[0] if found else None


def node_state(agent: Agent, container_id: str | None = None) -> NodeState:
    """What the agent knows of the node now, or of one container. Raises ``Refused``."""
    parameters: dict[str, Any] = {} if container_id is None else {"container": container_id}
    return restored_state(agent.ask("picture", **parameters))


def restored_state(parts: Iterable[dict[str, Any]]) -> NodeState:
    """The state that the agent's answer is of. Raises ``Refused``."""
    try:
        return restored(parts, max_processes=1 << 22, max_containers=1 << 16)
    except Malformed as error:
        raise Refused(f"the agent's answer makes no sense: {error}") from error


def _of_alert(agent: Agent, wanted: str, known: list[Told]) -> str:
    alert = find_alert(agent, wanted)
    if alert is not None:
        return text(alert, "hullwatch.incident.id")
    shown = clipped(wanted, 80)
    if looks_like_id(wanted):
        for value in agent.ask("alerts", wanted={"incident": wanted}, limit=1):
            return text(decoded(value), "hullwatch.incident.id")  # of findings that made no incident worth telling
    if not known:
        raise Refused(f"there is no incident or alert {shown}: no incident was told yet")
    newest = known[-MAX_CANDIDATES:]
    raise Refused(
        f"there is no incident or alert {shown}; these incidents are there", *map(_candidate, reversed(newest))
    )


def _candidate(incident: Told) -> str:
    start = second(str(incident.summary.get("start") or ""))
    severity = told.severity_of(incident.summary.get("severity")).name.lower()
    return f"  {incident.id}  {start}  {severity}  {clipped(told.called(incident.alert), 80)}"
