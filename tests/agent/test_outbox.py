from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.outbox import Query
from agent.outbox_file import FILE_NAME
from agent.stored_alert import StoredAlert
from detectors.base import Severity
from tests.agent import alerts
from tests.support.outboxes import NOW_NS, Clock, Opened, drained, outboxes, some


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(tmp_path: Path, clock: Clock) -> Iterator[Opened]:
    with outboxes(tmp_path / "state", clock) as open_outbox:
        yield open_outbox


def test_every_sink_gets_every_alert_in_order(opened: Opened) -> None:
    box = opened()
    box.register(["a", "b"])
    first, second = some(box, 20), []
    box.append(first)
    assert drained(box, "a") == first
    second = some(box, 5)
    box.append(second)
    assert drained(box, "a") == second
    assert drained(box, "b") == first + second


def test_an_alert_is_in_the_file_before_a_sink_sees_it(opened: Opened, tmp_path: Path) -> None:
    box = opened()
    box.register(["a"])
    box.append(some(box, 3))
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / FILE_NAME)) as other:
        assert other.execute("SELECT count(*) FROM alerts").fetchone() == (3,)


def test_goes_on_where_each_sink_was(opened: Opened) -> None:
    box = opened()
    box.register(["a", "b"])
    told = some(box, 10)
    box.append(told)
    box.acknowledge("a", told[5].sequence)
    box.close()
    again = opened()
    again.register(["a", "b"])
    assert drained(again, "a") == told[6:]
    assert drained(again, "b") == told


def test_sequences_never_come_twice(opened: Opened, clock: Clock) -> None:
    box = opened()
    box.register(["a"])
    told = some(box, 3)
    box.append(told)
    box.close()
    clock.now_ns -= 10**18
    assert opened().next_sequence == told[-1].sequence + 1


def test_a_clock_that_went_back_between_two_runs_hides_nothing(opened: Opened, clock: Clock) -> None:
    box = opened()
    box.register(["a"])
    box.close()
    clock.now_ns -= 10**18
    again = opened()
    again.register(["a"])
    told = some(again, 1)
    again.append(told)
    assert drained(again, "a") == told


def test_sequences_go_on_by_the_clock_where_there_is_no_file(opened: Opened, clock: Clock) -> None:
    box = opened(None)
    clock.now_ns += 1_000_000
    assert opened(None).next_sequence == box.next_sequence + 1000


def test_a_new_sink_begins_with_what_comes_next(opened: Opened) -> None:
    box = opened()
    box.register(["a"])
    box.append(some(box, 3))
    box.close()
    again = opened()
    again.register(["a", "new"])
    told = some(again, 1)
    again.append(told)
    assert drained(again, "new") == told


def test_a_sink_that_comes_back_gets_what_it_missed(opened: Opened) -> None:
    box = opened()
    box.register(["a", "b"])
    first = some(box, 3)
    box.append(first)
    box.close()
    without = opened()
    without.register(["a"])
    second = some(without, 3)
    without.append(second)
    without.close()
    again = opened()
    again.register(["a", "b"])
    assert drained(again, "b") == first + second


def test_reads_within_limit_and_bytes(opened: Opened) -> None:
    box = opened()
    box.register(["a"])
    told = some(box, 10, size=1000)
    box.append(told)
    assert box.read("a", 4) == told[:4]
    assert box.read("a", 10, max_bytes=4000) == told[:2]
    assert box.read("a", 10, max_bytes=1) == told[:1]


def test_reads_what_memory_no_longer_holds(opened: Opened) -> None:
    box = opened(memory_bytes=10_000)
    box.register(["a"])
    told = some(box, 100, size=1000)
    for each in told:
        box.append([each])
    assert len(box._recent) < 10
    assert drained(box, "a") == told


def test_waits_until_something_comes(opened: Opened) -> None:
    box = opened()
    box.register(["a"])
    assert not box.wait("a", 0.01)
    box.append(some(box, 1))
    assert box.wait("a", 10)
    drained(box, "a")
    assert not box.wait("a", 0.01)
    box.wake()
    assert box.wait("a", 10)


# Bounds --------------------------------------------------------------------------------------------------------------


def test_what_every_sink_has_goes_first(opened: Opened) -> None:
    box = opened(max_bytes=100_000)
    box.register(["a"])
    old = some(box, 50, Severity.CRITICAL, 1000)
    box.append(old)
    drained(box, "a")
    new = some(box, 50, Severity.INFO, 1000)
    box.append(new)
    assert drained(box, "a") == new
    status = box.status()
    assert set(status.dropped.values()) == {0}
    assert status.size_bytes <= 100_000


def test_then_the_lowest_severity_the_oldest_of_it_first(opened: Opened) -> None:
    box = opened(max_bytes=100_000, memory_bytes=1)
    box.register(["a"])
    told: list[StoredAlert] = []
    for _ in range(40):
        for severity in (Severity.CRITICAL, Severity.LOW, Severity.HIGH):
            told += (each := some(box, 1, severity, 1000))
            box.append(each)
    left = drained(box, "a")
    assert [each for each in left if each.severity == Severity.CRITICAL] == [
        each for each in told if each.severity == Severity.CRITICAL
    ]
    lows = [each for each in told if each.severity == Severity.LOW]
    low_left = [each for each in left if each.severity == Severity.LOW]
    assert low_left == lows[len(lows) - len(low_left) :]
    status = box.status()
    assert sum(status.dropped.values()) == len(told) - len(left)
    assert status.dropped["low"] > 0
    assert status.dropped["critical"] == 0
    assert sum(report.dropped for report in box.take_reports() if report.reason == "full") == len(told) - len(left)


def test_what_every_sink_has_goes_with_age(opened: Opened, clock: Clock) -> None:
    box = opened(max_age_seconds=60)
    box.register(["a", "b"])
    box.append(some(box, 1000))
    drained(box, "a")
    half = box.read("b", 500)
    box.acknowledge("b", half[-1].sequence)
    clock.now_ns += 61_000_000_000
    clock.monotonic += 61
    box.tend()
    assert box.status().alerts == 500
    assert len(drained(box, "b")) == 500


@pytest.mark.parametrize("jump_ns", [10**18, -(10**18), -NOW_NS], ids=["forward", "back", "to 1970"])
def test_a_clock_that_jumps_costs_no_alert(opened: Opened, clock: Clock, jump_ns: int) -> None:
    box = opened(max_age_seconds=60)
    box.register(["a"])
    first = some(box, 3)
    box.append(first)
    clock.now_ns += jump_ns
    clock.monotonic += 60
    box.tend()
    second = some(box, 3)
    box.append(second)
    box.close()
    again = opened(max_age_seconds=60)
    again.register(["a"])
    again.tend()
    third = some(again, 1)
    again.append(third)
    assert drained(again, "a") == first + second + third


def test_memory_alone_is_bounded_too(opened: Opened) -> None:
    box = opened(None, memory_bytes=20_000)
    box.register(["a"])
    high, low = some(box, 1, Severity.HIGH, 1000), []
    box.append(high)
    for _ in range(50):
        low += (each := some(box, 1, Severity.LOW, 1000))
        box.append(each)
    left = drained(box, "a")
    assert left[0] == high[0]
    assert left[1:] == low[len(low) - len(left) + 1 :]
    assert box.status().dropped["low"] == 51 - len(left)
    assert {report.reason for report in box.take_reports()} == {"memory_full"}


# History -------------------------------------------------------------------------------------------------------------


def test_history_is_newest_first_and_selects(opened: Opened, clock: Clock) -> None:
    box = opened()
    box.register(["a"])
    start = box.next_sequence
    told = [
        alerts.stored(start, Severity.LOW, rule_id="HW-1", container_id="aaa", at_ns=1),
        alerts.stored(start + 1, Severity.HIGH, rule_id="HW-2", container_id="abb", at_ns=2),
        alerts.stored(start + 2, Severity.HIGH, rule_id="HW-1", container_id=None, at_ns=3),
    ]
    box.append(told)
    assert box.query(Query(), 10) == told[::-1]
    assert box.query(Query(), 1) == told[2:]
    assert box.query(Query(since_ns=2, until_ns=3), 10) == [told[1]]
    assert box.query(Query(min_severity=Severity.HIGH, rule="HW-1"), 10) == [told[2]]
    assert box.query(Query(container="a"), 10) == [told[1], told[0]]
    assert box.query(Query(container="ab"), 10) == [told[1]]
    assert box.query(Query(until_ns=1 << 64), 10) == told[::-1]  # more than SQLite has: a client may ask it
    assert box.query(Query(since_ns=1 << 64), 10) == box.query(Query(min_severity=1 << 64), 10) == []


def test_history_of_memory_alone(opened: Opened) -> None:
    box = opened(None)
    box.register(["a"])
    told = some(box, 5)
    box.append(told)
    assert box.query(Query(), 3) == told[:1:-1]
    assert box.query(Query(rule="HW-999"), 3) == []


def test_counts_what_waits_for_a_sink(opened: Opened) -> None:
    box = opened(memory_bytes=5000)
    box.register(["a"])
    box.append(some(box, 30, Severity.LOW, 1000))
    box.append(some(box, 10, Severity.HIGH, 1000))
    assert box.waiting("a", Severity.INFO) == (40, NOW_NS)
    assert box.waiting("a", Severity.HIGH) == (10, NOW_NS)
    drained(box, "a")
    assert box.waiting("a", Severity.INFO) == (0, None)
