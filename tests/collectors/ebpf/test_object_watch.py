import struct
from pathlib import Path
from typing import cast

import pytest

from collectors import object_table
from collectors.ebpf.libbpf import BpfObject
from collectors.ebpf.object_watch import ObjectWatch
from collectors.events import Watched, WatchKind
from collectors.object_table import EXPAND_SECONDS
from collectors.watched_objects import Pattern, Watch, static_pods

SHADOW = Pattern("/etc/shadow", WatchKind.SECRET, Watch.READ)
ACCOUNTS = Pattern("/etc/shadow", WatchKind.PERSISTENCE, Watch.WRITE)
JOBS = Pattern("/etc/cron.d", WatchKind.PERSISTENCE, Watch.WRITE | Watch.ENTRIES)


class Programs:
    """What was handed over to the kernel: (file, index, flags)."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, int, int]] = []

    def run(self, name: str, context: bytes) -> int:
        """Takes the place of ``BpfObject.run``."""
        assert name == "watch"
        fd, index, flags, _ = struct.unpack("<4Q", context)
        if index:
            self.noted.append((Path(f"/proc/self/fd/{fd}").resolve().name, index, flags))
        return 0


class Clock:
    """Nanoseconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def look(watch: ObjectWatch) -> list[tuple[str, int, int]]:
    programs = Programs()
    watch.look(cast("BpfObject", programs))
    return programs.noted


def made(tmp_path: Path, *patterns: Pattern, clock: Clock | None = None) -> ObjectWatch:
    (tmp_path / "etc/cron.d").mkdir(parents=True)
    (tmp_path / "etc/shadow").write_text("")
    return ObjectWatch(patterns, str(tmp_path), 0, clock_ns=clock or Clock())


def test_hands_over_each_object_once_and_counts_what_is_missing(tmp_path: Path) -> None:
    watch = made(tmp_path, SHADOW, JOBS, Pattern("/etc/none", WatchKind.SECRET, Watch.READ))
    assert look(watch) == [("shadow", 1, 1), ("cron.d", 2, 6)]
    assert look(watch) == []
    assert watch.counts == {"objects": 2, "missing": 1, "beyond_limit": 0}


def test_one_file_of_two_kinds_is_one_object(tmp_path: Path) -> None:
    watch = made(tmp_path, SHADOW, ACCOUNTS)
    assert look(watch) == [("shadow", 1, 3)]
    assert watch.objects(1) == (
        Watched("/etc/shadow", WatchKind.SECRET),
        Watched("/etc/shadow", WatchKind.PERSISTENCE),
    )


def test_two_paths_to_one_file_are_one_object(tmp_path: Path) -> None:
    watch = made(tmp_path, SHADOW, Pattern("/link", WatchKind.PERSISTENCE, Watch.WRITE))
    (tmp_path / "link").symlink_to("etc/shadow")
    assert look(watch) == [("shadow", 1, 1), ("shadow", 1, 3)]


def test_a_file_that_was_replaced_is_handed_over_at_the_next_look(tmp_path: Path) -> None:
    watch = made(tmp_path, SHADOW)
    look(watch)
    (tmp_path / "fresh").write_text("")
    (tmp_path / "fresh").rename(tmp_path / "etc/shadow")
    ((name, index, _),) = look(watch)
    assert (name, watch.objects(index)[0].path) == ("shadow", "/etc/shadow")


def test_a_file_that_comes_later_is_handed_over(tmp_path: Path) -> None:
    watch = made(tmp_path, Pattern("/etc/ld.so.preload", WatchKind.PERSISTENCE, Watch.WRITE))
    assert look(watch) == []
    (tmp_path / "etc/ld.so.preload").write_text("")
    assert look(watch) == [("ld.so.preload", 1, 2)]


def test_patterns_are_expanded_again_after_a_while(tmp_path: Path) -> None:
    clock = Clock()
    watch = made(tmp_path, Pattern("/etc/*.key", WatchKind.SECRET, Watch.READ), clock=clock)
    (tmp_path / "etc/a.key").write_text("")
    assert [name for name, _, _ in look(watch)] == ["a.key"]
    (tmp_path / "etc/b.key").write_text("")
    assert look(watch) == []
    clock.now_ns = EXPAND_SECONDS * 1_000_000_000
    assert [name for name, _, _ in look(watch)] == ["a.key", "b.key"]


def test_a_file_is_what_it_is_now_and_not_what_its_number_was_before(tmp_path: Path) -> None:
    """The kernel gives the number of an inode again: an alert would name the file of a pod that is gone."""
    clock = Clock()
    watch = made(tmp_path, SHADOW, Pattern("/etc/other", WatchKind.PERSISTENCE, Watch.WRITE), clock=clock)
    assert look(watch) == [("shadow", 1, 1)]
    (tmp_path / "etc/shadow").rename(tmp_path / "etc/other")
    clock.now_ns += EXPAND_SECONDS * 10**9
    look(watch)
    assert watch.objects(1) == (Watched("/etc/other", WatchKind.PERSISTENCE),)
    clock.now_ns += EXPAND_SECONDS * 10**9
    assert look(watch) == [("other", 1, 2)]


def test_files_that_come_and_go_for_ever_are_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_table, "MAX_FORMER", 5)
    clock = Clock()
    watch = made(tmp_path, SHADOW, Pattern("/tokens/*", WatchKind.SECRET, Watch.READ), clock=clock)
    (tmp_path / "tokens").mkdir()
    kept = []
    for number in range(40):
        path = tmp_path / f"tokens/{number}"
        path.write_text("")
        kept.append(path.open())  # so that each has an inode of its own
        look(watch)
        path.unlink()
        clock.now_ns += EXPAND_SECONDS * 10**9
    for file in kept:
        file.close()
    assert watch.objects(1) == (Watched("/etc/shadow", WatchKind.SECRET),)
    assert watch.objects(41) == (Watched("/tokens/39", WatchKind.SECRET),)
    assert watch.objects(2) == ()
    assert len(watch._objects) == len(watch._flags) == len(watch._index_of) == 2 + 5


def test_what_is_to_be_watched_beside_is_handed_over_at_the_next_look_and_may_change(tmp_path: Path) -> None:
    watch = made(tmp_path, SHADOW)
    for name in ("etc/pods", "opt"):
        (tmp_path / name).mkdir()
    look(watch)
    watch.use(static_pods(("/etc/pods",)))
    assert [each for each in look(watch) if each[0] != "shadow"] == [("pods", 2, 6)]
    watch.use(static_pods(("/etc/pods",)))
    assert look(watch) == []
    watch.use(static_pods(("/opt",)))
    assert [each for each in look(watch) if each[0] != "shadow"] == [("opt", 3, 6)]
    assert watch.objects(3) == (Watched("/opt", WatchKind.PERSISTENCE),)


def test_a_number_that_was_never_given_is_nothing() -> None:
    watch = ObjectWatch((), "/", 0, clock_ns=Clock())
    assert watch.objects(0) == ()
    assert watch.objects(99) == ()
