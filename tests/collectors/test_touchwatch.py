"""The whole of it with real files and processes; an observer that knows what a test tells it."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from collectors.events import Touch, WatchKind
from collectors.facts import FileId
from collectors.held_files import HeldFiles, Holding
from collectors.host import Roots
from collectors.inotify import Inotify
from collectors.listening import LEAST_PAUSE_SECONDS
from collectors.mount_tables import FsPlace
from collectors.observer import Observer, Reach
from collectors.touchwatch import TouchWatch
from collectors.watched_objects import Pattern, Watch
from tests.support.processes import host_process, namespace, wait_until

SHADOW = Pattern("/etc/shadow", WatchKind.SECRET, Watch.READ)
PASSWD = Pattern("/etc/passwd", WatchKind.PERSISTENCE, Watch.WRITE)
JOBS = Pattern("/etc/cron.d", WatchKind.PERSISTENCE, Watch.WRITE | Watch.ENTRIES)
HOLD = (
    "import sys, time; f = open(sys.argv[1], sys.argv[2]); f.write('x') if 'r' != sys.argv[2] else 0; f.flush()\n"
    "time.sleep(60)"
)


class FakeObserver:
    """Knows tasks of containers, all of which reach everything, and notes who was found to hold what."""

    def __init__(self) -> None:
        self.tasks: tuple[int, ...] = ()
        self.known: set[int] = set()
        self.namespaces = frozenset({namespace("self", "mnt")})
        self.asked: list[tuple[FsPlace, ...] | None] = []
        self.found: list[Holding] = []
        self.is_one_of_ours = True

    def who_reaches(self, places: Iterable[FsPlace] | None) -> Reach:
        self.asked.append(tuple(places) if places is not None else None)
        return Reach(self.namespaces, self.tasks)

    def holds(self, holding: Holding) -> bool:
        self.found.append(holding)
        return self.is_one_of_ours

    def tracked(self, pid: int) -> object | None:
        return object() if pid in self.known or pid in self.tasks else None


class Host:
    """The files, and what there is to be asked."""

    def __init__(self, root: Path) -> None:
        (root / "etc/cron.d").mkdir(parents=True)
        self.shadow, self.passwd, self.job = root / "etc/shadow", root / "etc/passwd", root / "etc/cron.d/job"
        for each in (self.shadow, self.passwd):
            each.write_text("x")
        self.observer = FakeObserver()
        self.observer.known = {int(name) for name in os.listdir("/proc") if name.isdigit()}
        self.held_files = HeldFiles("/proc")
        self.root = root

    @contextmanager
    def watched(self, *beside: Pattern) -> Iterator[TouchWatch]:
        watch = TouchWatch(
            (SHADOW, PASSWD, JOBS, *beside),
            Roots("/proc", "/sys", str(self.root)),
            cast("Observer", self.observer),
            self.held_files,
            descriptors=64,
        )
        watch.open()
        thread = threading.Thread(target=watch.run)
        thread.start()
        try:
            yield watch
        finally:
            watch.stop()
            thread.join(timeout=5)
            assert not thread.is_alive()

    def touches(self) -> list[tuple[int, Touch, str]]:
        return [
            (each.key.pid, held.touch, os.fsdecode(held.path)) for each in self.observer.found for held in each.held
        ]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    mounts = Path("/proc/1/mountinfo")
    if os.geteuid() or not mounts.read_bytes():
        pytest.skip("the host's mount table is closed to us")
    return Host(tmp_path)


@contextmanager
def holder(path: Path, mode: str) -> Iterator[int]:
    """A process that opens a file, writes where it may, and stays with it; its pid."""
    with host_process(sys.executable, "-c", HOLD, str(path), mode) as process:
        wait_until(lambda: _holds(process.pid, path), "the holder")
        yield process.pid


def _holds(pid: int, path: Path) -> bool:
    """It has the file open; descriptors come and go while a program starts."""
    try:
        return str(path) in {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()}
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("name", "mode", "touch"),
    [("shadow", "r", Touch.READ), ("passwd", "a", Touch.WRITTEN), ("job", "w", Touch.ENTRY)],
)
def test_who_holds_a_file_that_was_touched_is_found(host: Host, name: str, mode: str, touch: Touch) -> None:
    path: Path = getattr(host, name)
    host.observer.tasks = (1,)  # there is somebody who could; the holder is a stranger yet
    with host.watched() as watch, holder(path, mode) as pid:
        wait_until(lambda: (pid, touch, str(path)) in host.touches(), "the holder")
        wait_until(lambda: watch.counters.found, "its count")


def test_a_secret_that_is_written_is_an_entry_of_its_directory(host: Host) -> None:
    host.observer.tasks = (1,)
    directory = Pattern("/etc", WatchKind.PERSISTENCE, Watch.WRITE | Watch.ENTRIES)
    with host.watched(directory), holder(host.shadow, "a") as pid:
        wait_until(lambda: (pid, Touch.ENTRY, str(host.shadow)) in host.touches(), "the holder")


def test_who_is_known_is_found_as_well(host: Host) -> None:
    with holder(host.job, "w") as pid, host.watched():
        host.observer.tasks = (pid,)
        host.job.write_text("y")
        wait_until(lambda: (pid, Touch.ENTRY, str(host.job)) in host.touches(), "the holder")


def test_nobody_is_looked_at_where_no_container_comes_there(host: Host) -> None:
    with host.watched() as watch, holder(host.job, "w"):
        wait_until(lambda: host.observer.asked, "the question")
        assert (watch.counters.looks, host.observer.found) == (0, [])
    (asked, *_) = host.observer.asked
    assert asked is not None
    assert {each.path for each in asked} == {b"/etc/cron.d"}


def test_a_stranger_in_another_mount_namespace_is_not_looked_at(host: Host) -> None:
    host.observer.tasks, host.observer.namespaces = (1,), frozenset({7})
    with host.watched() as watch, holder(host.job, "w"):
        wait_until(lambda: watch.counters.looks, "a look")
    assert host.touches() == []


def test_what_is_held_for_reading_only_and_no_secret_is_not_told(host: Host) -> None:
    host.observer.tasks = (1,)
    with holder(host.passwd, "r"), host.watched() as watch:
        host.passwd.write_text("y")
        wait_until(lambda: watch.counters.looks, "a look")
    assert host.touches() == []


def test_files_are_known_to_the_sweep_before_anything_happens(host: Host) -> None:
    with host.watched():
        assert {FileId(each.stat().st_dev, each.stat().st_ino) for each in (host.shadow, host.passwd)} == {
            *host.held_files.files
        }


def test_a_busy_file_is_looked_for_rarely(host: Host) -> None:
    host.observer.tasks = (1,)
    with host.watched() as watch:
        started = time.monotonic()
        for _ in range(3000):
            host.shadow.read_text()
        most = 2 + (time.monotonic() - started) / LEAST_PAUSE_SECONDS
        assert 1 <= watch.counters.looks <= most
        assert watch.counters.events <= 4 * most


def test_what_is_watched_beside_is_listened_to(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collectors.listening.FOLLOW_SECONDS", 0.05)
    key = host.root / "key"
    key.write_text("")
    host.observer.tasks = (1,)
    with host.watched() as watch:
        watch.use((Pattern("/key", WatchKind.SECRET, Watch.READ),))
        wait_until(lambda: len(host.held_files.files) == 3, "the file")
        with holder(key, "r") as pid:
            wait_until(lambda: (pid, Touch.READ, str(key)) in host.touches(), "the holder")


def test_it_begins_anew_after_an_error(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its source is run again by whoever runs the sources."""
    host.observer.tasks = (1,)
    watch = TouchWatch(
        (JOBS,),
        Roots("/proc", "/sys", str(host.root)),
        cast("Observer", host.observer),
        host.held_files,
        descriptors=64,
    )
    watch.open()
    with monkeypatch.context() as patch:
        patch.setattr(Inotify, "read", lambda _: 1 / 0)
        host.job.write_text("")
        with pytest.raises(ZeroDivisionError):
            watch.run()
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        wait_until(lambda: None in host.observer.asked, "a look for all that was missed")
        with holder(host.job, "w") as pid:
            wait_until(lambda: (pid, Touch.ENTRY, str(host.job)) in host.touches(), "the holder")
    finally:
        watch.stop()
        thread.join(timeout=5)
