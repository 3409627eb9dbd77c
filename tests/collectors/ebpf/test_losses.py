"""What the ring has no room for is counted exactly, and one sweep later everything is known as it is."""

import ctypes
import os
import time
from collections.abc import Callable, Iterator

import pytest

from agent.assembly import assemble
from agent.config_schema import Config
from agent.ebpf_assembly import new_ebpf_source, new_ebpf_sweep
from collectors.ebpf.counters import COUNTERS
from collectors.ebpf.libbpf import possible_cpus
from collectors.ebpf.processes import as_key
from collectors.ebpf.records import KIND_CHANGE, TaskRecord, decode, decode_header, split_rows
from collectors.events import Event, Lost, ProcessEvent
from collectors.facts import Ids
from tests.support import build
from tests.support.ebpf_kernel import BTF, Kernel, child

PAGE = os.sysconf("SC_PAGE_SIZE")  # the smallest ring: it holds two or three records
CHANGES = 500

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not BTF.exists(), reason="loads eBPF programs: needs root and a kernel with BTF"
)


@pytest.fixture
def changer() -> Iterator[tuple[int, Callable[[], None]]]:
    """A process that changes its fsuid ``CHANGES`` times when told to, and waits; its pid, and who tells it."""
    done, is_done = os.pipe()
    stay, is_over = os.pipe()

    def change() -> None:
        for number in range(CHANGES):
            ctypes.CDLL(None).setfsuid(number + 1)  # each another one than the last
        os.write(is_done, b"x")
        os.read(stay, 1)

    pid, writer = child(change)

    def go() -> None:
        os.write(writer, b"x")
        os.read(done, 1)

    yield pid, go
    os.close(writer)
    os.write(is_over, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    for fd in (done, is_done, stay, is_over):
        os.close(fd)


def test_what_was_told_and_what_was_lost_is_all_that_happened(changer: tuple[int, Callable[[], None]]) -> None:
    pid, go = changer
    kernel = Kernel(ring_bytes=PAGE, only="setfsuid")  # nobody else is told of
    try:
        kernel.mark(pid)
        go()
        kernel.ring.consume()
        counts = kernel.programs.map("counters")
        told = [each for each in map(decode_header, kernel.records) if each.kind == KIND_CHANGE and each.tid == pid]
        lost = counts.read_sum(COUNTERS.index("lost"), possible_cpus())
        assert 0 < len(told) < CHANGES
        assert len(told) + lost == counts.read_sum(COUNTERS.index("notable_changes"), possible_cpus()) == CHANGES
    finally:
        kernel.close()


def test_one_sweep_after_a_loss_everything_is_known_as_it_is(changer: tuple[int, Callable[[], None]]) -> None:
    pid, go = changer
    events: list[Event] = []
    requests: list[None] = []
    made = assemble(Config(), events.append, watch_mounts=False)
    source = new_ebpf_source(made, events.append, ring_bytes=PAGE, request_sweep=lambda: requests.append(None))
    source.open()
    try:
        rows = map(decode, split_rows(b"".join(source.read_tasks())))
        row = next(each for each in rows if isinstance(each, TaskRecord) and each.header.tid == pid)
        key = as_key(row.header.start_ns, pid, made.host.ticks_per_second)
        made.observer.inherited(build.key(os.getpid()), key, build.container_id(), time.time_ns())
        tracked = made.observer.tracked(pid)
        assert tracked is not None
        source.judge(row, tracked)
        go()
        source.drain()
        assert _last_fsuid(events, pid) != CHANGES
        source.tell_losses()
        (lost,) = (each for each in events if isinstance(each, Lost))
        assert (lost.reason, lost.count) == ("ring_full", source.kernel_counts()["lost"])
        assert lost.count >= CHANGES - 4
        assert len(requests) == 1
        new_ebpf_sweep(made, source, events.append, full_every=1).run()
        assert _last_fsuid(events, pid) == CHANGES
    finally:
        source.close()


def _last_fsuid(events: list[Event], pid: int) -> int:
    told = [each.process for each in events if isinstance(each, ProcessEvent) and each.process.key.pid == pid]
    uids = told[-1].confinement.uids if told else None
    return uids.fs if isinstance(uids, Ids) else -1
