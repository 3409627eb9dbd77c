"""The eBPF tier: loads the programs, reads their ring, and turns each record into events through the observer.

Concurrency: ``open`` and ``close`` belong to whoever starts the source; one thread runs ``run`` and owns the ring. The
sweep's thread shares the object (its iterator), the memberships and the names, each with a lock of its own. Bounded:
the ring (``ring_bytes``), the kernel's tables, the names. When the ring is full the kernel counts what it dropped; the
sweep reads the counters, tells ``Lost`` and looks at everything again. ``stop`` may be called from any thread.

The order of things: every record is taken in the order in which the kernel made it. A task that user space never heard
of is introduced first, by its parents where they live, else by the root of the session that its mark names.
"""

from __future__ import annotations

import functools
import os
import select
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from collectors.ebpf import call_watch
from collectors.ebpf.acts import (
    ActCall,
    ActRecord,
    Context,
    Way,
    act_calls_by_number,
    as_raw_socket,
    decode_act,
    event_of,
)
from collectors.ebpf.calls import Call, Effect, calls_by_number
from collectors.ebpf.cgroups import CgroupNames
from collectors.ebpf.libbpf import BpfMap, BpfObject, RingBuffer, has_tracepoint, possible_cpus
from collectors.ebpf.membership import Memberships
from collectors.ebpf.object_watch import ObjectWatch
from collectors.ebpf.processes import Naming, as_key, as_process
from collectors.ebpf.records import (
    FLAG_CANDIDATE,
    KIND_ACT,
    KIND_EXEC,
    KIND_REFUSED,
    CgroupRecord,
    ExitRecord,
    TaskRecord,
    decode,
    decode_header,
)
from collectors.errors import CollectorError, Malformed, Unsupported
from collectors.events import (
    CredentialChange,
    Event,
    Exec,
    Lost,
    NamespaceChange,
    ProcessEvent,
    RawSocketHeld,
    Refused,
    RootChange,
    Seen,
)
from collectors.facts import Executable, FileId, HostBaseline, Layer, Process, ProcessKey, Unknown
from collectors.observer import Observer, Tracked
from collectors.wakeup import WakeUp

SOURCE = "ebpf"
OBJECT = Path(__file__).with_name("sensor.bpf.o")
BTF = Path("/sys/kernel/btf/vmlinux")

_TRACEPOINTS = ("on_fork", "on_exec", "on_exit", "on_cgroup", "on_cgroup_move", "on_signal")
# Since Linux 6.13: without them a rename or a link onto a watched directory is not seen
_CHANGES = (("on_change", "ctime_ns_xchg"), ("on_coarse_change", "inode_set_ctime_to_ts"))
_MAPS = ("ring", "calls", "foreign_calls", "counters", "settings", "files")
_MAX_PARENTS = 16
_REMEASURE_NS = 10_000_000_000
_MAX_FILES = 8192
_VERDICT = struct.Struct("<7Q")
_FILE_KEY = struct.Struct("<QQIIII")
_SETTINGS = struct.Struct("<II")
_EVENTS: dict[Effect, type[ProcessEvent]] = {
    Effect.NAMESPACES: NamespaceChange,
    Effect.ROOT: RootChange,
    Effect.CREDENTIALS: CredentialChange,
    Effect.OTHER: Seen,
}
COUNTERS = (
    "forks",
    "execs",
    "exits",
    "calls",
    "cgroups",
    "notable_execs",
    "notable_changes",
    "notable_refusals",
    "notable_exits",
    "lost",
    "not_remembered",
    "notable_acts",
)
"""``enum counter`` of ``kernel/maps.h``, in its order."""


@dataclass(slots=True)
class Counters:
    """What the source did; written by its thread, readable from any. The kernel's own are in ``kernel_counts``."""

    records: int = 0
    malformed: int = 0
    introduced: int = 0  # tasks that were known by their mark alone
    strangers: int = 0  # marks of a session that nobody knows any more
    failed: Counter[str] = field(default_factory=Counter)  # records whose handling raised, by kind of error


def wall_minus_boot_ns() -> int:
    """What to add to CLOCK_BOOTTIME to get wall time."""
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class EbpfSource:
    """The sensor; ``open``, then ``run`` in a thread of its own, then ``stop``. ``way`` says how calls are watched."""

    def __init__(
        self,
        observer: Observer,
        emit: Callable[[Event], None],
        host: HostBaseline,
        *,
        ring_bytes: int,
        request_sweep: Callable[[], None],
        object_watch: ObjectWatch,
        object_path: Path = OBJECT,
    ) -> None:
        self.counters = Counters()
        self.names = CgroupNames()
        self.memberships = Memberships()
        self.way = "not open"
        self._observer = observer
        self._emit = emit
        self._ring_bytes = ring_bytes
        self._request_sweep = request_sweep
        self._object_path = object_path
        self._files: dict[FileId, FileId] = {}  # what stat(2) shows, where it is not what the inode has
        self._naming = Naming(self.names.resolve, lambda file: self._files.get(file, file), host.ticks_per_second)
        self._calls: dict[int, Call] = {}
        self._act_calls: dict[int, ActCall] = {}
        self._watched = object_watch
        self._context = Context({}, os.getpid(), object_watch.objects, self._naming.file)
        self._object: BpfObject | None = None
        self._maps: dict[str, BpfMap] = {}
        self._ring: RingBuffer | None = None
        self._wakeup = WakeUp()
        self._is_stopping = False
        self._offset_ns = wall_minus_boot_ns()
        self._measured_at_ns = 0
        self._host_generation = 0
        self._lost_told = 0

    # Starting and stopping ------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Load and attach: what happens from here on is queued. Raises a ``CollectorError``: what is missing."""
        if not BTF.exists():
            raise Unsupported(SOURCE, f"the kernel has no BTF ({BTF} is missing: CONFIG_DEBUG_INFO_BTF)")
        self._calls = calls_by_number()
        self._act_calls = act_calls_by_number()
        self._context = self._context._replace(calls=self._act_calls)
        opened = BpfObject(self._object_path)
        try:
            opened.resize("ring", self._ring_bytes)
            changes = tuple(name for name, tracepoint in _CHANGES if has_tracepoint(BTF, tracepoint))
            opened.load(without={name for name, _ in _CHANGES} - set(changes))
            self._maps = {name: opened.map(name) for name in _MAPS}
            call_watch.fill(self._maps, self._calls, self._act_calls)
            self._ring = RingBuffer(self._maps["ring"], self._take)
            for name in (*_TRACEPOINTS, *changes):
                opened.attach(name)
            self.way = call_watch.attach(opened, self._calls, self._act_calls)
        except CollectorError:
            opened.close()
            raise
        self._object = opened

    def run(self) -> None:
        """Read until ``stop``; may be run again after it raised."""
        assert self._ring is not None
        poller = select.poll()
        poller.register(self._wakeup, select.POLLIN)
        poller.register(self._ring.fileno(), select.POLLIN)
        while not self._is_stopping:
            poller.poll()
            if not self._is_stopping:
                self._ring.consume()

    def stop(self) -> None:
        """Make ``run`` return, from any thread; what is still queued is not read."""
        self._is_stopping = True
        self._wakeup.ring()

    def close(self) -> None:
        """Detach every program, once nobody runs, sweeps or judges any more."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None
        if self._object is not None:
            self._object.close()
            self._object = None
        self._wakeup.close()

    # What the sweep asks --------------------------------------------------------------------------------------------

    @property
    def naming(self) -> Naming:
        """How records become processes."""
        return self._naming

    def open_iterator(self) -> int:
        """A descriptor that gives one row for each task of the node; the caller closes it."""
        if self._object is None:
            raise Unsupported(SOURCE, "the sensor is closed")
        return self._object.open_iterator("each_task")

    def watch_objects(self) -> None:
        """Have the kernel know the watched objects as they are now; for the sweep's thread."""
        if self._object is not None:
            self._watched.look(self._object)

    def kernel_counts(self) -> dict[str, int]:
        """What the programs have seen, told and lost since they were loaded."""
        cpus = possible_cpus()
        return {name: self._maps["counters"].read_sum(index, cpus) for index, name in enumerate(COUNTERS)}

    def tell_losses(self) -> None:
        """Tell of what the ring had no room for since this was asked last, and have everything looked at again."""
        lost = self._maps["counters"].read_sum(COUNTERS.index("lost"), possible_cpus())
        if lost > self._lost_told:
            count, self._lost_told = lost - self._lost_told, lost
            self._emit(Lost(time.time_ns(), SOURCE, "ring_full", count))
            self._request_sweep()

    def judge(self, record: TaskRecord, tracked: Tracked) -> None:
        """Tell the kernel what a task is, so that it need not ask again, and whose mark its children inherit."""
        header, vector = record.header, record.vector
        session = scope = 0
        if tracked.container_id is not None:
            parent = self._observer.tracked(header.tgid if header.tid != header.tgid else header.parent_tgid)
            entered, is_new = self.memberships.enter(
                tracked.key, tracked.container_id, parent.key if parent is not None else None
            )
            session, scope = entered.number, entered.scope
            if is_new:
                self._judge_host_files_anew()
        verdict = _VERDICT.pack(
            header.tid,
            header.start_ns,
            session,
            scope,
            vector.namespaces[0],
            vector.namespaces[1],
            vector.css_set,
        )
        if self._object is not None:
            self._object.run("judge", verdict)

    def learn(self, record: TaskRecord, process: Process) -> None:
        """Compare what the kernel sent with what /proc shows of the same task: names of cgroups, numbers of files."""
        self.names.learn(record.cgroups, process.confinement.cgroups)
        shown = as_process(record, 0, self._naming._replace(file=lambda file: file))
        pairs = (
            (shown.confinement.root, process.confinement.root),
            (shown.confinement.cwd, process.confinement.cwd),
            (
                shown.executable.place if isinstance(shown.executable, Executable) else shown.executable,
                process.executable.place if isinstance(process.executable, Executable) else process.executable,
            ),
        )
        for ours, theirs in pairs:
            if isinstance(ours, Unknown) or isinstance(theirs, Unknown) or ours.mnt_id != theirs.mnt_id:
                continue
            if ours.file != theirs.file and process.key == shown.key:
                if len(self._files) >= _MAX_FILES:
                    self._files.clear()
                self._files[ours.file] = theirs.file

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
                case TaskRecord():
                    self._acted(record, self._event(record))
                case ActRecord():
                    self._did(record)
        except CollectorError as error:
            self.counters.failed[error.kind] += 1

    def _at(self, boot_ns: int) -> int:
        """Wall time of a moment."""
        if boot_ns - self._measured_at_ns > _REMEASURE_NS:
            self._measured_at_ns = boot_ns
            self._offset_ns = wall_minus_boot_ns()
        return boot_ns + self._offset_ns

    def _exited(self, record: ExitRecord) -> None:
        header = record.header
        key = as_key(header.start_ns, header.tid, self._naming.ticks_per_second)
        if not self.memberships.must_linger(key):
            self._observer.ended(key, self._at(header.boot_ns))

    def _did(self, record: ActRecord) -> None:
        """An act of a container's task; a raw socket is told as those are that a sweep finds held."""
        if not record.task.header.session and not self._is_contained(record.task):
            return
        call = self._act_calls.get(record.task.header.call)
        if call is None or call.way is not Way.MAKES_SOCKET:
            self._acted(record.task, event_of(record, self._context))
            return
        tracked = self._acted(record.task, Seen)
        if tracked is not None and tracked.container_id is not None:
            kind, protocol = as_raw_socket(record.act)
            at_ns = self._at(record.task.header.boot_ns)
            self._emit(RawSocketHeld(at_ns, tracked.container_id, tracked.key, record.act.inode, kind, protocol))

    def _is_contained(self, record: TaskRecord) -> bool:
        """By what was told of it, or of its parent, before: the kernel did not know yet. Not so a runtime's own."""
        header = record.header
        for pid in (header.tgid, header.parent_tgid):
            tracked = self._observer.tracked(pid)
            if tracked is not None:
                return tracked.container_id is not None
        return False

    def _acted(self, record: TaskRecord, kind: Callable[[int, Process], ProcessEvent]) -> Tracked | None:
        header = record.header
        at_ns = self._at(header.boot_ns)
        process = as_process(record, at_ns, self._naming)
        if isinstance(process.confinement.cgroups, Unknown):
            process = self._with_cgroups(record, process)
        if header.flags & FLAG_CANDIDATE and header.kind not in {KIND_EXEC, KIND_ACT}:
            self._observer.built(process, at_ns)
            return None
        self._introduce(record, process.key, at_ns)
        tracked = self._observer.witnessed(kind, process, at_ns)
        if tracked is None:
            return None
        if header.flags & FLAG_CANDIDATE or not header.session:
            self.judge(record, tracked)
        if header.kind == KIND_EXEC and tracked.told is not None:
            self._know_file(record, tracked.told, tracked.container_id)
        return tracked

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

    def _introduce(self, record: TaskRecord, key: ProcessKey, at_ns: int) -> None:
        """Have the parents told before the task, and its descent where they have ended."""
        known = self._observer.tracked(key.pid)
        if known is not None and known.key == key:
            return
        header = record.header
        self._meet(header.tgid if header.tid != header.tgid else header.parent_tgid)
        if not header.session:
            return
        session = self.memberships.session(header.session)
        if session is None:
            self.counters.strangers += 1
            return
        self.memberships.remember(key, header.session)
        parent = self._observer.tracked(header.tgid if header.tid != header.tgid else header.parent_tgid)
        if parent is None or parent.container_id != session.container_id:
            self.counters.introduced += 1
            self._observer.inherited(session.root, key, session.container_id, at_ns)

    def _meet(self, pid: int) -> None:
        """Look at a process that nobody was told of, and before it at its own parents."""
        unknown: list[int] = []
        while pid > 0 and len(unknown) < _MAX_PARENTS and self._observer.tracked(pid) is None:
            unknown.append(pid)
            pid = self._observer.parent_of(pid)
        for each in reversed(unknown):
            self._observer.observe(each)

    def _with_cgroups(self, record: TaskRecord, process: Process) -> Process:
        """A cgroup that nobody named yet: the living task's /proc names it."""
        shown = self._observer.look_at_cgroups(process.key)
        self.names.learn(record.cgroups, shown)
        return as_process(record, process.observed_ns, self._naming) if not isinstance(shown, Unknown) else process

    # Files ----------------------------------------------------------------------------------------------------------

    def _know_file(self, record: TaskRecord, process: Process, container_id: str | None) -> None:
        """A program of the image, or one that the host has run: no news as long as it does not change."""
        program = record.program
        executable = process.executable
        if program is None or not isinstance(executable, Executable) or executable.is_unlinked:
            return
        if container_id is not None and executable.layer is not Layer.IMAGE:
            return
        session = self.memberships.session(record.header.session)
        scope = session.scope if session is not None else 0
        if container_id is not None and not scope:
            return  # the entry itself: its descendants will bear the mark
        generation = self._host_generation if not scope else 0
        key = _FILE_KEY.pack(program.inode, program.changed_ns, program.device, program.mount, scope, generation)
        self._maps["files"].update(key, b"\1\0\0\0")

    def _judge_host_files_anew(self) -> None:
        """Another container may have among its files what the host runs: every program of the host is news again."""
        self._host_generation = (self._host_generation + 1) & 0xFFFFFFFF
        self._maps["settings"].update(bytes(4), _SETTINGS.pack(self._host_generation, 0))
