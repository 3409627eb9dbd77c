from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.control.wanted import Wanted
from agent.errors import ConfigError
from agent.outbox import REOPEN_SECONDS, Outbox, Query
from agent.outbox_file import FILE_NAME
from agent.outbox_salvage import ASIDE_NAME
from agent.sinks.journald import entry
from agent.stored_alert import StoredAlert
from detectors.base import Severity
from tests.agent import alerts

NOW_NS = 1_700_000_000_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now_ns = NOW_NS
        self.monotonic = 100.0

    def ns(self) -> int:
        return self.now_ns

    def seconds(self) -> float:
        return self.monotonic


@pytest.fixture
def clock() -> Clock:
    return Clock()


Opened = Callable[..., Outbox]


@pytest.fixture
def opened(tmp_path: Path, clock: Clock) -> Iterator[Opened]:
    """Opens an outbox; closes all that were opened."""
    boxes: list[Outbox] = []

    def open_outbox(directory: Path | None = tmp_path / "state", **settings: float) -> Outbox:
        bounds = {"max_bytes": 1 << 24, "max_age_seconds": 3600.0, **settings}
        box = Outbox(directory, clock_ns=clock.ns, monotonic=clock.seconds, **bounds)  # type: ignore[arg-type]
        boxes.append(box)
        return box

    yield open_outbox
    for box in boxes:
        box.close()


def some(box: Outbox, count: int, severity: Severity = Severity.HIGH, size: int = 100) -> list[StoredAlert]:
    """The next alerts of an outbox, with documents of ``size`` bytes and a little more."""
    made = []
    for number in range(box.next_sequence, box.next_sequence + count):
        plain = alerts.stored(number, severity)
        made.append(alerts.stored(number, severity, document=plain.document[:-1] + b',"x":"%s"}' % (b"x" * size)))
    return made


def drained(box: Outbox, sink: str) -> list[StoredAlert]:
    """Everything that a sink still gets."""
    got: list[StoredAlert] = []
    while batch := box.read(sink, 7):
        got += batch
        box.acknowledge(sink, batch[-1].sequence)
    return got


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


# Troubles ------------------------------------------------------------------------------------------------------------


def test_refuses_a_second_agent(opened: Opened) -> None:
    box = opened()
    with pytest.raises(ConfigError, match=r"state\.directory: is '.*', which another agent uses"):
        opened()
    box.close()
    opened()


def damage(path: Path, how: str) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        match how:
            case "garbage":
                file.write(b"\xa5" * size)
            case "empty header":
                file.write(b"\0" * 100)
            case "middle":
                file.seek(size // 2 // 4096 * 4096)
                file.write(b"\xa5" * 40_960)
            case _:
                file.truncate(size // 2)


@pytest.mark.parametrize("how", ["garbage", "empty header", "middle", "truncated"])
def test_sets_a_corrupt_file_aside_and_goes_on(opened: Opened, tmp_path: Path, how: str) -> None:
    box = opened()
    box.register(["a"])
    told = some(box, 500, size=1000)
    box.append(told)
    box.close()
    damage(tmp_path / "state" / FILE_NAME, how)
    again = opened()
    again.register(["a"])
    assert (tmp_path / "state" / ASIDE_NAME).exists()
    assert [report.reason for report in again.take_reports()] == ["corrupt"]
    new = some(again, 3)
    again.append(new)
    got = drained(again, "a")
    assert got[-3:] == new
    assert set(got[:-3]) <= set(told)
    if how == "middle":
        assert len(got) > 200
    assert not again.status().is_failing


def test_reads_what_is_sound_of_a_file_that_is_damaged_under_it(opened: Opened, tmp_path: Path) -> None:
    box = opened(memory_bytes=1)
    box.register(["a"])
    told = some(box, 500, size=1000)
    for each in told:
        box.append([each])
    box.tend()  # from the WAL into the file
    damage(tmp_path / "state" / FILE_NAME, "middle")
    for connection in (box._file._reader, box._file._writer):  # type: ignore[union-attr]
        connection.execute("PRAGMA shrink_memory")  # what SQLite remembers of the file would hide it
    got = drained(box, "a")
    assert 100 < len(got) <= 500
    assert "corrupt" in [report.reason for report in box.take_reports()]
    new = some(box, 3)
    box.append(new)
    assert drained(box, "a") == new


def test_a_file_of_a_later_version_is_set_aside(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / FILE_NAME)) as other:
        other.executescript("CREATE TABLE alerts (x); PRAGMA user_version = 99;")
    box = opened()
    assert "version 99" in box.take_reports()[0].detail


def test_makes_the_file_anew_when_somebody_removed_it(opened: Opened, tmp_path: Path, clock: Clock) -> None:
    box = opened()
    box.register(["a"])
    told = some(box, 3)
    box.append(told)
    for path in (tmp_path / "state").iterdir():
        path.unlink()
    box.tend()
    assert [report.reason for report in box.take_reports()] == ["moved", "recovered"]
    box.close()
    again = opened()
    again.register(["a"])
    assert drained(again, "a") == told


def test_a_directory_that_cannot_be_made_is_tried_again(opened: Opened, tmp_path: Path, clock: Clock) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    box = opened(in_the_way / "state")
    box.register(["a"])
    assert [report.reason for report in box.take_reports()] == ["unavailable"]
    assert box.status().is_failing
    first = some(box, 3)
    box.append(first)
    assert drained(box, "a") == first
    in_the_way.unlink()
    clock.monotonic += 10
    box.tend()
    assert [report.reason for report in box.take_reports()] == ["recovered"]
    assert not box.status().is_failing
    box.close()
    assert len(opened(in_the_way / "state").query(Query(), 10)) == 3


def test_a_directory_that_comes_late_has_what_was_not_delivered(opened: Opened, tmp_path: Path, clock: Clock) -> None:
    box = opened()
    box.register(["a"])
    old = some(box, 3)
    box.append(old)
    box.close()
    (tmp_path / "state").rename(tmp_path / "away")
    (tmp_path / "state").symlink_to("/nowhere/at/all")
    with pytest.raises(ConfigError, match="a symlink"):
        opened()
    (tmp_path / "state").unlink()
    clock.now_ns += 10**9
    box = opened(tmp_path / "away" / FILE_NAME / "x")  # cannot be made: a file is in the way
    box._directory = tmp_path / "away"
    box.register(["a"])
    new = some(box, 3)
    box.append(new)
    assert drained(box, "a") == new
    clock.monotonic += 10
    box.tend()
    assert drained(box, "a") == old + new  # the new ones once more


def test_a_damaged_directory_that_comes_late_costs_no_alert_that_can_be_read(
    opened: Opened, tmp_path: Path, clock: Clock
) -> None:
    box = opened()
    box.register(["a"])
    old = some(box, 3)
    box.append(old)
    box.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / FILE_NAME)) as file:
        file.execute("UPDATE alerts SET id = x'00' WHERE sequence = ?", (old[0].sequence,))
        file.commit()
    clock.now_ns += 10**9
    box = opened(tmp_path / "state" / FILE_NAME / "x")  # cannot be made: a file is in the way
    box._directory = tmp_path / "state"
    box.register(["a"])
    new = some(box, 3)
    box.append(new)
    assert drained(box, "a") == new
    clock.monotonic += 10
    box.tend()
    assert drained(box, "a") == old[1:] + new
    assert "corrupt" in {report.reason for report in box.take_reports()}


@pytest.mark.parametrize("damaged", [b'{"event":{"id":"\xb0"}}', b"[" * 100_000, b"", b"{"])
def test_an_alert_that_makes_no_sense_any_more_costs_no_other(opened: Opened, tmp_path: Path, damaged: bytes) -> None:
    box = opened()
    box.register(["a"])
    old = some(box, 3)
    box.append(old)
    box.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / FILE_NAME)) as file:
        file.execute("UPDATE alerts SET document = ? WHERE sequence = ?", (damaged, old[1].sequence))
        file.execute("PRAGMA user_version = 99")
        file.commit()
    box = opened()
    box.register(["a"])
    assert drained(box, "a") == [old[0], old[2]]
    damaged_one = replace(old[1], document=damaged)
    assert not Wanted(namespace="shop").admits_alert(damaged_one)
    assert b"MESSAGE=" + old[1].rule_id.encode() in entry(damaged_one, b"{}")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this node")
def test_a_disk_that_is_full_costs_nothing_that_memory_holds(tmp_path: Path) -> None:
    """RLIMIT_FSIZE is what fills up here: a process may not make any file larger."""
    script = f"""
import resource, signal, sys, time
from pathlib import Path
from agent.outbox import Outbox
from tests.agent.test_outbox import drained, some
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
clock = [0.0]
box = Outbox(Path({str(tmp_path / "state")!r}), max_bytes=1 << 24, max_age_seconds=60, clock_ns=time.time_ns,
             monotonic=lambda: clock[0])
box.register(["a", "b"])
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
told = []
for _ in range(100):
    told += (made := some(box, 10, size=1000))
    box.append(made)
reasons = [report.reason for report in box.take_reports()]
assert set(reasons) & {{"disk_full", "io_error"}}, reasons
assert box.status().is_failing and box.status().write_failures
assert drained(box, "a") == told
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
clock[0] += 10
box.tend()
assert [report.reason for report in box.take_reports()] == ["recovered"]
assert not box.status().is_failing
box.close()
box = Outbox(Path({str(tmp_path / "state")!r}), max_bytes=1 << 24, max_age_seconds=60, clock_ns=time.time_ns)
box.register(["a", "b"])
assert drained(box, "a") == []
assert drained(box, "b") == told
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)  # noqa: S603  ourselves


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_small_disk_that_fills_up(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", disk], check=False)  # noqa: S603, S607
    if mounted.returncode:
        pytest.skip("this root may not mount")
    try:
        box = Outbox(disk / "state", max_bytes=1 << 24, max_age_seconds=60, clock_ns=time.time_ns)
        box.register(["a"])
        told: list[StoredAlert] = []
        for _ in range(100):
            told += (made := some(box, 10, size=1000))
            box.append(made)
        assert "disk_full" in [report.reason for report in box.take_reports()]
        assert drained(box, "a") == told
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)  # noqa: S603, S607
        deadline = time.monotonic() + 10
        while box.status().is_failing and time.monotonic() < deadline:
            time.sleep(0.05)
            box.tend()
        assert len(box.query(Query(), 2000)) == 1000
        box.close()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)  # noqa: S603, S607


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_disk_that_is_read_only_for_a_while(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], check=False)  # noqa: S603, S607
    if mounted.returncode:
        pytest.skip("this root may not mount")
    now = [0.0]

    def new() -> Outbox:
        return Outbox(
            disk / "state", max_bytes=1 << 24, max_age_seconds=60, clock_ns=time.time_ns, monotonic=lambda: now[0]
        )

    try:
        box = new()
        box.register(["a"])
        before = some(box, 5)
        box.append(before)
        box.close()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)  # noqa: S603, S607
        box = new()
        box.register(["a"])
        assert box.status().is_failing
        (report,) = box.take_reports()
        assert "Read-only file system" in report.detail
        during = some(box, 5)
        box.append(during)
        assert drained(box, "a") == during  # sinks are served from memory
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)  # noqa: S603, S607
        now[0] += REOPEN_SECONDS
        box.tend()
        assert [report.reason for report in box.take_reports()] == ["recovered"]
        assert [each.sequence for each in drained(box, "a")][:5] == [each.sequence for each in before]
        assert {each.id for each in box.query(Query(), 100)} == {each.id for each in before + during}
        box.close()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)  # noqa: S603, S607


# Any order of anything -----------------------------------------------------------------------------------------------

ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 5)),
        st.tuples(st.sampled_from(["read a", "read b"]), st.integers(1, 5)),
        st.tuples(st.sampled_from(["tend", "restart", "crash", "jump", "detach"]), st.integers(-(10**12), 10**12)),
    ),
    max_size=30,
)


class Model:
    """An outbox to which anything happens, and what its sinks got."""

    def __init__(self, directory: Path, memory_bytes: int) -> None:
        self.told: list[int] = []
        self.got: dict[str, list[int]] = {"a": [], "b": []}
        self._directory = directory
        self._memory_bytes = memory_bytes
        self._clock = Clock()
        self.box = self._opened()

    def act(self, act: str, number: int) -> None:
        self._clock.monotonic += 11
        match act.split():
            case ["append"]:
                made = some(self.box, number)
                self.told += [each.sequence for each in made]
                self.box.append(made)
            case ["read", sink]:
                self._read(sink, number)
            case ["jump"]:
                self._clock.now_ns = max(self._clock.now_ns + number, 0)
            case _:
                getattr(self, f"_{act}")()

    def finish(self) -> None:
        self.act("tend", 0)
        for sink, got in self.got.items():
            got += [each.sequence for each in drained(self.box, sink)]
        self.box.close()

    def _opened(self) -> Outbox:
        box = Outbox(
            self._directory,
            max_bytes=1 << 24,
            max_age_seconds=1,
            clock_ns=self._clock.ns,
            memory_bytes=self._memory_bytes,
            monotonic=self._clock.seconds,
        )
        box.register(["a", "b"])
        return box

    def _read(self, sink: str, limit: int) -> None:
        batch = self.box.read(sink, limit)
        self.got[sink] += [each.sequence for each in batch]
        if batch:
            self.box.acknowledge(sink, batch[-1].sequence)

    def _tend(self) -> None:
        self.box.tend()

    def _detach(self) -> None:
        self.box._lost_file("io_error", "by the test")

    def _restart(self) -> None:
        self.box.close()
        self.box = self._opened()

    def _crash(self) -> None:
        """Cursors that were not written yet are not written; what no disk took would be gone."""
        if self.box._file is not None:
            self.box._unsaved_cursors = set()
        self._restart()


@settings(max_examples=60)
@given(acts=ACTS, memory_bytes=st.sampled_from([2000, 1 << 20]))
def test_at_least_once_and_in_order_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int]], memory_bytes: int
) -> None:
    model = Model(tmp_path_factory.mktemp("any") / "state", memory_bytes)
    for act, number in acts:
        model.act(act, number)
    model.finish()
    kinds = {act for act, _ in acts}
    for got in model.got.values():
        if not kinds & {"crash", "detach"}:
            assert got == model.told
        if "detach" not in kinds or memory_bytes > 2000:  # else memory was too small for what no disk took
            assert set(got) == set(model.told)
