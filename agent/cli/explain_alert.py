"""One alert explained: what was seen, how it is judged, whether the container is contained now, what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.cli import inquiry, told
from agent.cli import verdict as verdicts
from agent.cli.agent_link import Agent
from agent.cli.explain import known
from agent.cli.moments import second
from agent.cli.output import Output, Refused, paragraph
from agent.cli.told import Document, at, text
from agent.cli.verdict import Verdict
from agent.text import clipped
from detectors.base import Detector

WIDEST = 100
MAX_VALUE = 400
MAX_ANCESTORS_SHOWN = 4

_CONFIDENCE = {
    "certain": "certain: it is what the kernel holds",
    "likely": "likely: an inference, which honest work may fit as well",
}


def may_be_meant(wanted: str) -> bool:
    """It looks like the id of an alert, and not like a rule."""
    return inquiry.looks_like_id(wanted) and any(each.isdigit() for each in wanted)


def show(agent: Agent, wanted: str, output: Output) -> None:
    """Explain the alert of that id, or the first of the incident of that id. Raises ``Refused``."""
    alert = inquiry.find_alert(agent, wanted)
    if alert is None and _is_incident(agent, wanted):
        raise Refused(f"{clipped(wanted, 80)} is an incident, not an alert", f"hullwatch incidents {wanted} tells it")
    if alert is None:
        raise Refused(
            f"there is no rule and no alert {clipped(wanted, 80)}",
            "hullwatch rules lists the rules, hullwatch alerts -o wide the alerts (EVENT)",
        )
    container_id = text(alert, "container.id")
    now = verdicts.verdict(inquiry.node_state(agent, container_id), container_id) if container_id else None
    detector = known(text(alert, "rule.id"))
    if output.is_table:
        width = min(output.width or WIDEST, WIDEST)
        output.text("\n".join(_lines(alert, detector, now, width)))
    else:
        output.document(
            {
                "alert": alert,
                "now": verdicts.document(now) if now is not None else None,
                "advice": list(detector.advice) if detector is not None else [],
                "benign": list(detector.benign) if detector is not None else [],
            }
        )


def _is_incident(agent: Agent, wanted: str) -> bool:
    return any(agent.ask("alerts", wanted={"incident": wanted.lower()}, limit=1))


def _lines(alert: Document, detector: Detector | None, now: Verdict | None, width: int) -> Iterator[str]:
    yield f"{text(alert, 'rule.id')} {text(alert, 'rule.name')}, {told.severity(alert).name.lower()}, {_when(alert)}"
    yield _wrapped(text(alert, "message"), width)
    yield "\nIS IT CONTAINED?"
    if now is None:
        yield "  It is about the node or the agent, not about a container."
    else:
        yield from (_wrapped(each.strip(), width) for each in verdicts.lines(now))
    yield f"\nWHAT IT MEANS\n{_wrapped(text(alert, 'rule.description'), width)}"
    yield "\nWHAT WAS SEEN"
    yield from (_wrapped(f"{name}: {value}", width) for name, value in _seen(alert))
    yield "\nHOW IT IS JUDGED"
    yield from (_wrapped(each, width, "- ") for each in _judged(alert, detector))
    yield "\nWHAT TO DO NEXT"
    yield from (_wrapped(each, width, "- ") for each in (detector.advice if detector is not None else ()))
    yield from (f"  {each}" for each in _commands(alert))


def _when(alert: Document) -> str:
    return f"{second(text(alert, '@timestamp'))} UTC"


def _wrapped(words: str, width: int, bullet: str = "") -> str:
    return paragraph(clipped(words, MAX_VALUE * 4), width=width, indent="  ", bullet=bullet)


def _seen(alert: Document) -> Iterator[tuple[str, str]]:
    if container_id := text(alert, "container.id"):
        image = text(alert, "container.image.name")
        yield "container", f"{container_id[:12]} {told.called(alert)}" + (f" (image {image})" if image else "")
    if pid := text(alert, "process.pid"):
        command = text(alert, "process.command_line") or text(alert, "process.name")
        user = text(alert, "process.user.id")
        yield "process", f"{pid} {command}" + (f", uid {user}" if user else "")
    ancestors = at(alert, "hullwatch.ancestors", [])
    if ancestors:
        yield "started by", " <- ".join(_ancestor(each) for each in ancestors[:MAX_ANCESTORS_SHOWN])
    for each in at(alert, "hullwatch.widened", []):
        yield (
            f"{text(each, 'aspect')} was",
            f"{clipped(text(each, 'was'), MAX_VALUE)}; now {clipped(text(each, 'now'), MAX_VALUE)}",
        )
    evidence = at(alert, "hullwatch.evidence", {})
    for name, value in evidence.items() if isinstance(evidence, dict) else ():
        yield str(name), clipped(", ".join(map(str, value)) if isinstance(value, list) else str(value), MAX_VALUE)


def _ancestor(process: Any) -> str:
    command = told.text(process, "command_line") or told.text(process, "name")
    return f"{told.text(process, 'pid')} {clipped(command, 60)}"


def _judged(alert: Document, detector: Detector | None) -> Iterator[str]:
    severity = told.severity(alert).name.lower()
    usual = detector.severity.name.lower() if detector is not None else severity
    yield f"severity {severity}" + (f"; usually {usual}" if usual != severity else ", as usual for this rule")
    confidence = text(alert, "hullwatch.confidence")
    yield f"{_CONFIDENCE.get(confidence, confidence)}; seen by the {text(alert, 'hullwatch.sensor')} sensor"
    if why := text(alert, "hullwatch.incident.why"):
        yield f"the incident: {why}"
    if repeats := at(alert, "hullwatch.repeats", 0):
        yield f"it had been found {repeats} times before, the same"
    for each in detector.benign if detector is not None else ():
        yield f"honest, and told apart: {each}"


def _commands(alert: Document) -> Iterator[str]:
    if incident := text(alert, "hullwatch.incident.id"):
        yield f"hullwatch incidents {incident[: told.SHORT]}    the whole story, with the process tree"
    if pid := text(alert, "process.pid"):
        yield f"hullwatch inspect pid:{pid}    what confines that process now"
    if container_id := text(alert, "container.id"):
        yield f"hullwatch ps {container_id[:12]}    the container's processes, and what each shares with the host"
        yield f"hullwatch events {container_id[:12]}    what they do, live"
