"""The stream for who watches: what the kernel tells while it is on, nothing while it is off, and never too much."""

import os
from collections.abc import Iterator

import pytest

from collectors.ebpf.counters import COUNTERS
from collectors.ebpf.decisions import Decisions
from collectors.ebpf.libbpf import possible_cpus
from collectors.ebpf.records import KIND_STREAM_EXIT, TaskRecord, decode, decode_header
from tests.support.ebpf_kernel import BTF, Kernel, child

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not BTF.exists(), reason="loads eBPF programs: needs root and a kernel with BTF"
)

CHOSEN, OTHER = 7, 8
RING_BYTES = 1 << 20  # of ``Kernel``


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


def counted(kernel: Kernel, name: str) -> int:
    return kernel.programs.map("counters").read_sum(COUNTERS.index(name), possible_cpus())


def children(count: int) -> None:
    for _ in range(count):
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)


def ended_in(kernel: Kernel, scope: int, count: int = 3) -> list[TaskRecord]:
    """Processes of a container fork others that end at once; what the stream told of those."""
    pid, writer = child(lambda: children(count))
    kernel.mark(pid, scope)
    before = len(kernel.records)
    os.write(writer, b"x")
    os.close(writer)
    os.waitpid(pid, 0)
    kernel.ring.consume()
    told = [decode(each) for each in kernel.records[before:] if decode_header(each).kind == KIND_STREAM_EXIT]
    return [each for each in told if isinstance(each, TaskRecord) and each.header.parent_tgid == pid]


def decisions(kernel: Kernel, **scopes: int) -> Decisions:
    """User space's side, which knows these containers."""
    made = Decisions(kernel.programs)
    for container_id, scope in scopes.items():
        made.memberships._scopes[container_id] = scope
    return made


def test_is_off_until_somebody_watches_and_off_again_afterwards(kernel: Kernel) -> None:
    made = decisions(kernel, chosen=CHOSEN, other=OTHER)
    assert ended_in(kernel, CHOSEN) == []
    made.stream(frozenset({"chosen"}))
    told = ended_in(kernel, CHOSEN)
    assert len(told) == 3
    assert all(each.header.tid == each.header.tgid for each in told)
    assert ended_in(kernel, OTHER) == []
    made.stream(None)
    assert len(ended_in(kernel, OTHER)) == 3
    made.stream(frozenset())
    before = counted(kernel, "streamed")
    assert ended_in(kernel, CHOSEN) == ended_in(kernel, OTHER) == []
    assert counted(kernel, "streamed") == before


def test_a_container_that_is_started_again_is_watched_under_its_new_number(kernel: Kernel) -> None:
    made = decisions(kernel, chosen=CHOSEN)
    made.stream(frozenset({"chosen"}))
    made.memberships._scopes["chosen"] = OTHER
    made._stream_those_that_live()
    assert (len(ended_in(kernel, CHOSEN)), len(ended_in(kernel, OTHER))) == (0, 3)


def test_it_leaves_half_of_the_ring_to_what_is_notable(kernel: Kernel) -> None:
    """Nobody reads the ring, and more comes than it holds."""
    made = decisions(kernel, chosen=CHOSEN)
    made.stream(frozenset({"chosen"}))
    pid, writer = child(lambda: children(1500))
    kernel.mark(pid, CHOSEN)
    kernel.ring.consume()
    before = len(kernel.records)
    os.write(writer, b"x")
    os.close(writer)
    os.waitpid(pid, 0)
    missing = counted(kernel, "stream_lost")
    kernel.ring.consume()
    told = [each for each in kernel.records[before:] if decode_header(each).kind == KIND_STREAM_EXIT]
    assert 0 < sum(map(len, told)) <= RING_BYTES // 2
    assert missing > 0
    assert len(told) + missing >= 1500
