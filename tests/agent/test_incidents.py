from __future__ import annotations

import re

from agent.incidents import Incidents

MINUTE_NS = 60 * 10**9
NOW_NS = 1_763_700_000 * 10**9


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


def test_containers_and_nodes_are_apart_and_ids_are_repeatable() -> None:
    ids = {Incidents(boot).assign(container, NOW_NS).id for boot in ("a", "b") for container in ("c1", "c2", None)}
    assert len(ids) == 6
    assert Incidents("a").assign("c1", NOW_NS).id in ids
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)


def test_is_bounded() -> None:
    incidents = Incidents("boot", limit=2)
    first = incidents.assign("c1", NOW_NS)
    incidents.assign("c2", NOW_NS)
    incidents.assign("c3", NOW_NS)
    assert incidents.evicted == 1
    assert incidents.assign("c1", NOW_NS + 1).id != first.id
