from __future__ import annotations

from typing import Any

import pytest

from agent import metrics_catalog
from agent.exposition import Metric, Sample, render
from agent.metrics import blind_kind, collect, error_kind
from agent.metrics_catalog import METRICS
from agent.pipeline import DetectorCounts
from tests.agent import readings

NOTHING: dict[str, Any] = {
    "connector": None,
    "ebpf": None,
    "mount_watch": None,
    "touch_watch": None,
    "docker": None,
    "pods": None,
    "outbox": None,
    "sinks": (),
    "detectors": {},
    "exceptions": (),
    "sources": {},
    "tables": {},
}


def lines(name: str, samples: list[Sample] | None = None) -> list[str]:
    """The samples of one metric, as a scrape shows them."""
    found = collect(readings.snapshot()) if samples is None else samples
    text = render([each for each in found if each.metric.name == name]).decode()
    return [line.removeprefix(name) for line in text.splitlines() if not line.startswith("#")]


def test_the_catalogue_lists_every_metric_that_it_declares() -> None:
    declared = [each for each in vars(metrics_catalog).values() if isinstance(each, Metric)]
    assert sorted(METRICS, key=lambda each: each.name) == sorted(declared, key=lambda each: each.name)
    assert len({each.name for each in METRICS}) == len(METRICS)


def test_a_full_snapshot_shows_every_metric_of_the_catalogue() -> None:
    assert {each.metric for each in collect(readings.snapshot())} == set(METRICS)


def test_no_series_comes_twice() -> None:
    samples = list(collect(readings.snapshot()))
    assert len({(each.metric.name, each.labels) for each in samples}) == len(samples)


def test_an_agent_that_lacks_parts_is_scraped_all_the_same() -> None:
    assert b"hullwatch_ready 1\n" in render(collect(readings.snapshot(**NOTHING)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hullwatch_build_info", ['{version="0.1.0",python="3.11.7"} 1']),
        ("hullwatch_health_status", ['{status="ok"} 0', '{status="degraded"} 1', '{status="failing"} 0']),
        (
            "hullwatch_kubernetes_api_state",
            ['{state="starting"} 0', '{state="connected"} 1', '{state="failing"} 0', '{state="stopped"} 0'],
        ),
        ("hullwatch_kubernetes_api_requests_total", ['{verb="list"} 3', '{verb="watch"} 9']),
        ("hullwatch_kubernetes_api_relists_total", [" 2"]),
        ("hullwatch_kubernetes_api_failures_total", ['{error="http_410"} 2', '{error="cut"} 1']),
        ("hullwatch_kubernetes_pods", [" 12"]),
        ("hullwatch_source_up", ['{source="netlink"} 1', '{source="sweep"} 0']),
        ("hullwatch_source_failures_total", ['{source="sweep",error="OSError"} 3']),
        (
            "hullwatch_sensor_errors_total",
            [
                '{source="netlink",error="gone"} 4',
                '{source="netlink",error="malformed"} 3',
                '{source="netlink",error="reopened"} 0',
                '{source="netlink",error="stranger"} 0',
                '{source="ebpf",error="detached"} 1',
                '{source="ebpf",error="gone"} 6',
                '{source="ebpf",error="malformed"} 1',
                '{source="ebpf",error="not_remembered"} 4',
                '{source="ebpf",error="stranger"} 2',
                '{source="kubernetes",error="odd_answer"} 1',
                '{source="kubernetes",error="other_node"} 2',
                '{source="touch_watch",error="refused"} 2',
                '{source="touch_watch",error="failed"} 0',
            ],
        ),
        (
            "hullwatch_sensor_overruns_total",
            ['{source="netlink"} 1', '{source="ebpf"} 3', '{source="touch_watch"} 4'],
        ),
        ("hullwatch_objects_watched", [" 120"]),
        (
            "hullwatch_events_lost_total",
            ['{source="inbox",reason="queue_full"} 6', '{source="netlink",reason="overrun"} 12'],
        ),
        (
            "hullwatch_process_look_results_total",
            ['{result="told"} 20', '{result="gone_before_looked"} 5', '{result="not_remembered"} 0'],
        ),
        ("hullwatch_state_limit_entries", ['{table="processes"} 65536']),
        ("hullwatch_state_overflow_total", ['{table="processes"} 0', '{table="incidents"} 2']),
        ("hullwatch_detector_seconds_total", ['{rule="HW-101"} 0.0015']),
        ("hullwatch_detector_blind_total", ['{rule="HW-101",reason="gone"} 4', '{rule="HW-101",reason="other"} 1']),
        ("hullwatch_detector_failures_total", ['{rule="HW-101",error="KeyError"} 2']),
        ("hullwatch_exception_matches_total", ['{exception="1"} 3', '{exception="2"} 0']),
        ("hullwatch_exceptions_expired", [" 1"]),
        ("hullwatch_alerts_held_back_total", [" 40"]),
        (
            "hullwatch_outbox_dropped_total",
            [
                '{severity="info"} 0',
                '{severity="low"} 2',
                '{severity="medium"} 0',
                '{severity="high"} 0',
                '{severity="critical"} 0',
            ],
        ),
        ("hullwatch_sink_up", ['{sink="siem"} 1', '{sink="loki"} 0']),
        ("hullwatch_sink_lag_seconds", ['{sink="siem"} 0', '{sink="loki"} 2.5']),
        ("process_start_time_seconds", [" 1763600000.25"]),
    ],
)
def test_shows(name: str, expected: list[str]) -> None:
    assert lines(name) == expected


def test_a_sink_that_never_had_anything_has_no_last_success() -> None:
    samples = list(collect(readings.snapshot(sinks=(readings.sink("new", last_success_ns=None),))))
    assert lines("hullwatch_sink_last_success_timestamp_seconds", samples) == []


def test_shows_what_the_ebpf_programs_saw_in_the_kernel() -> None:
    assert [each for each in lines("hullwatch_sensor_records_total") if "ebpf" in each] == [
        '{source="ebpf",kind="forks"} 8',
        '{source="ebpf",kind="execs"} 7',
        '{source="ebpf",kind="notable_execs"} 2',
        '{source="ebpf",kind="introduced"} 5',
    ]


def test_no_text_of_a_stranger_reaches_a_label() -> None:
    counts = DetectorCounts(
        blind={"evil\n/var/lib/x": 1, "gone: evil": 1, "evil: denied: evil": 1},
        failures={'evil"}: x': 1, "ValueError: evil": 1, "evil evil": 1},
    )
    scrape = render(collect(readings.snapshot(detectors={"HW-101": counts})))
    assert b"evil" not in scrape
    assert b'hullwatch_detector_failures_total{rule="HW-101",error="other"} 2\n' in scrape


@pytest.mark.parametrize(
    ("why", "kind"),
    [
        ("gone: proc/ns", "gone"),
        ("first process: not_read: the first process was not seen", "not_read"),
        ("no_bundle", "no_bundle"),
        ("capabilities: a fact is missing", "other"),
        ("", "other"),
    ],
)
def test_the_kind_of_a_missing_fact_is_of_a_fixed_list(why: str, kind: str) -> None:
    assert blind_kind(why) == kind


@pytest.mark.parametrize(
    ("reason", "kind"),
    [("KeyError: 'x'", "KeyError"), ("OSError", "OSError"), ("other", "other"), ("\n: x", "other"), ("", "other")],
)
def test_the_kind_of_an_error_is_its_class(reason: str, kind: str) -> None:
    assert error_kind(reason) == kind
