"""The whole way of an act, from the kernel to the findings, of a child that is made a container's by hand."""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.assembly import Collectors, assemble
from agent.config_schema import Config
from agent.ebpf_assembly import new_ebpf_source
from collectors.ebpf.object_watch import ObjectWatch
from collectors.ebpf.processes import as_key
from collectors.ebpf.records import TaskRecord, decode, split_rows
from collectors.events import Event, ProcessEvent, WatchKind
from collectors.watched_objects import Pattern, Watch
from detectors.base import Finding
from detectors.catalog import DETECTORS
from tests.collectors.ebpf.test_acts import NUMBERS
from tests.support import build
from tests.support.ebpf_kernel import BTF, child
from tests.support.view import FakeView, run

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not BTF.exists(), reason="loads eBPF programs: needs root and a kernel with BTF"
)


class Way:
    """An open sensor, and the events that came of it."""

    def __init__(self, host: Path) -> None:
        self.events: list[Event] = []
        self._collectors: Collectors = assemble(Config(), self.events.append, watch_mounts=False)
        patterns = (
            Pattern("/shadow", WatchKind.SECRET, Watch.READ),
            Pattern("/cron.d", WatchKind.PERSISTENCE, Watch.WRITE | Watch.ENTRIES),
            Pattern("/runc", WatchKind.RUNTIME, Watch.WRITE),
        )
        self.source = new_ebpf_source(
            self._collectors,
            self.events.append,
            ring_bytes=1 << 20,
            request_sweep=lambda: None,
            object_watch=ObjectWatch(patterns, str(host), 0, clock_ns=time.monotonic_ns),
        )
        self.source.open()
        self.source.watch_objects()

    def findings(self, act: Callable[[], object], *others: int) -> dict[str, Finding]:
        """What the detectors find when a container's child acts, by rule; ``others`` are processes of the host."""
        pid, writer = child(act)
        ticks = self._collectors.host.ticks_per_second
        rows = map(decode, split_rows(b"".join(self.source.read_tasks())))
        row = next(each for each in rows if isinstance(each, TaskRecord) and each.header.tid == pid)
        key = as_key(row.header.start_ns, pid, ticks)
        self._collectors.observer.inherited(build.key(os.getpid()), key, build.container_id(), time.time_ns())
        tracked = self._collectors.observer.tracked(pid)
        assert tracked is not None
        self.source.judge(row, tracked)
        os.write(writer, b"x")
        os.close(writer)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        self.source.drain()
        told = [each for each in self.events if isinstance(each, ProcessEvent) and each.process.key == key]
        return {rule: found for event in told for rule, found in self._judged(event, others)}

    def _judged(self, event: ProcessEvent, others: tuple[int, ...]) -> Iterator[tuple[str, Finding]]:
        host = replace(self._collectors.host, runtime_binaries=frozenset())
        view = FakeView(host=host).put(build.member(event.process)).put_host(*map(build.host_process, others))
        for detector in DETECTORS:
            if detector.id.startswith("HW-2") and isinstance(event, detector.wants):
                for found in run(detector, event, view):
                    if isinstance(found, Finding):
                        yield detector.id, found


@pytest.fixture
def host(tmp_path: Path) -> Path:
    (tmp_path / "cron.d").mkdir()
    for name in ("shadow", "runc", "job"):
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.fixture
def way(host: Path) -> Iterator[Way]:
    made = Way(host)
    yield made
    made.source.close()


def test_files_of_the_host(way: Way, host: Path) -> None:
    read = way.findings(functools.partial(os.open, host / "shadow", os.O_RDONLY))
    assert read["HW-220"].message == "opened a secret of the host: /shadow"
    written = way.findings(functools.partial(os.open, host / "cron.d/job", os.O_WRONLY | os.O_CREAT))
    assert written["HW-219"].message.endswith("the host's /cron.d")
    touched = way.findings(functools.partial(os.open, host / "runc", os.O_RDWR))
    assert touched["HW-221"].message == "opened for writing the host's /runc"
    planted = way.findings(functools.partial(os.chmod, host / "job", 0o4755))
    assert planted["HW-224"].message.endswith(str(host / "job"))
    assert set(planted) == {"HW-224"}


def test_processes_of_the_host(way: Way) -> None:
    victim, writer = child(lambda: None)
    try:
        killed = way.findings(functools.partial(os.kill, victim, signal.SIGTERM), victim)
        assert killed["HW-214"].message == "sent TERM to a process of the host"
        opened = way.findings(functools.partial(os.open, f"/proc/{os.getpid()}/environ", os.O_RDONLY), os.getpid())
        assert opened["HW-220"].message == "opened the environment of a process of the host"
        memory = way.findings(functools.partial(os.open, f"/proc/{os.getpid()}/mem", os.O_RDONLY), os.getpid())
        assert memory["HW-213"].message == "opened the memory of a process of the host"
    finally:
        os.waitpid(victim, 0)
        os.close(writer)


def test_the_kernel(way: Way, host: Path) -> None:
    value = way.findings(functools.partial(os.open, "/proc/sys/kernel/core_pattern", os.O_WRONLY))
    assert set(value) == {"HW-205"}
    node = way.findings(functools.partial(os.mknod, host / "mem", 0o20600, os.makedev(1, 1)))
    assert node["HW-204"].message == "made a node of what leads into the kernel: mem"


@pytest.mark.parametrize(
    ("name", "arguments", "rule"),
    [
        ("init_module", (0, 0, 0), "HW-215"),
        ("kexec_load", (0, 0, 0, -1), "HW-217"),
        ("reboot", (0, 0, 0, 0), "HW-217"),  # without the magic numbers nothing is rebooted
        ("userfaultfd", (os.O_CLOEXEC,), "HW-225"),
        ("keyctl", (0, -1, 1), "HW-225"),  # KEYCTL_GET_KEYRING_ID of the thread's own
        ("open_by_handle_at", (-1, 0, 0), "HW-218"),
    ],
)
def test_a_single_call(way: Way, name: str, arguments: tuple[int, ...], rule: str) -> None:
    if name in way.source.way:
        pytest.skip("this kernel was built without that call, and the tracepoints of single calls are taken")
    call = ctypes.CDLL(None).syscall
    assert set(way.findings(functools.partial(call, NUMBERS[name], *arguments))) == {rule}


def test_ordinary_work_is_not_told(way: Way, host: Path) -> None:
    def work() -> None:
        (host / "job").write_text("x")
        (host / "job").rename(host / "done")
        (host / "cron.d").iterdir()
        socket.socket().close()
        os.kill(os.getpid(), signal.SIGCHLD)
        (host / "done").chmod(0o755)

    assert way.findings(work) == {}
