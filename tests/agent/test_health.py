from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.health import (
    LOOP_STUCK_SECONDS,
    MAX_NAMED,
    RECENT_SECONDS,
    Code,
    Growth,
    OutboxStatus,
    SinkStatus,
    Status,
    Vitals,
    assess,
)
from detectors.base import Tier

NOW_NS = 1_763_700_000_000_000_000
SINK = SinkStatus(
    name="siem",
    sent=10,
    retried=0,
    dropped=0,
    waiting=0,
    oldest_waiting_ns=None,
    last_success_ns=NOW_NS,
    is_failing=False,
    failures=0,
)
OUTBOX = OutboxStatus(alerts=10, size_bytes=1, limit_bytes=2, dropped={}, write_failures=0, is_failing=False)
WELL = Vitals(
    now_ns=NOW_NS,
    is_stopping=False,
    uptime_seconds=100,
    loop_age_seconds=0.5,
    sweep_age_seconds=0.8,
    sweep_interval_seconds=1,
    tier=Tier.NETLINK,
    configured_sensor="auto",
    sources_up={"netlink": True, "sweep": True},
    docker_trouble=None,
    pods_trouble=None,
    is_endpoint_missing=False,
    outbox=OUTBOX,
    sinks=(SINK,),
    ages={},
)


def test_an_agent_that_watches_and_delivers_is_well_and_ready() -> None:
    health = assess(WELL)
    assert (health.status, health.reasons, health.is_ready) == (Status.OK, (), True)


@pytest.mark.parametrize(
    ("change", "code", "status", "detail"),
    [
        (
            {"loop_age_seconds": LOOP_STUCK_SECONDS + 1},
            Code.MAIN_LOOP_STUCK,
            Status.FAILING,
            "the main loop has not turned for 31 s",
        ),
        ({"sweep_age_seconds": 61}, Code.SWEEP_OVERDUE, Status.FAILING, "no sweep has ended for 61 s"),
        ({"sweep_age_seconds": 11}, Code.SWEEP_OVERDUE, Status.DEGRADED, "no sweep has ended for 11 s"),
        (
            {"sweep_age_seconds": None, "uptime_seconds": 70},
            Code.SWEEP_OVERDUE,
            Status.FAILING,
            "the first sweep has not ended for 70 s",
        ),
        (
            {"tier": Tier.POLL, "sources_up": {}},
            Code.SENSOR_WEAK,
            Status.DEGRADED,
            "only sweeps tell what happens: what is short-lived is not seen",
        ),
        (
            {"sources_up": {"netlink": False}},
            Code.SENSOR_LOST,
            Status.DEGRADED,
            "netlink has stopped and is tried again",
        ),
        (
            {"sources_up": {"mount_watch": False}},
            Code.SOURCE_FAILING,
            Status.DEGRADED,
            "mount_watch has stopped and is tried again",
        ),
        (
            {"docker_trouble": "fails"},
            Code.DOCKER_API_FAILING,
            Status.DEGRADED,
            "the Docker API fails: names and labels may be missing",
        ),
        (
            {"pods_trouble": "says: answered 403"},
            Code.KUBERNETES_API_FAILING,
            Status.DEGRADED,
            "the Kubernetes API says: answered 403: labels and owners of pods may be missing",
        ),
        (
            {"is_control_missing": True},
            Code.CONTROL_UNAVAILABLE,
            Status.DEGRADED,
            "the control socket cannot be made: see the log",
        ),
        (
            {"is_endpoint_missing": True},
            Code.ENDPOINT_UNAVAILABLE,
            Status.DEGRADED,
            "the metrics endpoint cannot listen: see the log",
        ),
        (
            {"outbox": replace(OUTBOX, is_failing=True)},
            Code.OUTBOX_FAILING,
            Status.DEGRADED,
            "alerts cannot be written to the outbox",
        ),
        (
            {"sinks": (replace(SINK, is_failing=True, waiting=3, oldest_waiting_ns=NOW_NS - 5_000_000_000),)},
            Code.SINK_FAILING,
            Status.DEGRADED,
            "siem fails: 3 alerts wait, the oldest for 5 s",
        ),
        (
            {"sinks": (replace(SINK, waiting=9, oldest_waiting_ns=NOW_NS - 61_000_000_000),)},
            Code.SINK_FAILING,
            Status.DEGRADED,
            "siem is slow: 9 alerts wait, the oldest for 61 s",
        ),
        (
            {"ages": {(Code.EVENTS_LOST, "netlink gap"): 40.0, (Code.EVENTS_LOST, "inbox queue_full"): 70.0}},
            Code.EVENTS_LOST,
            Status.DEGRADED,
            "events were lost (inbox queue_full, netlink gap), the last 40 s ago",
        ),
        (
            {"ages": {(Code.DETECTOR_FAILING, "HW-101"): 1.0}},
            Code.DETECTOR_FAILING,
            Status.DEGRADED,
            "detectors failed (HW-101), the last 1 s ago",
        ),
    ],
)
def test_says_what_is_wrong(change: dict[str, Any], code: Code, status: Status, detail: str) -> None:
    health = assess(replace(WELL, **change))
    assert [(each.code, each.status, each.detail) for each in health.reasons] == [(code, status, detail)]
    assert health.status is status
    assert health.is_ready is (status is not Status.FAILING)


def test_the_worst_reason_counts() -> None:
    health = assess(replace(WELL, docker_trouble="fails", loop_age_seconds=31.0, is_endpoint_missing=True))
    assert health.status is Status.FAILING
    assert len(health.reasons) == 3


def test_a_long_interval_makes_a_late_sweep_no_trouble() -> None:
    assert assess(replace(WELL, sweep_interval_seconds=300, sweep_age_seconds=800)).reasons == ()


def test_poll_that_was_asked_for_is_no_trouble() -> None:
    assert assess(replace(WELL, tier=Tier.POLL, configured_sensor="poll", sources_up={})).reasons == ()


def test_what_was_counted_long_ago_is_no_reason_any_more() -> None:
    assert assess(replace(WELL, ages={(Code.EVENTS_LOST, "netlink gap"): RECENT_SECONDS})).reasons == ()


def test_names_only_so_many() -> None:
    ages = {(Code.DETECTOR_FAILING, f"HW-{number}"): 1.0 for number in range(100, 120)}
    detail = assess(replace(WELL, ages=ages)).reasons[0].detail
    assert detail.count("HW-") == MAX_NAMED


@pytest.mark.parametrize("change", [{"sweep_age_seconds": None, "uptime_seconds": 1}, {"is_stopping": True}])
def test_is_not_ready_before_the_first_sweep_and_when_stopping(change: dict[str, Any]) -> None:
    health = assess(replace(WELL, **change))
    assert (health.status, health.is_ready) == (Status.OK, False)


def test_growth_remembers_when_a_counter_last_grew() -> None:
    growth = Growth()
    lost, quiet = (Code.EVENTS_LOST, "netlink gap"), (Code.BLIND, "denied")
    growth.note({lost: 0, quiet: 0}, 100.0)
    assert growth.ages(101.0) == {}
    growth.note({lost: 5, quiet: 0}, 110.0)
    growth.note({lost: 5, quiet: 0}, 120.0)
    assert growth.ages(125.0) == {lost: 15.0}
    growth.note({lost: 6, quiet: 0}, 130.0)
    assert growth.ages(131.0) == {lost: 1.0}


def test_growth_takes_a_counter_that_began_anew() -> None:
    growth = Growth()
    name = (Code.SINK_DROPPING, "siem")
    growth.note({name: 9}, 100.0)
    growth.note({name: 0}, 110.0)
    assert growth.ages(111.0) == {}
    growth.note({name: 1}, 120.0)
    assert growth.ages(121.0) == {name: 1.0}
