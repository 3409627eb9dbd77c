"""``Telemetry`` over the real parts of an agent whose sources are never started: time and events are the test's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import pytest

from agent.assembly import assemble, new_state
from agent.config_schema import Config, ContainersConfig, DockerConfig
from agent.health import Code, Health, OutboxStatus, SinkStatus, Status
from agent.inbox import Inbox
from agent.kubernetes_schema import KubernetesApiConfig
from agent.metrics_schema import MetricsConfig
from agent.pipeline import Pipeline
from agent.pod_source import new_pod_watch
from agent.policy import Policy
from agent.report import AlertBuilder
from agent.sources import SensorChoice, Sources
from agent.telemetry import FRESH_SECONDS, Telemetry
from collectors.containers.docker import DockerMetadata, SourceState
from collectors.events import Lost, Seen, SweepDone
from collectors.kubernetes.watch import PodSourceState, PodSourceStatus
from detectors.base import Blind, Tier
from tests.agent import alerts, readings
from tests.support import build

SWEEP = SweepDone(build.NOW_NS, 1, 100, 5_000_000)
OUTBOX = OutboxStatus(alerts=1, size_bytes=1, limit_bytes=9, dropped={"low": 0}, write_failures=0, is_failing=False)


@dataclass
class FakeDelivery:
    """A way out whose state the test sets."""

    outbox: OutboxStatus = OUTBOX
    sinks: tuple[SinkStatus, ...] = ()
    asked: int = 0

    def outbox_status(self) -> OutboxStatus:
        self.asked += 1
        return self.outbox

    def sink_statuses(self) -> tuple[SinkStatus, ...]:
        return self.sinks


@dataclass
class Parts:
    """An agent's parts, of which nothing runs."""

    telemetry: Telemetry
    pipeline: Pipeline
    inbox: Inbox
    sources: Sources
    delivery: FakeDelivery

    def health(self) -> Health:
        return self.telemetry.health()

    def codes(self) -> list[Code]:
        return [reason.code for reason in self.health().reasons]


@pytest.fixture
def parts() -> Parts:
    config = Config(metrics=MetricsConfig(address=None), sensor="poll")
    inbox = Inbox(config.limits.queue_events, time.time_ns, lambda: None)
    collectors = assemble(config, inbox.put, watch_mounts=True)
    sources = Sources(config, collectors, inbox.put)
    state = new_state(config, collectors.host, Tier.POLL)
    pipeline = Pipeline(
        state,
        (alerts.detector(),),
        Policy(()),
        AlertBuilder(alerts.HOST, "0.1.0"),
        "boot",
        timer_ns=time.perf_counter_ns,
    )
    delivery = FakeDelivery()
    choice = SensorChoice(Tier.POLL, "the test asks for it")
    telemetry = Telemetry(config, choice, collectors, sources, inbox, state, pipeline, delivery)
    return Parts(telemetry, pipeline, inbox, sources, delivery)


def test_is_ready_from_the_first_sweep_until_it_is_told_to_stop(parts: Parts) -> None:
    assert parts.health() == Health(Status.OK, (), is_ready=False)
    parts.telemetry.handled(SWEEP)
    assert parts.health() == Health(Status.OK, (), is_ready=True)
    parts.telemetry.stopping()
    assert parts.health() == Health(Status.OK, (), is_ready=False)


def test_fails_when_the_main_loop_does_not_turn(parts: Parts) -> None:
    parts.telemetry.handled(SWEEP)
    parts.telemetry._turned -= 31
    assert parts.codes() == [Code.MAIN_LOOP_STUCK]
    parts.telemetry.turned()
    assert parts.codes() == []


def test_says_when_no_sweep_comes(parts: Parts) -> None:
    parts.telemetry.handled(SWEEP)
    assert parts.telemetry._swept is not None
    parts.telemetry._swept -= 100
    assert parts.health().status is Status.FAILING


def test_says_when_the_control_socket_cannot_be_made(parts: Parts) -> None:
    is_listening = False
    parts.telemetry.handled(SWEEP)
    parts.telemetry.watch_control(lambda: is_listening)
    assert parts.codes() == []  # it has a moment to be made
    parts.telemetry._started -= 6
    assert parts.codes() == [Code.CONTROL_UNAVAILABLE]
    is_listening = True
    assert parts.codes() == []


def lose(parts: Parts) -> None:
    parts.telemetry.handled(Lost(1, "netlink", "overrun", 7))


def fill_the_queue(parts: Parts) -> None:
    parts.inbox.dropped = 3


def fail_a_check(parts: Parts) -> None:
    parts.pipeline.counts["HW-101"].failures["KeyError: 'x'"] = 1


def be_denied(parts: Parts) -> None:
    parts.pipeline.counts["HW-101"].blind["root: denied: proc/root"] = 1


def test_is_well_where_only_what_nobody_may_read_is_out_of_sight(parts: Parts) -> None:
    why = "unsupported: only who has CAP_SYS_ADMIN may read it"
    parts.pipeline.counts["HW-101"].blind.update({why: 3, "gone: proc/stat": 2, "not_read: the first process": 1})
    parts.telemetry.handled(SWEEP)
    assert parts.health() == Health(Status.OK, (), is_ready=True)


def fail_a_source(parts: Parts) -> None:
    parts.sources._run("odd", lambda: None)
    parts.sources.health["odd"].failures["OSError: x"] = 1


def overflow(parts: Parts) -> None:
    parts.pipeline._state.overflow["processes"] = 1


def refuse_a_watch(parts: Parts) -> None:
    touches = parts.telemetry._collectors.touch_watch
    assert touches is not None
    touches.counters.refused = 1


def drop_from_the_outbox(parts: Parts) -> None:
    parts.delivery.outbox = replace(OUTBOX, dropped={"low": 1})


def drop_for_a_sink(parts: Parts) -> None:
    parts.delivery.sinks = (readings.sink("siem", dropped=1),)


@pytest.mark.parametrize(
    ("act", "code", "named"),
    [
        (lose, Code.EVENTS_LOST, "(netlink overrun)"),
        (fill_the_queue, Code.EVENTS_LOST, "(inbox queue_full)"),
        (fail_a_check, Code.DETECTOR_FAILING, "(HW-101)"),
        (be_denied, Code.BLIND, "(denied)"),
        (fail_a_source, Code.SOURCE_FAILING, "(odd)"),
        (overflow, Code.STATE_FULL, "(processes)"),
        (refuse_a_watch, Code.STATE_FULL, "(touch_watch)"),
        (drop_from_the_outbox, Code.OUTBOX_DROPPING, "(low)"),
        (drop_for_a_sink, Code.SINK_DROPPING, "(siem)"),
    ],
)
def test_tells_of_what_was_counted_since_the_last_sweep(
    parts: Parts, act: Callable[[Parts], None], code: Code, named: str
) -> None:
    act(parts)
    parts.telemetry.handled(SWEEP)
    assert [(each.code, named in each.detail) for each in parts.health().reasons] == [(code, True)]


def test_a_process_that_ended_while_it_was_read_is_no_trouble(parts: Parts) -> None:
    parts.pipeline.counts["HW-101"].blind["gone: proc/ns"] = 5
    parts.telemetry.handled(SWEEP)
    assert parts.codes() == []


@pytest.mark.parametrize(
    ("enabled", "state", "trouble"),
    [
        ("auto", SourceState.ABSENT, None),
        ("auto", SourceState.FAILING, "fails"),
        (True, SourceState.ABSENT, "has no socket"),
        (True, SourceState.CONNECTED, None),
    ],
)
def test_tells_of_docker_where_it_is_expected(
    parts: Parts, enabled: bool | Literal["auto"], state: SourceState, trouble: str | None
) -> None:
    docker = ContainersConfig(docker=DockerConfig(enabled=enabled))
    parts.telemetry._config = Config(containers=docker, sensor="poll")
    parts.sources._docker = DockerMetadata(parts.telemetry._collectors.registry, parts.inbox.put, clock_ns=time.time_ns)
    parts.sources._docker._become(state, "")
    reasons = [each.detail for each in parts.health().reasons]
    assert reasons == ([f"the Docker API {trouble}: names and labels may be missing"] if trouble else [])


@pytest.mark.parametrize(
    ("state", "why", "silent_seconds", "is_told"),
    [
        (PodSourceState.STARTING, "", None, False),
        (PodSourceState.CONNECTED, "", 500, False),
        (PodSourceState.CONNECTED, "no pod is on node x: is that its name?", 1, True),
        (PodSourceState.FAILING, "answered 500", 5, False),
        (PodSourceState.FAILING, "answered 500", 61, True),
        (PodSourceState.FAILING, "answered 403", None, True),
    ],
)
def test_tells_of_kubernetes_when_it_has_been_silent_for_a_minute(
    parts: Parts, state: PodSourceState, why: str, silent_seconds: int | None, is_told: bool
) -> None:
    api = KubernetesApiConfig(enabled=True, node_name="node-1", server="https://127.0.0.1:6443")
    watch = new_pod_watch(api, parts.telemetry._collectors.registry, parts.inbox.put, {}, lambda _: None)
    assert watch is not None
    contact_ns = None if silent_seconds is None else time.time_ns() - silent_seconds * 1_000_000_000
    watch._status = PodSourceStatus(state, why, contact_ns=contact_ns)
    parts.sources._pods = watch
    parts.telemetry._started -= 100
    parts.telemetry.handled(SWEEP)
    assert (Code.KUBERNETES_API_FAILING in parts.codes()) is is_told


def test_a_scrape_holds_what_was_measured(parts: Parts) -> None:
    alert = alerts.alert()
    parts.telemetry.raised(alert)
    parts.telemetry.handled(SWEEP)
    parts.telemetry.reloaded(is_taken=True)
    scrape = parts.telemetry.scrape()
    for line in (
        b'hullwatch_alerts_total{rule="HW-101",severity="critical"} 1',
        b"hullwatch_act_to_alert_seconds_count 1",
        b"hullwatch_sweep_cpu_seconds_sum 0.005",
        b"hullwatch_sweep_processes 100",
        b'hullwatch_state_entries{table="processes"} 0',
        b'hullwatch_state_limit_entries{table="findings"} 16384',
        b'hullwatch_config_reloads_total{result="taken"} 1',
        b'hullwatch_sensor_info{tier="poll",configured="poll"} 1',
        b"hullwatch_outbox_limit_bytes 9",
        b"hullwatch_ready 1",
    ):
        assert line + b"\n" in scrape


def test_a_scrape_and_the_way_out_are_asked_for_once_a_second_at_most(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    first = parts.telemetry.scrape()
    parts.telemetry.handled(SWEEP)
    for _ in range(50):
        parts.health()
    assert parts.telemetry.scrape() is first
    assert parts.delivery.asked == 1
    now += FRESH_SECONDS
    assert b"hullwatch_ready 1" in parts.telemetry.scrape()
    assert parts.delivery.asked == 2


def test_the_time_of_a_check_is_counted(parts: Parts) -> None:
    parts.pipeline.use((alerts.detector(wants=(Seen,), check=lambda _event, _view: iter((Blind("gone"),))),))
    list(parts.pipeline.feed(Seen(build.NOW_NS, alerts.escaped())))
    counts = parts.pipeline.counts["HW-101"]
    assert (counts.checks, counts.blind) == (1, {"gone": 1})
    assert counts.spent_ns > 0


def test_reading_goes_well_while_the_main_thread_counts(parts: Parts) -> None:
    """Tables that grow while they are walked would raise."""
    stop = threading.Event()

    def count() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            parts.telemetry.handled(Lost(1, f"source {number % 60}", "gap", 1))
            parts.pipeline.counts["HW-101"].blind[f"gone: {number % 1000}"] = number
            parts.pipeline.counts["HW-101"].failures[f"Error{number % 1000}: x"] = number
            parts.telemetry.handled(SWEEP)

    counter = threading.Thread(target=count)
    counter.start()
    try:
        for _ in range(60):
            parts.telemetry._scraped = None
            assert b"hullwatch_ready" in parts.telemetry.scrape()
    finally:
        stop.set()
        counter.join(10)
    assert not counter.is_alive()
