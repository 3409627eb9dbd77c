import ctypes
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from collectors.connector.source import ConnectorSource
from collectors.errors import CollectorError, Gone
from collectors.events import Event, Lost
from tests.support.processes import wait_until

TRUE = "/bin/true"
PR_SET_NAME = 15  # include/uapi/linux/prctl.h


class Recorder:
    """An observer that writes down what it is told, and may be made slow or faulty."""

    def __init__(self) -> None:
        self.told: list[tuple[str, tuple[int, ...], int]] = []
        self.before_each: Callable[[], None] = lambda: None

    def _note(self, what: str, pids: tuple[int, ...], at_ns: int) -> None:
        self.told.append((what, pids, at_ns))
        self.before_each()

    def forked(self, parent_pid: int, child_pid: int, at_ns: int) -> None:
        self._note("forked", (parent_pid, child_pid), at_ns)

    def executed(self, pid: int, at_ns: int) -> None:
        self._note("executed", (pid,), at_ns)

    def credentials_changed(self, pid: int, tid: int, at_ns: int) -> None:
        self._note("credentials_changed", (pid, tid), at_ns)

    def traced(self, tracer_pid: int, target_pid: int, at_ns: int) -> None:
        self._note("traced", (tracer_pid, target_pid), at_ns)

    def exited(self, pid: int, at_ns: int) -> None:
        self._note("exited", (pid,), at_ns)

    def about(self, pid: int) -> list[str]:
        """What was told with that process as the last one named."""
        return [what for what, pids, _ in list(self.told) if pids[-1] == pid]


class Running:
    """A source in its thread, and what it did."""

    def __init__(self, observer: Recorder, receive_buffer_bytes: int) -> None:
        self.observer = observer
        self.events: list[Event] = []
        self.sweeps = 0
        self.error: BaseException | None = None
        self.source = ConnectorSource(
            observer,
            self.events.append,
            receive_buffer_bytes=receive_buffer_bytes,
            request_sweep=self._note_sweep,
        )
        self.thread = threading.Thread(target=self._run)

    def _note_sweep(self) -> None:
        self.sweeps += 1

    def _run(self) -> None:
        try:
            self.source.run()
        except RuntimeError as error:
            self.error = error

    def lost(self) -> int:
        return sum(event.count for event in self.events if isinstance(event, Lost))


@contextmanager
def running(observer: Recorder, receive_buffer_bytes: int = 8 << 20) -> Iterator[Running]:
    started = Running(observer, receive_buffer_bytes)
    try:
        started.source.open()
    except CollectorError as error:
        started.source.close()
        pytest.skip(str(error))
    started.thread.start()
    try:
        yield started
    finally:
        started.source.stop()
        started.thread.join(timeout=5)
        assert not started.thread.is_alive()


def spawn(*arguments: str) -> int:
    return os.posix_spawn(arguments[0], arguments, os.environ)


def spawn_and_wait(*arguments: str) -> int:
    pid = spawn(*arguments)
    os.waitpid(pid, 0)
    return pid


def test_tells_of_fork_exec_and_exit_of_a_real_process() -> None:
    observer = Recorder()
    with running(observer):
        before_ns = time.time_ns()
        pid = spawn_and_wait(TRUE)
        after_ns = time.time_ns()
        wait_until(lambda: "exited" in observer.about(pid), "exited")
    assert observer.about(pid) == ["forked", "executed", "exited"]
    assert ("forked", (os.getpid(), pid)) in [(what, pids) for what, pids, _ in observer.told]
    slack_ns = 5_000_000
    assert all(
        before_ns - slack_ns <= at_ns <= after_ns + slack_ns for _, pids, at_ns in observer.told if pids[-1] == pid
    )


def test_tells_of_changed_credentials() -> None:
    if os.geteuid():
        pytest.skip("only root may change its ids")
    observer = Recorder()
    with running(observer):
        pid = spawn_and_wait("/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", TRUE)
        wait_until(lambda: "exited" in observer.about(pid), "exited")
    assert observer.about(pid).count("credentials_changed") >= 2


def test_drops_threads_and_counts_them() -> None:
    observer = Recorder()
    with running(observer) as started:
        forks, exits = started.source.counters.thread_forks, started.source.counters.thread_exits
        tids: list[int] = []
        thread = threading.Thread(target=lambda: tids.append(threading.get_native_id()))
        thread.start()
        thread.join()
        wait_until(lambda: started.source.counters.thread_exits > exits, "a thread that exits")
        assert started.source.counters.thread_forks > forks
    assert observer.about(tids[0]) == []


def test_counts_no_loss_when_comm_and_session_change() -> None:
    observer = Recorder()
    libc = ctypes.CDLL(None)

    def rename() -> None:
        for _ in range(50):
            libc.prctl(PR_SET_NAME, b"\xff\xfe", 0, 0, 0)

    with running(observer) as started:
        thread = threading.Thread(target=rename)
        thread.start()
        thread.join()
        pid = spawn_and_wait("/usr/bin/setsid", TRUE)
        wait_until(lambda: "exited" in observer.about(pid), "exited")
        assert started.source.counters.others >= 50
    assert started.events == []
    assert started.source.counters.malformed == 0


def test_counts_what_fails_in_the_observer_and_goes_on() -> None:
    observer = Recorder()

    def fail() -> None:
        raise Gone("stat", "the process ended")

    observer.before_each = fail
    with running(observer) as started:
        pid = spawn_and_wait(TRUE)
        wait_until(lambda: "exited" in observer.about(pid), "exited")
        wait_until(lambda: started.source.counters.failed["gone"] >= 3, "three failures counted")
    assert observer.about(pid) == ["forked", "executed", "exited"]


def test_ends_with_what_is_unexpected_and_closes_the_socket() -> None:
    observer = Recorder()

    def fail() -> None:
        raise RuntimeError("unexpected")

    observer.before_each = fail
    with running(observer) as started:
        spawn_and_wait(TRUE)
        started.thread.join(timeout=5)
        assert isinstance(started.error, RuntimeError)
        assert started.source._socket is None


def test_recovers_from_a_full_receive_buffer_and_tells_what_it_lost() -> None:
    """How exact the count is, is held by ``test_what_came_and_what_is_counted_as_lost_is_what_was_sent``."""
    stalled = Recorder()
    gate = threading.Event()

    def wait() -> None:
        gate.wait(timeout=20)

    stalled.before_each = wait
    with running(stalled, receive_buffer_bytes=16384) as blocked:
        for _ in range(60):
            spawn_and_wait(TRUE)
        gate.set()
        wait_until(lambda: blocked.lost() > 0, "the loss is told")
        after = spawn_and_wait(TRUE)
        wait_until(lambda: "exited" in stalled.about(after), "seen afterwards")
    assert stalled.about(after) == ["forked", "executed", "exited"]
    assert blocked.source.counters.overruns >= 1
    assert blocked.source.counters.reopened == 0
    assert blocked.sweeps >= 1
    assert {event.reason for event in blocked.events if isinstance(event, Lost)} == {"receive_buffer_full"}
    assert blocked.lost() == blocked.source.counters.lost["receive_buffer_full"]
    assert blocked.lost() >= 60


def test_opens_a_socket_that_broke_anew_and_counts_what_was_missed() -> None:
    observer = Recorder()
    with running(observer) as started:
        pid = spawn_and_wait(TRUE)
        wait_until(lambda: "exited" in observer.about(pid), "exited")
        broken = started.source._socket
        assert broken is not None
        with open(os.devnull, "rb") as devnull:
            os.dup2(devnull.fileno(), broken.fileno())
        missed = spawn_and_wait(TRUE)  # wakes nobody: poll still waits on the netlink socket that is gone
        started.source._wakeup.ring()
        wait_until(lambda: started.source.counters.reopened == 1, "reopened")
        after = spawn_and_wait(TRUE)
        wait_until(lambda: "exited" in observer.about(after), "seen afterwards")
        assert started.sweeps >= 1
        assert started.lost() >= 3
    assert observer.about(after) == ["forked", "executed", "exited"]
    assert observer.about(missed) == []


def test_runs_again_after_an_error_and_waits_for_what_is_open() -> None:
    """A poller that still has a descriptor of before is never silent: the thread would spin."""
    observer, failures = Recorder(), [RuntimeError("nobody foresaw it")]
    reported: list[int] = []

    def fail_once() -> None:
        if failures:
            raise failures.pop()
        reported.extend(mask for _, mask in source._poller.poll(0))

    observer.before_each = fail_once
    source = ConnectorSource(observer, lambda _: None, receive_buffer_bytes=8 << 20, request_sweep=lambda: None)
    try:
        source.open()
    except CollectorError as error:
        source.close()
        pytest.skip(str(error))
    spawn_and_wait(TRUE)
    with pytest.raises(RuntimeError):
        source.run()
    thread = threading.Thread(target=source.run)
    thread.start()
    wait_until(lambda: source._socket is not None, "the socket")
    pid = spawn_and_wait(TRUE)
    wait_until(lambda: "exited" in observer.about(pid), "exited")
    source.stop()
    thread.join(timeout=5)
    assert not thread.is_alive()
    assert set(reported) <= {select.POLLIN}
