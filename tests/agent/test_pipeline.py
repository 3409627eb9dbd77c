from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from agent.formats.ecs import to_ecs
from agent.incidents import WINDOW_NS, Phase
from agent.pipeline import Pipeline
from agent.policy import Policy
from agent.report import Alert, AlertBuilder
from agent.state import NodeState
from collectors.events import Event, Exec, SweepDone
from detectors.base import Detector, Family, Finding, NodeView, Severity, Tier
from detectors.detector_failed import DETECTOR as DETECTOR_FAILED
from tests.agent import alerts
from tests.support import build


def pipeline(*detectors: Detector) -> Pipeline:
    state = NodeState(build.host_baseline(), Tier.NETLINK, max_processes=100, max_containers=10)
    return Pipeline(state, detectors, Policy(()), AlertBuilder(alerts.HOST, "0.1.0"), "boot")


def finds(rule_id: str, family: Family, severity: Severity) -> Detector:
    """A detector that finds the same thing at every exec."""

    def check(event: Exec, _view: NodeView) -> Iterator[Finding]:
        yield Finding(f"did {rule_id}", build.container_id(), event.process.key)

    return alerts.detector(family, severity, id=rule_id, name=f"rule_{rule_id[3:]}", check=check)


def fails(_event: Event, _view: NodeView) -> Iterator[Finding]:
    raise ValueError("odd")


TECHNIQUE = finds("HW-223", Family.TECHNIQUE, Severity.MEDIUM)
DRIFT = finds("HW-105", Family.DRIFT, Severity.HIGH)
EXPOSURE = finds("HW-303", Family.EXPOSURE, Severity.MEDIUM)


def executed(at_ns: int = build.NOW_NS, pid: int = 4242) -> Exec:
    return Exec(at_ns, replace(build.process(pid), observed_ns=at_ns))


def told(found: list[Alert]) -> list[tuple[str, Phase | None, Severity]]:
    return [(each.detector.id, each.phase, each.severity) for each in found]


def test_an_incident_is_told_after_the_finding_that_opened_it() -> None:
    found = list(pipeline(EXPOSURE, TECHNIQUE).feed(executed()))
    assert told(found) == [
        ("HW-303", None, Severity.MEDIUM),
        ("HW-223", None, Severity.MEDIUM),
        ("HW-001", Phase.OPENED, Severity.MEDIUM),
    ]
    assert len({each.incident.id for each in found}) == 1
    assert [each.alert_id for each in found[2].incident.story] == [found[0].id, found[1].id]


def test_incidents_can_be_turned_off() -> None:
    core = pipeline(TECHNIQUE)
    core.use((TECHNIQUE,), tells_incidents=False)
    assert told(list(core.feed(executed()))) == [("HW-223", None, Severity.MEDIUM)]


def test_an_incident_is_raised_and_closed() -> None:
    core = pipeline(TECHNIQUE, DRIFT)
    opened = list(core.feed(executed()))
    assert told(opened)[-1] == ("HW-001", Phase.RAISED, Severity.CRITICAL)
    assert list(core.feed(SweepDone(build.NOW_NS + WINDOW_NS, 1, 1, 1))) == []
    closed = list(core.feed(SweepDone(build.NOW_NS + WINDOW_NS + 1, 2, 1, 1)))
    assert told(closed) == [("HW-001", Phase.CLOSED, Severity.INFO)]
    assert closed[0].incident.severity is Severity.CRITICAL


def test_the_document_of_an_incident_has_the_whole_story() -> None:
    *_, opened = pipeline(EXPOSURE, TECHNIQUE).feed(executed())
    told_of = to_ecs(opened)["hullwatch"]["incident"]
    assert told_of["phase"] == "opened"
    assert told_of["severity"] == 50
    assert [(each["rule_id"], each["pid"]) for each in told_of["story"]] == [("HW-303", 4242), ("HW-223", 4242)]


def test_a_repetition_changes_no_incident() -> None:
    core = pipeline(TECHNIQUE)
    assert len(list(core.feed(executed()))) == 2
    assert list(core.feed(executed(build.NOW_NS + 1))) == []


def test_a_detector_that_fails_is_told_once() -> None:
    broken = alerts.detector(Family.TECHNIQUE, id="HW-299", check=fails)
    core = pipeline(broken, TECHNIQUE, DETECTOR_FAILED)
    found = [*core.feed(executed()), *core.feed(executed(build.NOW_NS + 1))]
    assert [each.detector.id for each in found] == ["HW-906", "HW-223", "HW-001"]
    assert core.counts["HW-299"].failures == {"ValueError: odd": 2}
    assert found[0].evidence == (("part", "HW-299"), ("why", "ValueError: odd"))
