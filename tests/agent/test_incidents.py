from __future__ import annotations

import re

import pytest

from agent.incidents import JOINS, MAX_STORY, Chapter, Incident, IncidentChange, Incidents, Phase
from detectors.base import Family, Severity
from detectors.catalog import DETECTORS
from tests.support import build

MINUTE_NS = 60 * 10**9
NOW_NS = 1_763_700_000 * 10**9
FAMILIES = {"1": Family.DRIFT, "2": Family.TECHNIQUE, "3": Family.EXPOSURE, "9": Family.AGENT}


def tell(
    incidents: Incidents,
    rule_id: str,
    severity: Severity = Severity.MEDIUM,
    at_ns: int = NOW_NS,
    container: str | None = "c1",
) -> tuple[tuple[IncidentChange, ...], Incident]:
    """One finding goes into its incident."""
    incident = incidents.assign(container, at_ns)
    chapter = Chapter(at_ns, f"id-{rule_id}", rule_id, "name", FAMILIES[rule_id[3]], severity, "reason", 7)
    return incidents.record(incident, chapter), incident


def phases(changes: tuple[IncidentChange, ...]) -> list[tuple[Phase, Severity]]:
    return [(each.phase, each.incident.severity) for each in changes]


# Which findings are one story


def test_findings_inside_the_window_share_an_incident() -> None:
    incidents = Incidents("boot")
    first = incidents.assign("c1", NOW_NS)
    second = incidents.assign("c1", NOW_NS + 15 * MINUTE_NS)
    third = incidents.assign("c1", NOW_NS + 30 * MINUTE_NS)
    assert first.id == second.id == third.id
    assert (third.first_ns, third.last_ns, third.findings) == (NOW_NS, NOW_NS + 30 * MINUTE_NS, 3)


def test_a_quiet_window_ends_an_incident() -> None:
    incidents = Incidents("boot")
    first = incidents.assign("c1", NOW_NS)
    assert incidents.assign("c1", NOW_NS + 15 * MINUTE_NS + 1).id != first.id


def test_a_late_event_belongs_to_the_open_incident() -> None:
    incidents = Incidents("boot")
    first = incidents.assign("c1", NOW_NS)
    late = incidents.assign("c1", NOW_NS - MINUTE_NS)
    assert late.id == first.id
    assert late.last_ns == NOW_NS


def test_a_clock_that_was_set_back_leaves_no_incident_open() -> None:
    incidents = Incidents("boot")
    tell(incidents, "HW-101", Severity.CRITICAL, NOW_NS)
    assert incidents.expire(NOW_NS - 15 * MINUTE_NS) == ()
    (closed,) = incidents.expire(NOW_NS - 15 * MINUTE_NS - 1)
    assert (closed.phase, len(incidents)) == (Phase.CLOSED, 0)


def test_containers_and_nodes_are_apart_and_ids_are_repeatable() -> None:
    ids = {Incidents(boot).assign(container, NOW_NS).id for boot in ("a", "b") for container in ("c1", "c2", None)}
    assert len(ids) == 6
    assert Incidents("a").assign("c1", NOW_NS).id in ids
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)


def test_an_agent_that_is_started_anew_goes_on_with_the_same_incident() -> None:
    before, after = Incidents("boot"), Incidents("boot")
    assert before.assign("c1", NOW_NS).id == after.assign("c1", NOW_NS + 7 * MINUTE_NS).id


def test_a_finding_without_a_container_belongs_where_its_process_does() -> None:
    """What the host ran for a container: HW-114 names it, HW-208 of the same process does not."""
    incidents = Incidents("boot")
    named = incidents.assign("c1", NOW_NS, build.key(7))
    assert incidents.assign(None, NOW_NS, build.key(7)).id == named.id
    assert incidents.assign(None, NOW_NS, build.key(8)).id != named.id


def test_is_bounded() -> None:
    incidents = Incidents("boot", limit=2)
    first = incidents.assign("c1", NOW_NS)
    incidents.assign("c2", NOW_NS)
    incidents.assign("c3", NOW_NS)
    assert incidents.evicted == 1
    assert incidents.assign("c1", NOW_NS + 1).id != first.id


# How bad it is


def test_opens_with_the_first_behaviour_that_is_medium_or_worse() -> None:
    incidents = Incidents("boot")
    assert phases(tell(incidents, "HW-301")[0]) == []
    assert phases(tell(incidents, "HW-225", Severity.LOW)[0]) == []
    assert phases(tell(incidents, "HW-226")[0]) == [(Phase.OPENED, Severity.MEDIUM)]
    assert phases(tell(incidents, "HW-223")[0]) == []


@pytest.mark.parametrize("rules", [("HW-301",), ("HW-902",), ("HW-229",), ("HW-305", "HW-302")])
def test_exposures_and_the_agents_own_are_no_incident(rules: tuple[str, ...]) -> None:
    incidents = Incidents("boot")
    severity = Severity.INFO if rules == ("HW-229",) else Severity.MEDIUM
    assert [tell(incidents, rule, severity)[0] for rule in rules] == [()] * len(rules)
    assert incidents.expire(NOW_NS + 60 * MINUTE_NS) == ()


def test_is_one_step_worse_when_what_was_given_is_used() -> None:
    incidents = Incidents("boot")
    tell(incidents, "HW-304")
    (change,), _ = tell(incidents, "HW-210")
    assert phases((change,)) == [(Phase.OPENED, Severity.HIGH)]
    assert change.incident.why == "HW-304 name was given, and HW-210 name uses it"


@pytest.mark.parametrize(("given", "used"), [("HW-305", "HW-206"), ("HW-305", "HW-105"), ("HW-302", "HW-210")])
def test_a_directory_or_a_namespace_that_was_given_counts_when_it_is_used(given: str, used: str) -> None:
    incidents = Incidents("boot")
    tell(incidents, given)
    assert phases(tell(incidents, used)[0]) == [(Phase.OPENED, Severity.HIGH)]


def test_a_mild_behaviour_is_no_worse_than_medium_for_an_exposure() -> None:
    incidents = Incidents("boot")
    tell(incidents, "HW-307", Severity.MEDIUM)
    assert phases(tell(incidents, "HW-225", Severity.LOW)[0]) == [(Phase.OPENED, Severity.MEDIUM)]


def test_an_exposure_counts_long_after_it_was_told() -> None:
    incidents = Incidents("boot")
    tell(incidents, "HW-304")
    (change,), _ = tell(incidents, "HW-210", at_ns=NOW_NS + 600 * MINUTE_NS)
    assert change.incident.severity is Severity.HIGH
    assert [each.rule_id for each in change.incident.story] == ["HW-304", "HW-210"]


def test_is_no_worse_when_the_exposure_is_of_another_dimension_or_container() -> None:
    incidents = Incidents("boot")
    tell(incidents, "HW-310")
    tell(incidents, "HW-304", container="c2")
    assert phases(tell(incidents, "HW-210")[0]) == [(Phase.OPENED, Severity.MEDIUM)]


def test_is_critical_when_a_widened_confinement_comes_with_a_technique() -> None:
    incidents = Incidents("boot")
    assert phases(tell(incidents, "HW-105", Severity.HIGH)[0]) == [(Phase.OPENED, Severity.HIGH)]
    (change,), _ = tell(incidents, "HW-225", Severity.LOW, NOW_NS + 1)
    assert phases((change,)) == [(Phase.RAISED, Severity.CRITICAL)]
    assert change.incident.why == "HW-105 name came with HW-225 name"


def test_somebody_who_only_entered_makes_no_escape_worse() -> None:
    incidents = Incidents("boot")
    tell(incidents, "HW-229", Severity.INFO)
    assert phases(tell(incidents, "HW-105", Severity.HIGH)[0]) == [(Phase.OPENED, Severity.HIGH)]


def test_the_worst_cannot_be_raised() -> None:
    incidents = Incidents("boot")
    tell(incidents, "HW-301")
    assert phases(tell(incidents, "HW-203", Severity.CRITICAL)[0]) == [(Phase.OPENED, Severity.CRITICAL)]
    assert tell(incidents, "HW-206", Severity.CRITICAL)[0] == ()


# What is told of it


def test_the_story_is_in_the_order_in_which_it_happened() -> None:
    incidents = Incidents("boot")
    tell(incidents, "HW-223", at_ns=NOW_NS)
    (raised,), _ = tell(incidents, "HW-112", Severity.HIGH, NOW_NS - 5)
    assert [each.rule_id for each in raised.incident.story] == ["HW-112", "HW-223"]


def test_is_closed_after_a_quiet_window() -> None:
    incidents = Incidents("boot")
    _, incident = tell(incidents, "HW-226")
    assert incidents.expire(NOW_NS + 15 * MINUTE_NS) == ()
    (closed,) = incidents.expire(NOW_NS + 15 * MINUTE_NS + 1)
    assert (closed.phase, closed.incident.id) == (Phase.CLOSED, incident.id)
    assert incidents.expire(NOW_NS + 99 * MINUTE_NS) == ()
    assert len(incidents) == 0


def test_an_incident_that_was_over_is_closed_before_the_next_opens() -> None:
    incidents = Incidents("boot")
    _, first = tell(incidents, "HW-226")
    changes, second = tell(incidents, "HW-226", at_ns=NOW_NS + 60 * MINUTE_NS)
    assert [(each.phase, each.incident.id) for each in changes] == [
        (Phase.CLOSED, first.id),
        (Phase.OPENED, second.id),
    ]


def test_a_story_without_room_keeps_what_is_worst() -> None:
    incidents = Incidents("boot")
    tell(incidents, "HW-104", Severity.HIGH)
    for offset in range(2 * MAX_STORY):
        tell(incidents, "HW-223", Severity.MEDIUM, NOW_NS + offset)
    (closed,) = incidents.expire(NOW_NS + 60 * MINUTE_NS)
    assert len(closed.incident.story) == MAX_STORY
    assert closed.incident.findings == 2 * MAX_STORY + 1
    assert "HW-104" in {each.rule_id for each in closed.incident.story}


def test_the_same_findings_give_the_same_changes() -> None:
    def play() -> list[object]:
        incidents = Incidents("boot")
        return [
            tell(incidents, rule, at_ns=NOW_NS + index) for index, rule in enumerate(("HW-304", "HW-210", "HW-101"))
        ]

    assert play() == play()


def test_exposures_join_behaviours() -> None:
    family = {each.id: each.family for each in DETECTORS}
    assert all(rule_id[3] == "3" for rule_id in JOINS)
    for rule_id, behaviours in JOINS.items():
        assert family.get(rule_id, Family.EXPOSURE) is Family.EXPOSURE
        for each in behaviours:
            assert re.fullmatch(r"HW-[12]\d\d", each)
            assert family.get(each, Family.TECHNIQUE) in {Family.DRIFT, Family.TECHNIQUE}
