import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from collectors.errors import Malformed
from collectors.events import Event, Lost, MountTable
from collectors.facts import Mount, ProcessKey
from collectors.mountwatch import MountWatch
from tests.support.namespaces import NamespaceShell, namespace_shell
from tests.support.processes import is_alive, namespace, start_ticks, wait_until

CONTAINER = "c0ffee"


def parse(table: bytes) -> tuple[Mount, ...]:
    """Just enough of a mount table for these tests: ids and mount points."""
    fields = [line.split(b" ") for line in table.split(b"\n") if line]
    return tuple(
        Mount(int(each[0]), int(each[1]), 0, each[3], each[4], (), None, None, b"", b"", ()) for each in fields
    )


def points(event: MountTable) -> set[bytes]:
    return {mount.point for mount in event.mounts}


class Told:
    """The events of a watch, in order, with the monotonic time at which each came."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.times: list[float] = []

    def emit(self, event: Event) -> None:
        self.times.append(time.monotonic())
        self.events.append(event)

    def tables(self, mnt_namespace: int) -> list[MountTable]:
        return [each for each in self.events if isinstance(each, MountTable) and each.mnt_namespace == mnt_namespace]


@contextmanager
def running(
    told: Told,
    parse_mounts: Callable[[bytes], tuple[Mount, ...]] = parse,
    *,
    limit: int = 1024,
    table_limit_bytes: int = 4 << 20,
) -> Iterator[MountWatch]:
    watch = MountWatch(
        Path("/proc"), told.emit, parse_mounts, time.time_ns, limit=limit, table_limit_bytes=table_limit_bytes
    )
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield watch
    finally:
        watch.stop()
        thread.join(timeout=5)
        assert not thread.is_alive()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[NamespaceShell]:
    if os.geteuid():
        pytest.skip("a mount namespace of its own needs root")
    with namespace_shell() as opened:
        opened.run(f"cd {tmp_path} && mkdir a b")
        yield opened


def test_tells_the_table_when_armed_and_again_when_it_changes(shell: NamespaceShell, tmp_path: Path) -> None:
    told = Told()
    inode = shell.mnt_namespace()
    with running(told) as watch:
        assert watch.watch(inode, shell.key(), CONTAINER)
        wait_until(lambda: len(told.tables(inode)) == 1, "the first table")
        started = time.monotonic()
        shell.run("mount -t tmpfs none a")
        wait_until(lambda: len(told.tables(inode)) == 2, "the changed table")
        assert told.times[-1] - started < 1
        shell.run("umount a")
        wait_until(lambda: len(told.tables(inode)) == 3, "the table as it was")
    first, mounted, unmounted = told.tables(inode)
    added = os.fsencode(tmp_path / "a")
    assert points(mounted) - points(first) == {added}
    assert unmounted.mounts == first.mounts
    assert (mounted.container_id, mounted.seen_by) == (CONTAINER, shell.key())


def test_tells_a_burst_in_a_few_events_and_the_last_state_soon(shell: NamespaceShell) -> None:
    told = Told()
    inode = shell.mnt_namespace()
    with running(told) as watch:
        watch.watch(inode, shell.key(), CONTAINER)
        wait_until(lambda: told.tables(inode), "the first table")
        before = len(told.tables(inode)[0].mounts)
        started = time.monotonic()
        shell.run("(for i in $(seq 100); do mount -t tmpfs none a || exit 1; done)")
        seconds = time.monotonic() - started
        wait_until(lambda: len(told.tables(inode)[-1].mounts) == before + 100, "all hundred", timeout_seconds=2)
    assert len(told.tables(inode)) <= 4 + seconds / 0.05


def test_having_waited_for_a_processor_makes_no_pause_longer(shell: NamespaceShell) -> None:
    def parse_late(table: bytes) -> tuple[Mount, ...]:
        time.sleep(0.5)  # as when others have the processor
        return parse(table)

    told = Told()
    inode = shell.mnt_namespace()
    with running(told, parse_late) as watch:
        watch.watch(inode, shell.key(), CONTAINER)
        wait_until(lambda: told.tables(inode), "the first table")
        armed = watch._watches[inode].armed
        assert armed is not None
        wait_until(lambda: armed.quiet_until_ns, "its pause")
        assert armed.quiet_until_ns - time.monotonic_ns() < 1_000_000_000  # 20 times half a second would be ten


def test_watches_the_hosts_own_table() -> None:
    told = Told()
    inode = namespace("self", "mnt")
    key = ProcessKey(os.getpid(), start_ticks(os.getpid()))
    with running(told) as watch:
        watch.watch(inode, key, None)
        wait_until(lambda: told.tables(inode), "the first table")
    assert told.tables(inode)[0].container_id is None
    assert b"/proc" in points(told.tables(inode)[0])


def test_an_open_table_outlives_its_process_and_holds_its_mounts(tmp_path: Path) -> None:
    """What the kernel does, and why the watch closes a table when its process ends."""
    if os.geteuid():
        pytest.skip("a mount namespace of its own needs root")
    with namespace_shell() as shell:
        shell.run(f"cd {tmp_path} && mkdir a b && mkfifo go && mount -t tmpfs none a")
        other = int(shell.run("(read _ < go; mount -t tmpfs none b) > /dev/null & echo $!"))
        with open(f"/proc/{shell.pid}/mountinfo", "rb", buffering=0) as table:
            shell.kill()
            poller = select.poll()
            poller.register(table, select.POLLPRI)
            (tmp_path / "go").write_text("\n")
            assert poller.poll(5000)
            wait_until(lambda: not is_alive(other), "nobody is left in the namespace")
            content = b"".join(iter(lambda: table.read(4096), b""))
    assert os.fsencode(tmp_path / "a") in content
    assert os.fsencode(tmp_path / "b") in content


def test_goes_on_through_another_process_when_the_first_ends(shell: NamespaceShell, tmp_path: Path) -> None:
    told = Told()
    inode = shell.mnt_namespace()
    os.mkfifo(tmp_path / "go")
    # A shell that mounts when it is told, after the one that the table was opened through has ended.
    other = int(shell.run("(read _ < go; mount -t tmpfs none b; exec sleep 60) > /dev/null & echo $!"))
    other_key = shell.key(other)
    with running(told) as watch:
        watch.watch(inode, shell.key(), CONTAINER)
        wait_until(lambda: told.tables(inode), "the first table")
        watch.watch(inode, other_key, CONTAINER)
        shell.kill()
        wait_until(lambda: watch.counters.rearmed == 1, "re-armed")
        (tmp_path / "go").write_text("\n")
        wait_until(lambda: len(told.tables(inode)) == 2, "a change, seen through the other")
        os.kill(other, 9)
        wait_until(lambda: watch.counters.ended == 1, "the namespace ended")
        assert watch.counters.watched == 0
    assert told.tables(inode)[1].seen_by == other_key
    assert os.fsencode(tmp_path / "b") in points(told.tables(inode)[1])


def test_refuses_a_stand_in_with_another_root(shell: NamespaceShell) -> None:
    told = Told()
    inode = shell.mnt_namespace()
    shell.run("mount -t tmpfs none b && mkdir b/bin b/lib b/lib64 b/usr && mount --bind /usr b/usr")
    shell.run("mount --bind /bin b/bin && mount --bind /lib b/lib && (mount --bind /lib64 b/lib64 || true)")
    chrooted = int(shell.run("chroot b /bin/sleep 5 > /dev/null & echo $!"))
    wait_until(lambda: b"sleep" in Path(f"/proc/{chrooted}/comm").read_bytes(), "chrooted")
    with running(told) as watch:
        watch.watch(inode, shell.key(), CONTAINER)
        wait_until(lambda: told.tables(inode), "the first table")
        watch.watch(inode, shell.key(chrooted), CONTAINER)
        shell.kill()
        wait_until(lambda: watch.counters.ended == 1, "nobody left that shows the whole table")
    os.kill(chrooted, 9)
    assert len(told.tables(inode)) == 1


def test_refuses_a_process_that_is_another_or_elsewhere(shell: NamespaceShell) -> None:
    told = Told()
    key = shell.key()
    with running(told) as watch:
        watch.watch(shell.mnt_namespace(), ProcessKey(key.pid, key.start_ticks + 1), CONTAINER)
        watch.watch(namespace("self", "mnt"), key, CONTAINER)
        wait_until(lambda: watch.counters.ended == 2, "both refused")
    assert told.events == []


def test_lets_go_when_told_to(shell: NamespaceShell) -> None:
    told = Told()
    inode = shell.mnt_namespace()
    with running(told) as watch:
        watch.watch(inode, shell.key(), CONTAINER)
        wait_until(lambda: told.tables(inode), "the first table")
        watch.unwatch(inode)
        wait_until(lambda: not watch._by_mountinfo, "let go")
        shell.run("mount -t tmpfs none a")
        time.sleep(0.1)
        assert not watch._by_pidfd
    assert len(told.tables(inode)) == 1


def test_refuses_more_namespaces_than_its_limit() -> None:
    told = Told()
    inode = namespace("self", "mnt")
    key = ProcessKey(os.getpid(), start_ticks(os.getpid()))
    with running(told, limit=1) as watch:
        assert watch.watch(inode, key, None)
        assert not watch.watch(inode + 1, key, None)
        assert watch.counters.refused == 1


def test_tells_that_a_table_was_lost_when_it_is_too_large() -> None:
    told = Told()
    inode = namespace("self", "mnt")
    key = ProcessKey(os.getpid(), start_ticks(os.getpid()))
    with running(told, table_limit_bytes=10) as watch:
        watch.watch(inode, key, None)
        wait_until(lambda: told.events, "the loss")
    event = told.events[0]
    assert isinstance(event, Lost)
    assert (event.source, event.reason, event.count) == ("mountinfo", "too_large", 1)


def test_tells_that_a_table_was_lost_when_it_is_malformed() -> None:
    def refuse(table: bytes) -> tuple[Mount, ...]:
        raise Malformed("mountinfo", repr(table[:20]))

    told = Told()
    inode = namespace("self", "mnt")
    key = ProcessKey(os.getpid(), start_ticks(os.getpid()))
    with running(told, refuse) as watch:
        watch.watch(inode, key, None)
        wait_until(lambda: told.events, "the loss")
        assert watch.counters.failed == 1
    event = told.events[0]
    assert isinstance(event, Lost)
    assert event.reason == "malformed"


def test_gives_every_descriptor_back(shell: NamespaceShell) -> None:
    before = set(os.listdir("/proc/self/fd"))
    told = Told()
    with running(told) as watch:
        watch.watch(shell.mnt_namespace(), shell.key(), CONTAINER)
        watch.watch(namespace("self", "mnt"), shell.key(), CONTAINER)
        wait_until(lambda: told.events, "the first table")
    assert set(os.listdir("/proc/self/fd")) == before


def test_runs_again_after_an_error_and_goes_on_with_what_is_wanted() -> None:
    told, failures = Told(), [RuntimeError("nobody foresaw it")]

    def parse_later(table: bytes) -> tuple[Mount, ...]:
        if failures:
            raise failures.pop()
        return parse(table)

    watch = MountWatch(Path("/proc"), told.emit, parse_later, time.time_ns)
    inode = os.stat("/proc/self/ns/mnt").st_ino
    watch.watch(inode, ProcessKey(os.getpid(), start_ticks(os.getpid())), CONTAINER)
    with pytest.raises(RuntimeError):
        watch.run()
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        wait_until(lambda: bool(told.tables(inode)), "the table")
    finally:
        watch.stop()
        thread.join(timeout=5)
    assert not thread.is_alive()
