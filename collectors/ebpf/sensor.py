"""The eBPF tier: loads the programs, reads their ring, and turns each record into events through the observer.

Concurrency: ``open`` and ``close`` belong to whoever starts the source; one thread runs ``run``. The sweep's thread
takes from the ring too before it tells what it saw (``drain``; one at a time takes, so records keep their order), and
shares the object (its iterator), the decisions and the names, each with a lock of its own. Lock order: the ring's, the
observer's; nobody who holds the observer's waits for the ring. Bounded:
the ring (``ring_bytes``), the kernel's tables, the names. When the ring is full the kernel counts what it dropped; the
sweep reads the counters, tells ``Lost`` and looks at everything again. ``stop`` may be called from any thread.

The order of things: every record is taken in the order in which the kernel made it. A task that user space never heard
of is introduced first, by its parents where they live, else by the root of the session that its mark names.
"""

from __future__ import annotations

import functools
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from collectors.births import Tracked
from collectors.ebpf import call_watch
from collectors.ebpf.acts import ActRecord, decode_act
from collectors.ebpf.calls import Call, Effect, Meaning, calls_by_number
from collectors.ebpf.cgroups import CgroupNames
from collectors.ebpf.clock import WallClock
from collectors.ebpf.counters import Counters
from collectors.ebpf.decisions import Decisions
from collectors.ebpf.deeds import Deeds, Watching
from collectors.ebpf.libbpf import BpfMap, BpfObject, RingBuffer
from collectors.ebpf.losses import Losses
from collectors.ebpf.numbers import FileNumbers
from collectors.ebpf.processes import Naming, as_key, as_process
from collectors.ebpf.records import (
    FLAG_CANDIDATE,
    FLAG_LAST,
    KIND_ACT,
    KIND_CHANGE,
    KIND_EXEC,
    KIND_REFUSED,
    STREAMED,
    CgroupRecord,
    ExitRecord,
    Header,
    TaskRecord,
    decode,
    decode_cgroup_rows,
    decode_header,
)
from collectors.ebpf.streaming import streamed
from collectors.errors import CollectorError, Malformed, Unsupported
from collectors.events import (
    AgentTrouble,
    CredentialChange,
    Event,
    Exec,
    NamespaceChange,
    ProcessEvent,
    Refused,
    RootChange,
    Seen,
    TroubleKind,
)
from collectors.facts import HostBaseline, Process, ProcessKey, Unknown
from collectors.observer import Observer
from collectors.wakeup import WakeUp

SOURCE = "ebpf"
OBJECT = Path(__file__).with_name("sensor.bpf.o")
BTF = Path("/sys/kernel/btf/vmlinux")

_OF_ANYBODY = frozenset({KIND_EXEC, KIND_ACT})
_MAPS = ("ring", "calls", "foreign_calls", "counters")
_NAMING_PAUSE_NS = 100_000_000
_EVENTS: dict[Effect, type[ProcessEvent]] = {
    Effect.NAMESPACES: NamespaceChange,
    Effect.ROOT: RootChange,
    Effect.CREDENTIALS: CredentialChange,
    Effect.OTHER: Seen,
}


class EbpfSource:
    """The sensor; ``open``, then ``run`` in a thread of its own, then ``stop``.

    ``way`` says how calls are watched, ``naming`` how records become processes.
    """

    def __init__(
        self,
        observer: Observer,
        emit: Callable[[Event], None],
        host: HostBaseline,
        *,
        ring_bytes: int,
        request_sweep: Callable[[], None],
        watching: Watching,
        object_path: Path = OBJECT,
    ) -> None:
        self.counters = Counters()
        self.names = CgroupNames()
        self.way = "not open"
        self._observer = observer
        self._emit = emit
        self._ring_bytes = ring_bytes
        self._request_sweep = request_sweep
        self._object_path = object_path
        self._files = FileNumbers()
        self.naming = Naming(self.names.resolve, self._files.shown, host.ticks_per_second)
        self._decisions: Decisions | None = None
        self._calls: dict[int, Call] = {}
        self._deeds = Deeds(observer, watching, self._files.shown, emit, self._acted)
        self._object: BpfObject | None = None
        self._maps: dict[str, BpfMap] = {}
        self._ring: RingBuffer | None = None
        self._reading = threading.Lock()
        self._wakeup = WakeUp()
        self._is_stopping = False
        self._clock = WallClock()
        self._named_at_ns = 0
        self._losses = Losses(SOURCE, emit, request_sweep)

    # Starting and stopping ------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Load and attach: what happens from here on is queued. Raises a ``CollectorError``: what is missing."""
        if not BTF.exists():
            raise Unsupported(SOURCE, f"the kernel has no BTF ({BTF} is missing: CONFIG_DEBUG_INFO_BTF)")
        self._calls = calls_by_number()
        opened = BpfObject(self._object_path)
        try:
            opened.resize("ring", self._ring_bytes)
            missing = call_watch.missing_programs(BTF)
            opened.load(without=missing)
            self._maps = {name: opened.map(name) for name in _MAPS}
            call_watch.fill(self._maps, self._calls, self._deeds.calls)
            self._deeds.fill(opened.map("endpoints"))
            self._ring = RingBuffer(self._maps["ring"], self._take)
            self.way = call_watch.attach(opened, self._calls, self._deeds.calls, without=missing)
            self._object, self._decisions = opened, Decisions(opened)
            self._name_cgroups()
        except CollectorError:
            self._object = opened
            self._release()
            raise

    def run(self) -> None:
        """Read until ``stop``; may be run again after it raised."""
        assert self._ring is not None
        poller = select.poll()
        poller.register(self._wakeup, select.POLLIN)
        poller.register(self._ring.fileno(), select.POLLIN)
        while not self._is_stopping:
            if any(fd == self._wakeup.fileno() for fd, _ in poller.poll()):
                self._wakeup.clear()
            if not self._is_stopping:
                self.drain()

    def drain(self) -> None:
        """Take what the ring holds, in the caller's thread: whoever looks at a task tells what it did before first."""
        with self._reading:
            if self._ring is not None:
                try:
                    self._ring.consume()
                except BaseException:
                    # The kernel rings for a record only where all before it were taken: who waits would not hear of
                    # those that this one has left (test_what_a_failure_leaves_in_the_ring_is_taken_at_once).
                    self._wakeup.ring()
                    raise

    def stop(self) -> None:
        """Make ``run`` return, from any thread; what is still queued is not read."""
        self._is_stopping = True
        self._wakeup.ring()

    def close(self) -> None:
        """Detach every program, once nobody runs, sweeps or judges any more."""
        self._release()
        self._wakeup.close()

    def _release(self) -> None:
        with self._reading:
            if self._ring is not None:
                self._ring.close()
                self._ring = None
        if self._object is not None:
            self._object.close()
            self._object = self._decisions = None

    # What the sweep asks --------------------------------------------------------------------------------------------

    def read_tasks(self) -> Iterator[bytes]:
        """One row for each task of the node, threads too, as the kernel holds it now, in parts."""
        if self._object is None:
            raise Unsupported(SOURCE, "the sensor is closed")
        return self._object.iterate("each_task")

    def watch_objects(self) -> None:
        """Have the kernel know the watched objects as they are now; for the sweep's thread."""
        if self._object is not None:
            self._deeds.objects.look(self._object)

    def kernel_counts(self) -> dict[str, int]:
        """What the programs have seen, told and lost since they were loaded, as of the last sweep; from any thread."""
        return self._losses.counts

    def tell_losses(self) -> None:
        """Read the kernel's counters, and tell of what was lost since the last time."""
        self._losses.tell(self._maps["counters"])

    def stream(self, containers: frozenset[str] | None) -> None:
        """Tell boring execs and exits too, as ``Streamed``: of these containers, or of all (``None``)."""
        if self._decisions is not None:
            self._decisions.stream(containers)

    @property
    def decisions(self) -> Decisions:
        """What user space has told the kernel. Raises ``Unsupported`` where nothing is loaded."""
        if self._decisions is None:
            raise Unsupported(SOURCE, "the sensor is closed")
        return self._decisions

    def attach_lost(self) -> None:
        """Whether every program is still attached; one that somebody detached is attached again, and that is told."""
        if self._object is None:
            return
        try:
            lost = self._object.attach_lost()
        except CollectorError as error:
            self.counters.detached += 1
            self._trouble(f"a program was detached, and cannot be attached again: {error}")
            return
        if lost:
            self.counters.detached += len(lost)
            self._trouble(f"programs were detached: {', '.join(lost)}")

    def _trouble(self, why: str) -> None:
        self._emit(AgentTrouble(time.time_ns(), TroubleKind.SENSOR_LOST, SOURCE, why))
        self._request_sweep()

    def judge(self, record: TaskRecord, tracked: Tracked, *, is_sent_in: bool = False) -> None:
        """Tell the kernel what a task is."""
        parent = self._parent(record)
        self.decisions.judge(record, tracked, parent.key if parent is not None else None, is_sent_in=is_sent_in)

    def _parent(self, record: TaskRecord) -> Tracked | None:
        """The task's parent, or the leader of a thread."""
        header = record.header
        return self._observer.tracked(header.tgid if header.tid != header.tgid else header.parent_tgid)

    def learn(self, record: TaskRecord, process: Process) -> None:
        """Compare what the kernel sent with what /proc shows of the same task: which hierarchies, numbers of files."""
        self.names.lay_out(process.confinement.cgroups)
        if process.key.pid == os.getpid():
            self.names.stand_at(record.cgroups, process.confinement.cgroups)
        self._files.learn(as_process(record, 0, self.naming._replace(file=lambda file: file)), process)

    # Records --------------------------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        """One record of the ring. What is wrong with it is counted, and ends nothing."""
        self.counters.records += 1
        try:
            record = decode_act(data) if decode_header(data).kind == KIND_ACT else decode(data)
        except Malformed:
            self.counters.malformed += 1
            return
        try:
            match record:
                case CgroupRecord():
                    self.names.made(record.cgroup, record.path)
                case ExitRecord():
                    self._exited(record)
                case TaskRecord() if record.header.kind in STREAMED:
                    at_ns = self._clock.at(record.header.boot_ns)
                    self._emit(streamed(record, at_ns, self.decisions.memberships, self.naming))
                case TaskRecord():
                    self._acted(record, self._event(record))
                case ActRecord():
                    self._deeds.take(record, self._clock.at(record.task.header.boot_ns))
        except CollectorError as error:
            self.counters.failed[error.kind] += 1

    def _exited(self, record: ExitRecord) -> None:
        header = record.header
        at_ns = self._clock.at(header.boot_ns)
        self.ended(as_key(header.start_ns, header.tid, self.naming.ticks_per_second), at_ns)
        if header.flags & FLAG_LAST:
            self.end_session(header.session, at_ns)

    def ended(self, key: ProcessKey, at_ns: int) -> None:
        """A task ended; it is told now, or if it is the root of a session, when nobody is left who descends from it."""
        session = self.decisions.memberships.ended(key)
        if session is None:
            self._observer.ended(key, at_ns)
        else:
            self.end_session(session.number, at_ns)

    def end_session(self, number: int, at_ns: int, *, is_certain: bool = False) -> None:
        """Forget a session of which nobody lives, by the kernel's count unless that is certain, and tell its root."""
        root = self.decisions.forget(number, is_certain=is_certain)
        if root is not None:
            self._observer.ended(root, at_ns)

    def _acted(self, record: TaskRecord, kind: Callable[[int, Process], ProcessEvent]) -> Tracked | None:
        header = record.header
        at_ns = self._clock.at(header.boot_ns)
        process = as_process(record, at_ns, self.naming)
        if isinstance(process.confinement.cgroups, Unknown):
            process = self._with_cgroups(record, process)
        if header.kind == KIND_CHANGE and self._is_unmount(header):
            self._observer.built(process, at_ns)
        if header.flags & FLAG_CANDIDATE and header.kind not in _OF_ANYBODY and not self._deeds.is_contained(record):
            return None
        self._introduce(record, process.key, at_ns)
        tracked = self._observer.witnessed(kind, process, at_ns)
        if tracked is None:
            return None
        if header.flags & FLAG_CANDIDATE or not header.session:
            self.judge(record, tracked)
        elif header.kind == KIND_EXEC and self._was_sent_in(record, tracked):
            self.judge(record, tracked, is_sent_in=True)
            self.end_session(header.session, at_ns)
        if header.kind == KIND_EXEC and tracked.told is not None:
            self.decisions.know_file(record, tracked.told, tracked.container_id)
        return tracked

    def _was_sent_in(self, record: TaskRecord, tracked: Tracked) -> bool:
        """A sweep met a runtime's process at work and made it the root of a session; this is whom it has sent in.

        The runtime's process has ended, or will soon: nobody descends from it who is the container's.
        """
        session = self.decisions.memberships.session(record.header.session)
        parent = self._parent(record)
        is_outside = parent is None or parent.container_id != tracked.container_id
        return session is not None and session.root != tracked.key and is_outside

    def _event(self, record: TaskRecord) -> Callable[[int, Process], ProcessEvent]:
        """The event that a record is, but for time and process."""
        header = record.header
        if header.kind == KIND_EXEC:
            return Exec
        call = self._calls.get(header.call)
        if header.kind == KIND_REFUSED:
            name = call.name if call is not None else str(header.call)
            return functools.partial(Refused, call=name, error=-header.result)
        if call is None:
            return Seen
        return _EVENTS[call.effect]

    def _is_unmount(self, header: Header) -> bool:
        """A mount was taken away: if that was a runtime's old root, the container's mounts are what they will be."""
        call = self._calls.get(header.call)
        return call is not None and call.meaning is Meaning.UNMOUNTS and header.result >= 0

    def _introduce(self, record: TaskRecord, key: ProcessKey, at_ns: int) -> None:
        """Have the parents told before the task, and its descent where they have ended."""
        known = self._observer.tracked(key.pid)
        if known is not None and known.key == key:
            return
        header = record.header
        self._observer.meet(header.tgid if header.tid != header.tgid else header.parent_tgid)
        if not header.session:
            return
        session = self.decisions.memberships.session(header.session)
        if session is None:
            self.counters.strangers += 1
            return
        self.decisions.memberships.remember(key, header.session)
        parent = self._parent(record)
        if parent is None or parent.container_id != session.container_id:
            self.counters.introduced += 1
            self._observer.inherited(session.root, key, session.container_id, at_ns)

    def _with_cgroups(self, record: TaskRecord, process: Process) -> Process:
        """Cgroups that nobody named yet: the kernel is asked for the names of all, not too often; else as shown now."""
        shown = self._observer.look_at_cgroups(process.key)
        self.names.lay_out(shown)
        if record.header.boot_ns > self._named_at_ns + _NAMING_PAUSE_NS:
            self._name_cgroups()
        named = self.names.resolve(record.cgroups)
        confinement = replace(process.confinement, cgroups=shown if isinstance(named, Unknown) else named)
        return replace(process, confinement=confinement)

    def _name_cgroups(self) -> None:
        """Have the kernel name every cgroup that has tasks; new ones it names by itself."""
        if self._object is None:
            return
        self._named_at_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.decisions.begin_naming()
        for cgroup, path in decode_cgroup_rows(self._object.read_iterator("each_cgroup")):
            self.names.made(cgroup, path)
