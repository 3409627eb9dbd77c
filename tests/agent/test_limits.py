from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent.formats.ecs import to_ecs
from agent.limits import SUMMARY_NS, AlertLimits, summary
from agent.report import Alert
from detectors.base import Severity
from tests.agent import alerts
from tests.support import build

SECOND_NS = 1_000_000_000
ALERT = replace(alerts.alert(), severity=Severity.HIGH)


def at(seconds: float, container_id: str | None = "c1", severity: Severity = Severity.HIGH) -> Alert:
    return replace(ALERT, at_ns=build.NOW_NS + int(seconds * SECOND_NS), container_id=container_id, severity=severity)


def test_a_burst_passes_then_the_long_run_counts() -> None:
    limits = AlertLimits(burst=3, per_minute=60)
    assert [limits.passes(at(0)) for _ in range(5)] == [True] * 3 + [False] * 2
    assert [limits.passes(at(2)) for _ in range(3)] == [True, True, False]
    assert limits.held_back == 3


def test_one_container_does_not_bury_the_others() -> None:
    limits = AlertLimits(burst=1, per_minute=1)
    assert limits.passes(at(0))
    assert not limits.passes(at(0))
    assert limits.passes(at(0, "c2"))
    assert limits.passes(at(0, None))
    other_rule = replace(at(0), detector=alerts.detector(id="HW-102"))
    assert limits.passes(other_rule)


def test_critical_always_passes_and_takes_no_token() -> None:
    limits = AlertLimits(burst=1, per_minute=1)
    assert all(limits.passes(at(0, severity=Severity.CRITICAL)) for _ in range(1000))
    assert limits.passes(at(0))


def test_tells_what_was_held_back_after_a_minute() -> None:
    limits = AlertLimits(burst=1, per_minute=0.1)
    assert limits.passes(at(0))
    for number in range(5):
        assert not limits.passes(at(1 + number, severity=Severity.MEDIUM if number else Severity.HIGH))
    assert list(limits.due(build.NOW_NS + 30 * SECOND_NS)) == []
    (overflow,) = limits.due(build.NOW_NS + SECOND_NS + SUMMARY_NS)
    assert (overflow.count, overflow.severity, overflow.last) == (5, Severity.HIGH, at(5, severity=Severity.MEDIUM))
    assert list(limits.due(build.NOW_NS + 10 * SUMMARY_NS)) == []


def test_a_clock_that_jumps_back_holds_nothing_for_ever() -> None:
    limits = AlertLimits(burst=1, per_minute=0.1)
    assert limits.passes(at(0))
    assert not limits.passes(at(1))
    assert len(list(limits.due(0))) == 1


def test_tells_the_rest_at_the_end() -> None:
    limits = AlertLimits(burst=1, per_minute=1)
    for container_id in ("a", "b"):
        assert limits.passes(at(0, container_id))
        assert not limits.passes(at(0, container_id))
    assert [overflow.count for overflow in limits.rest()] == [1, 1]
    assert list(limits.rest()) == []


def test_the_summary_is_an_alert_of_the_same_rule_with_the_count() -> None:
    limits = AlertLimits(burst=1, per_minute=0.1)
    for number in range(4):
        limits.passes(at(number))
    (overflow,) = limits.rest()
    told = summary(overflow, 99)
    assert told.message == (
        "3 more alerts were held back (HW-101 host_namespace_joined, within 2 s), the last one: "
        "Container web-1 (debian:12), process nsenter (pid 4242): has joined the host's mnt namespace"
    )
    assert told.sequence == 99
    assert told.id != ALERT.id
    document = to_ecs(told)
    assert document["rule"]["id"] == "HW-101"
    assert document["hullwatch"]["evidence"]["held_back"] == "3"


@given(
    st.lists(st.tuples(st.floats(-100, 4000), st.sampled_from("abcd"), st.sampled_from(list(Severity))), max_size=80),
    st.integers(1, 3),
)
def test_every_alert_is_told_or_counted_and_critical_ones_are_told(
    raised: list[tuple[float, str, Severity]], max_buckets: int
) -> None:
    limits = AlertLimits(burst=2, per_minute=1, max_buckets=max_buckets)
    told = counted = 0
    for seconds, container_id, severity in raised:
        alert = at(seconds, container_id, severity)
        passed = limits.passes(alert)
        assert passed or severity is not Severity.CRITICAL
        told += passed
        counted += sum(overflow.count for overflow in limits.due(alert.at_ns))
    counted += sum(overflow.count for overflow in limits.rest())
    assert told + counted == len(raised)
