"""Real inotify on a made-up host; what lies on which mount is what this process' own table says."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collectors import listening
from collectors.errors import CollectorError, TooLarge
from collectors.events import Watched, WatchKind
from collectors.host import Roots
from collectors.inotify import Inotify
from collectors.listening import (
    FOLLOW_SECONDS,
    FOLLOW_SOON_SECONDS,
    LEAST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Counters,
    ListenedTo,
    Listening,
    watch_limit,
)
from collectors.watched_objects import Pattern, Watch

SHADOW = Pattern("/etc/shadow", WatchKind.SECRET, Watch.READ)
PASSWD = Pattern("/etc/passwd", WatchKind.PERSISTENCE, Watch.WRITE)
JOBS = Pattern("/etc/cron.d", WatchKind.PERSISTENCE, Watch.WRITE | Watch.ENTRIES)
UNITS = Pattern("/etc/systemd", WatchKind.PERSISTENCE, Watch.WRITE | Watch.ENTRIES | Watch.BELOW)


class Host:
    """The files, the clock, and who listens."""

    def __init__(self, root: Path) -> None:
        self.root = root / "host"
        for name in ("etc/cron.d", "etc/systemd/system/multi-user.target.wants"):
            (self.root / name).mkdir(parents=True)
        for name in ("etc/shadow", "etc/passwd"):
            (self.root / name).write_text("x")
        (root / "proc/1").mkdir(parents=True)
        (root / "proc/1/mountinfo").symlink_to("/proc/self/mountinfo")
        self.roots = Roots(str(root / "proc"), "/sys", str(self.root))
        self.now = 1000.0
        self.counters = Counters()
        self.made: list[Listening] = []

    def listen(self, *patterns: Pattern, limit: int = 1000) -> Listening:
        made = Listening(patterns, self.roots, self.counters, limit=limit, monotonic=lambda: self.now)
        self.made.append(made)
        made.turn(())
        return made

    def __truediv__(self, name: str) -> Path:
        return self.root / name


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    for each in made.made:
        each.close()


def touched(listening: Listening) -> dict[str, set[bytes]]:
    """What was touched since the last call, by its path."""
    listening.take()
    found, listening.touched = listening.touched, set()
    return {os.fsdecode(each.path): each.names for each in found}


def one(listening: Listening) -> ListenedTo:
    """The one object that was touched since."""
    listening.take()
    (found,) = listening.touched
    listening.touched = set()
    return found


@pytest.mark.parametrize(
    ("pattern", "act", "expected"),
    [
        (SHADOW, lambda host: (host / "etc/shadow").read_text(), {"/etc/shadow": set()}),
        (PASSWD, lambda host: (host / "etc/passwd").read_text(), {}),
        (PASSWD, lambda host: (host / "etc/passwd").write_text("y"), {"/etc/passwd": set()}),
        (PASSWD, lambda host: (host / "etc/shadow").write_text("y"), {}),
        (JOBS, lambda host: (host / "etc/cron.d/job").write_text(""), {"/etc/cron.d": {b"job"}}),
        (JOBS, lambda host: (host / "etc/cron.d/new").mkdir(), {}),
        (JOBS, lambda host: os.listdir(host / "etc/cron.d"), {}),
        (UNITS, lambda host: (host / "etc/systemd/system/x").write_text(""), {"/etc/systemd/system": {b"x"}}),
        (JOBS, lambda host: (host / "etc/systemd/x").write_text(""), {}),
    ],
    ids=["secret-read", "file-read", "file-written", "other", "entry", "directory", "list", "below", "elsewhere"],
)
def test_hears_of_what_is_to_be_told(
    host: Host, pattern: Pattern, act: Callable[[Host], object], expected: dict[str, set[bytes]]
) -> None:
    listening = host.listen(pattern)
    act(host)
    assert touched(listening) == expected


def test_knows_the_files_that_are_watched(host: Host) -> None:
    listening = host.listen(SHADOW, PASSWD, JOBS)
    assert sorted(each.path for (each,) in listening.files.values()) == [b"/etc/passwd", b"/etc/shadow"]
    assert {(status.st_dev, status.st_ino) for status in map(os.stat, (host / "etc/shadow", host / "etc/passwd"))} == {
        *listening.files
    }


def test_the_files_of_a_directory_are_those_that_were_touched(host: Host) -> None:
    listening = host.listen(JOBS)
    for name in ("a", "b", "gone"):
        (host / "etc/cron.d" / name).write_text("")
    (host / "etc/cron.d/gone").unlink()
    (host / "etc/cron.d/link").symlink_to("/etc/shadow")
    (host / "etc/cron.d/b").rename(host / "b")
    (found,) = listening.files_of(one(listening)).values()
    assert [(each.path, each.is_entry, each.watched) for each in found] == [
        (b"/etc/cron.d/a", True, (Watched("/etc/cron.d", WatchKind.PERSISTENCE),))
    ]


def test_a_watched_file_in_a_watched_directory_is_both(host: Host) -> None:
    listening = host.listen(SHADOW, Pattern("/etc", WatchKind.PERSISTENCE, Watch.WRITE | Watch.ENTRIES))
    (host / "etc/shadow").write_text("y")
    listening.take()
    by_path = {each.path: listening.files_of(each) for each in listening.touched}
    (found,) = by_path[b"/etc"].values()
    assert [(each.watch, each.is_entry) for each in found] == [(Watch.READ, False), (Watch.WRITE, True)]


def test_what_was_looked_for_is_silent_for_a_while_and_longer_while_it_goes_on(host: Host) -> None:
    listening = host.listen(SHADOW)
    path = host / "etc/shadow"
    pauses = []
    for _ in range(8):
        path.read_text()
        each = one(listening)
        listening.silence(each, is_found=False, cost=0.0)
        path.read_text()
        assert touched(listening) == {}
        pauses.append(each.pause)
        host.now += each.pause
        listening.turn(())
    assert pauses == [LEAST_PAUSE_SECONDS * 2**n for n in range(4)] + [LONGEST_PAUSE_SECONDS] * 4
    host.now += LONGEST_PAUSE_SECONDS / 2  # it has been quieter
    path.read_text()
    listening.silence(each := one(listening), is_found=False, cost=0.0)
    assert each.pause == LEAST_PAUSE_SECONDS


def test_the_pause_does_not_grow_where_a_container_has_to_do_with_it_and_follows_the_cost(host: Host) -> None:
    listening = host.listen(SHADOW)
    for cost, pause in ((0.0, LEAST_PAUSE_SECONDS), (0.0, LEAST_PAUSE_SECONDS), (0.1, 2.0), (0.2, 4.0)):
        (host / "etc/shadow").read_text()
        listening.silence(each := one(listening), is_found=True, cost=cost)
        assert each.pause == pytest.approx(pause)
        host.now += each.pause
        listening.turn(())


def test_a_file_that_was_replaced_is_listened_to_soon(host: Host) -> None:
    listening = host.listen(SHADOW)
    (host / "fresh").write_text("y")
    (host / "fresh").rename(host / "etc/shadow")
    listening.take()
    assert listening.due == 1000.0 + FOLLOW_SOON_SECONDS
    host.now = listening.due
    listening.turn(())
    touched(listening)
    (host / "etc/shadow").read_text()
    assert touched(listening) == {"/etc/shadow": set()}
    status = (host / "etc/shadow").stat()
    assert (status.st_dev, status.st_ino) in listening.files


def test_a_file_that_was_replaced_while_it_was_silent_is_found_again(host: Host) -> None:
    listening = host.listen(SHADOW)
    (host / "etc/shadow").read_text()
    listening.silence(one(listening), is_found=False, cost=0.0)
    (host / "fresh").write_text("y")
    (host / "fresh").rename(host / "etc/shadow")
    host.now += FOLLOW_SOON_SECONDS
    listening.turn(())
    host.now += FOLLOW_SOON_SECONDS
    listening.turn(())
    (host / "etc/shadow").read_text()
    assert touched(listening) == {"/etc/shadow": set()}


def test_a_file_that_comes_later_is_found_soon_where_its_directory_is_watched(host: Host) -> None:
    preload = Pattern("/etc/ld.so.preload", WatchKind.PERSISTENCE, Watch.WRITE)
    listening = host.listen(preload, Pattern("/etc", WatchKind.PERSISTENCE, Watch.WRITE | Watch.ENTRIES))
    (host / "etc/ld.so.preload").write_text("")
    assert touched(listening) == {"/etc": {b"ld.so.preload"}}
    host.now += FOLLOW_SOON_SECONDS
    listening.turn(())
    assert [each.path for (each,) in listening.files.values()] == [b"/etc/ld.so.preload"]


def test_a_directory_that_is_made_in_a_watched_one_is_watched_too(host: Host) -> None:
    listening = host.listen(UNITS)
    (host / "etc/systemd/user").mkdir()
    listening.take()
    host.now += FOLLOW_SOON_SECONDS
    listening.turn(())
    (host / "etc/systemd/user/x").write_text("")
    assert touched(listening) == {"/etc/systemd/user": {b"x"}}


def test_a_directory_that_went_elsewhere_is_watched_no_more(host: Host) -> None:
    listening = host.listen(JOBS)
    (host / "etc/cron.d").rename(host / "elsewhere")
    assert touched(listening) == {}
    (host / "elsewhere/x").write_text("")
    assert touched(listening) == {}


def test_a_link_below_a_watched_directory_is_not_followed(host: Host) -> None:
    (host / "var").mkdir()
    (host / "etc/systemd/link").symlink_to(host / "var")
    listening = host.listen(UNITS)
    (host / "var/x").write_text("")
    assert touched(listening) == {}


def test_what_there_is_no_room_for_is_counted_and_directories_below_come_last(host: Host) -> None:
    listening = host.listen(UNITS, SHADOW, PASSWD, limit=4)
    assert (host.counters.watches, host.counters.refused) == (3, 1)  # half of all is for those that are named
    (host / "etc/passwd").write_text("y")
    assert touched(listening) == {"/etc/passwd": set()}


def test_directories_that_had_no_room_are_tried_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collectors.object_table.EXPAND_SECONDS", 0)
    listening = host.listen(UNITS, SHADOW, PASSWD, limit=4)
    for _ in range(3):
        host.now = listening.due
        listening.turn(())
    assert (host.counters.watches, host.counters.refused) == (3, 4)
    for name in ("etc/shadow", "etc/passwd"):
        (host / name).unlink()
    listening.take()
    for _ in range(2):
        host.now = listening.due
        listening.turn(())
    assert host.counters.watches == 2  # the units and what is in them, but for the wants


@pytest.mark.parametrize(
    ("error", "expected"),
    [(TooLarge("inotify", "No space left on device"), (1, 0)), (CollectorError("inotify", "?"), (0, 1))],
)
def test_a_watch_that_the_kernel_refuses_is_counted(
    host: Host, monkeypatch: pytest.MonkeyPatch, error: CollectorError, expected: tuple[int, int]
) -> None:
    def refuse(*_: object) -> int:
        raise error

    monkeypatch.setattr(Inotify, "add", refuse)
    listening = host.listen(SHADOW)
    assert (host.counters.refused, host.counters.failed) == expected
    assert len(listening.files) == 1


def test_files_are_known_where_there_is_no_inotify_and_it_is_tried_again(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> Inotify:
        raise TooLarge("inotify", "Too many open files")

    monkeypatch.setattr("collectors.object_table.EXPAND_SECONDS", 0)
    with monkeypatch.context() as patch:
        patch.setattr(listening, "Inotify", refuse)
        made = host.listen(SHADOW)
        assert (made.fileno(), len(made.files), host.counters.refused) == (None, 1, 1)
        made.take()
    host.now = made.due
    made.turn(())
    (host / "etc/shadow").read_text()
    assert touched(made) == {"/etc/shadow": set()}


def test_an_overflow_of_the_kernels_queue_touches_everything(host: Host) -> None:
    made = host.listen(JOBS)
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if most > 65_536:
        pytest.skip(f"the queue holds {most} events")
    with (host / "etc/cron.d/a").open("wb", buffering=0) as a, (host / "etc/cron.d/b").open("wb", buffering=0) as b:
        for _ in range(most // 2 + 1):
            a.write(b"x")
            b.write(b"x")
    while not made.is_all_touched and made.touched is not None:
        before = host.counters.events
        made.take()
        assert host.counters.events > before, "the queue did not overflow"
    assert host.counters.overruns == 1


def test_everything_is_seen_to_again_after_a_while(host: Host) -> None:
    made = host.listen(Pattern("/srv/key", WatchKind.SECRET, Watch.READ))
    (host / "srv").mkdir()
    (host / "srv/key").write_text("")
    assert made.due == 1000.0 + FOLLOW_SECONDS
    host.now = made.due
    made.turn(())
    assert len(made.files) == 1


def test_takes_an_eighth_of_the_watches_that_there_are(tmp_path: Path) -> None:
    assert watch_limit(str(tmp_path)) == 0
    value = tmp_path / "sys/fs/inotify/max_user_watches"
    value.parent.mkdir(parents=True)
    value.write_text("8192\n")
    assert watch_limit(str(tmp_path)) == 1024
    value.write_text("1048576\n")
    assert watch_limit(str(tmp_path)) == listening.MAX_WATCHES
