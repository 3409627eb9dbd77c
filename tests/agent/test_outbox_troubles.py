from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.control.wanted import Wanted
from agent.errors import ConfigError
from agent.outbox import REOPEN_SECONDS, Outbox, Query
from agent.outbox_file import FILE_NAME
from agent.outbox_salvage import ASIDE_NAME
from agent.sinks.journald import entry
from agent.stored_alert import StoredAlert
from tests.support.outboxes import Clock, Opened, drained, outboxes, some


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(tmp_path: Path, clock: Clock) -> Iterator[Opened]:
    with outboxes(tmp_path / "state", clock) as open_outbox:
        yield open_outbox


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
from tests.support.outboxes import drained, some
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
