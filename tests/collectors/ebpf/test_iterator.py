"""The sweep by the task iterator: of whom it reads the descriptors, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import pytest

from collectors.births import Tracked
from collectors.ebpf import iterator
from collectors.ebpf.cgroups import CgroupNames
from collectors.ebpf.counters import Counters
from collectors.ebpf.iterator import EbpfSweep
from collectors.ebpf.membership import Memberships
from collectors.ebpf.records import KIND_ROW, ROW_BYTES, CgroupKey, TaskRecord
from collectors.ebpf.sensor import EbpfSource
from collectors.errors import Malformed
from collectors.events import Event
from collectors.facts import Process, ProcessKey
from collectors.observer import Observer
from tests.support.ebpf_records import task_bytes

LEADER, THREAD = 70, 71
FULL_EVERY = 4
PART_BYTES = ROW_BYTES * 3 // 2  # what the kernel hands out at a time need not end with a row


class Decided:
    """No session is ever made here."""

    def __init__(self) -> None:
        self.memberships = Memberships()

    def begin_sweep(self) -> None:
        """Nothing is marked."""


class Rows:
    """A source whose rows a test writes."""

    def __init__(self) -> None:
        self.rows: dict[int, bytes] = {}
        self.names = CgroupNames()
        self.decisions = Decided()
        self.counters = Counters()

    def put(self, tid: int, ran_ns: int, tgid: int = LEADER) -> None:
        row = task_bytes(KIND_ROW, ran_ns=ran_ns, tid=tid, tgid=tgid, session=1, start_ns=5)
        self.rows[tid] = row[:ROW_BYTES]

    def read_tasks(self) -> Iterator[bytes]:
        data = b"".join(self.rows.values())
        return (data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES))

    def tell_losses(self) -> None:
        """Nothing is lost."""

    def attach_lost(self) -> None:
        """Every program is attached."""

    def drain(self) -> None:
        """The ring is empty."""

    def learn(self, record: TaskRecord, process: Process) -> None:
        """Nothing to compare."""


class Looks:
    """An observer that knows the leader as a container's, and remembers which looks were at descriptors."""

    def __init__(self) -> None:
        self.looks: list[tuple[int, int | None, bool]] = []
        self.parents: list[int] = []
        self._tracked = Tracked(ProcessKey(LEADER, 0), cast("Process", object()), "c", 1)

    def observe_after(
        self, catch_up: Callable[[], None], pid: int, *, parent_pid: int, tid: int | None, descriptors: bool
    ) -> Tracked:
        catch_up()
        self.parents.append(parent_pid)
        self.looks.append((pid, tid, descriptors))
        return self._tracked

    @property
    def at_descriptors(self) -> int:
        return sum(descriptors for _, _, descriptors in self.looks)

    def tracked(self, pid: int) -> Tracked | None:
        return self._tracked if pid == LEADER else None

    def tracked_pids(self) -> tuple[int, ...]:
        return (LEADER,)


def sweep_of(source: Rows, looks: Looks) -> EbpfSweep:
    events: list[Event] = []
    return EbpfSweep(
        cast("EbpfSource", source),
        cast("Observer", looks),
        events.append,
        proc="/proc",
        clock_ns=lambda: 1,
        cpu_ns=lambda: 0,
        full_every=FULL_EVERY,
    )


def passes(sweep: EbpfSweep, looks: Looks) -> int:
    """As many passes as give everybody a turn; how many looks at descriptors there were."""
    before = looks.at_descriptors
    for _ in range(FULL_EVERY):
        sweep.run()
    return looks.at_descriptors - before


def test_reads_the_descriptors_of_who_was_passed_one_before_it_was_met() -> None:
    source, looks = Rows(), Looks()
    source.put(LEADER, ran_ns=1000)  # it has run, and from now on sleeps
    assert passes(sweep_of(source, looks), looks) == 1


def test_reads_the_descriptors_of_who_ran_since_and_of_nobody_else() -> None:
    source, looks = Rows(), Looks()
    source.put(LEADER, ran_ns=1000)
    sweep = sweep_of(source, looks)
    passes(sweep, looks)
    assert passes(sweep, looks) == 0
    source.put(LEADER, ran_ns=1001)
    assert passes(sweep, looks) == 1
    assert passes(sweep, looks) == 0


def test_reads_the_descriptors_of_a_process_whose_thread_ran_though_its_leader_slept() -> None:
    source, looks = Rows(), Looks()
    source.put(LEADER, ran_ns=1000)
    source.put(THREAD, ran_ns=500)
    sweep = sweep_of(source, looks)
    passes(sweep, looks)
    passes(sweep, looks)
    assert passes(sweep, looks) == 0
    source.put(THREAD, ran_ns=501)
    assert passes(sweep, looks) == 1


def test_looks_at_everybody_of_a_container_once_when_a_cgroup_was_renamed() -> None:
    source, looks = Rows(), Looks()
    cgroup = CgroupKey(8, 300)
    source.names.made(cgroup, b"/docker/abc")
    source.put(LEADER, ran_ns=1)
    sweep = sweep_of(source, looks)
    passes(sweep, looks)
    source.names.made(cgroup, b"/plain")
    before = len(looks.looks)
    sweep.run()
    assert len(looks.looks) == before + 1
    sweep.run()
    assert len(looks.looks) == before + 1


def test_names_the_parent_whose_row_may_come_later() -> None:
    source, looks = Rows(), Looks()
    row = task_bytes(KIND_ROW, tid=LEADER + 1, tgid=LEADER + 1, parent_tgid=LEADER + 7, session=1, start_ns=5)
    source.rows[LEADER + 1] = row[:ROW_BYTES]
    sweep_of(source, looks).run()
    assert looks.parents == [LEADER + 7]


def test_has_room_for_a_node_that_grew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iterator, "_BUFFER_BYTES", ROW_BYTES)
    source, looks = Rows(), Looks()
    for number in range(50):
        source.put(LEADER + number, ran_ns=1, tgid=LEADER + number)
    assert sweep_of(source, looks).run().processes == 50
    assert {pid for pid, _, _ in looks.looks} == {LEADER + number for number in range(50)}


def test_part_of_a_row_at_the_end_is_no_pass() -> None:
    source, looks = Rows(), Looks()
    source.put(LEADER, ran_ns=1)
    source.rows[THREAD] = b"\0" * 7
    with pytest.raises(Malformed, match="7 bytes at the end"):
        sweep_of(source, looks).run()
    assert looks.looks == []
