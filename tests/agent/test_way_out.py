from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from agent.alert_path import LONGEST_WAIT_SECONDS, MAX_COLLECTED, AlertPath
from agent.config_schema import Config, OutputConfig, StdoutConfig
from agent.limits import AlertLimits
from agent.outbox import Outbox, Query
from agent.redaction import Redactor
from agent.report import Alert, AlertBuilder
from agent.state_schema import FileConfig, RateLimitConfig, RedactionConfig, StateConfig
from agent.way_out import WayOut
from collectors.events import AgentTrouble, Event, TroubleKind
from detectors.base import Severity
from tests.agent import alerts

RAISED = replace(alerts.alert(alerts.escaped(arguments=b"sh\0--token=hunter2\0")), severity=Severity.HIGH)


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    box = Outbox(None, max_bytes=1 << 20, max_age_seconds=60, clock_ns=time.time_ns)
    box.register(())
    yield box
    box.close()


def numbered(sequence: int, severity: Severity = Severity.HIGH) -> Alert:
    return replace(RAISED, sequence=sequence, id=f"id-{sequence}", severity=severity)


def test_many_alerts_are_one_commit_and_a_single_one_waits_for_nothing(outbox: Outbox) -> None:
    path = AlertPath(outbox, None, None, iter(range(10**9, 10**10)).__next__)
    first = outbox.next_sequence
    for number in range(3):
        path.take(numbered(first + number))
    path.flush_if_due(is_idle=False)
    assert outbox.query(Query(), 10) == []
    path.flush_if_due(is_idle=True)
    assert len(outbox.query(Query(), 10)) == 3
    path.take(numbered(first + 3))
    time.sleep(LONGEST_WAIT_SECONDS)
    path.flush_if_due(is_idle=False)
    assert len(outbox.query(Query(), 10)) == 4
    for number in range(MAX_COLLECTED):
        path.take(numbered(first + 4 + number))
    assert len(outbox.query(Query(), 1000)) == 4 + MAX_COLLECTED


def test_masks_and_limits_before_anything_is_kept(outbox: Outbox) -> None:
    first = outbox.next_sequence
    path = AlertPath(
        outbox,
        Redactor(RedactionConfig()),
        AlertLimits(burst=2, per_minute=0.1),
        iter(range(first + 100, first + 200)).__next__,
    )
    for number in range(10):
        path.take(numbered(first + number))
    path.take(numbered(first + 10, Severity.CRITICAL))
    path.finish()
    kept = outbox.query(Query(), 100)[::-1]
    assert [each.sequence - first for each in kept] == [0, 1, 10, 100]
    assert not any(b"hunter2" in each.document for each in kept)
    assert json.loads(kept[-1].document)["hullwatch"]["evidence"]["held_back"] == "8"


def config(directory: Path) -> Config:
    return Config(
        state=StateConfig(directory=str(directory / "state")),
        output=OutputConfig(
            stdout=StdoutConfig(enabled=False),
            file=FileConfig(path=str(directory / "alerts.json")),
            rate_limit=RateLimitConfig(enabled=False),
        ),
    )


def test_everything_that_is_raised_arrives_and_numbers_go_on_in_the_next_run(tmp_path: Path) -> None:
    numbers: list[int] = []
    for _ in range(2):
        way_out = WayOut(config(tmp_path), on_gone=lambda: None, emit=lambda _: None)
        builder = AlertBuilder(alerts.HOST, "0.1.0", way_out.first_sequence)
        way_out.start(builder)
        for _ in range(300):
            numbers.append(builder.next_sequence())
            way_out.take(numbered(numbers[-1]))
            way_out.turned(is_idle=False)
        way_out.stop(10)
    assert numbers == sorted(set(numbers))
    lines = (tmp_path / "alerts.json").read_text().split("\n")[:-1]
    assert [json.loads(line)["event"]["id"] for line in lines] == [f"id-{number}" for number in numbers]


def test_a_single_alert_is_at_the_sink_within_milliseconds(tmp_path: Path) -> None:
    way_out = WayOut(config(tmp_path), on_gone=lambda: None, emit=lambda _: None)
    builder = AlertBuilder(alerts.HOST, "0.1.0", way_out.first_sequence)
    way_out.start(builder)
    latencies: list[float] = []
    for _ in range(20):
        started = time.monotonic()
        way_out.take(numbered(builder.next_sequence()))
        way_out.turned(is_idle=True)
        sent = len(latencies) + 1
        while way_out.delivery.counts()["file"].sent < sent:
            time.sleep(0.0005)
        latencies.append(time.monotonic() - started)
    way_out.stop(10)
    assert sorted(latencies)[10] < 0.05


def test_tells_that_nobody_watched_between_two_runs(tmp_path: Path) -> None:
    told: list[Event] = []
    first = WayOut(config(tmp_path), on_gone=lambda: None, emit=told.append)
    first.start(AlertBuilder(alerts.HOST, "0.1.0", first.first_sequence))
    first.swept(time.time_ns())
    first.stop(10)
    assert told == []
    long_ago = time.time() - 3600
    os.utime(tmp_path / "state" / "heartbeat", (long_ago, long_ago))
    second = WayOut(config(tmp_path), on_gone=lambda: None, emit=told.append)
    second.start(AlertBuilder(alerts.HOST, "0.1.0", second.first_sequence))
    second.stop(10)
    (away,) = told
    assert isinstance(away, AgentTrouble)
    assert away.kind is TroubleKind.AWAY


def test_who_reads_the_history_does_not_hold_up_the_main_thread(tmp_path: Path) -> None:
    way_out = WayOut(config(tmp_path), on_gone=lambda: None, emit=lambda _: None)
    builder = AlertBuilder(alerts.HOST, "0.1.0", way_out.first_sequence)
    way_out.start(builder)
    way_out.spare_memory(is_sparing=True)  # what waits is in the file alone
    outbox = way_out._outbox
    assert outbox._file is not None
    with outbox._file._read_lock:
        way_out.take(numbered(builder.next_sequence()))
        way_out.turned(is_idle=True)
        main = threading.Thread(target=lambda: way_out.swept(time.time_ns()), daemon=True)
        main.start()
        main.join(10)
        assert not main.is_alive()
    way_out.stop(10)


def test_tells_of_a_sink_that_fails_for_half_a_minute_once_for_each_time(tmp_path: Path) -> None:
    told: list[Event] = []
    unreachable = msgspec.structs.replace(
        config(tmp_path).output, file=FileConfig(path=str(tmp_path / "no" / "directory" / "alerts"))
    )
    way_out = WayOut(
        msgspec.structs.replace(config(tmp_path), output=unreachable), on_gone=lambda: None, emit=told.append
    )
    builder = AlertBuilder(alerts.HOST, "0.1.0", way_out.first_sequence)
    way_out.start(builder)
    way_out.take(numbered(builder.next_sequence()))
    way_out.turned(is_idle=True)
    deadline = time.monotonic() + 10
    while not any(each.is_failing for each in way_out.delivery.sink_statuses()) and time.monotonic() < deadline:
        time.sleep(0.01)
    now_ns = time.time_ns()
    for seconds in (7200, 0, 20, 31, 40):  # the clock is set back after the first
        way_out.swept(now_ns + seconds * 10**9)
    way_out.stop(0.1)
    (trouble,) = told
    assert isinstance(trouble, AgentTrouble)
    assert (trouble.kind, trouble.part) == (TroubleKind.SINK_UNREACHABLE, "file")
