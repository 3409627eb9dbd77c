"""What user space decides and the kernel remembers: whose mark a task bears, and which files are no news.

Concurrency: the sensor's thread and the sweep's thread. Marking a task and forgetting a session are one decision at a
time, under one lock, so that no mark is given of a session that is being forgotten. Lock order: ours before the
memberships' own; the observer is never called under it.
"""

from __future__ import annotations

import struct
import threading

from collectors.births import Tracked
from collectors.ebpf.libbpf import BpfMap, BpfObject
from collectors.ebpf.membership import Memberships
from collectors.ebpf.records import TaskRecord
from collectors.facts import Executable, Layer, Process, ProcessKey

_VERDICT = struct.Struct("<7Q")
_FILE_KEY = struct.Struct("<QQIIII")
_SETTINGS = struct.Struct("<4I")
_MARK = struct.Struct("<I")
_MASK = 0xFFFFFFFF
_KNOWN = b"\1\0\0\0"
_STREAMING_NONE, _STREAMING_CHOSEN, _STREAMING_ALL = range(3)  # ``enum streaming`` of ``kernel/maps.h``


class Decisions:
    """The tables of the loaded object that user space writes, and the sessions that it made up."""

    def __init__(self, opened: BpfObject) -> None:
        self.memberships = Memberships()
        self._object = opened
        self._files: BpfMap = opened.map("files")
        self._settings: BpfMap = opened.map("settings")
        self._sessions: BpfMap = opened.map("sessions")
        self._streamed: BpfMap = opened.map("streamed_scopes")
        self._streaming = _STREAMING_NONE
        self._streamed_ids: frozenset[str] = frozenset()
        self._streamed_now: set[int] = set()
        self._host_generation = 0
        self._naming_pass = 0
        self._settings_lock = threading.Lock()
        self._marking = threading.Lock()

    def judge(
        self, record: TaskRecord, tracked: Tracked, parent: ProcessKey | None, *, is_sent_in: bool = False
    ) -> None:
        """Tell the kernel what a task is, so that it need not ask again, and whose mark its children inherit."""
        header, vector = record.header, record.vector
        session = scope = 0
        with self._marking:
            if tracked.container_id is not None:
                entered, is_new = self.memberships.enter(
                    tracked.key, tracked.container_id, parent, is_sent_in=is_sent_in
                )
                session, scope = entered.number, entered.scope
                if is_new:
                    self._judge_host_files_anew()
                    self._stream_those_that_live()
            mnt, pid = vector.namespaces[:2]
            verdict = _VERDICT.pack(header.tid, header.start_ns, session, scope, mnt, pid, vector.css_set)
            self._object.run("judge", verdict)

    def begin_sweep(self) -> None:
        """What is marked from here on may be missing in the rows."""
        with self._marking:
            self.memberships.begin_sweep()

    def forget(self, number: int, *, is_certain: bool) -> ProcessKey | None:
        """Forget a session of which nobody lives, by the kernel's count unless that is certain.

        Its root, if the session is over and the root was the first to end.
        """
        mark = _MARK.pack(number)
        with self._marking:
            living = self._sessions.read(mark)
            if living is not None and any(living) and not is_certain:
                return None
            self._sessions.delete(mark)
            return self.memberships.forget(number)

    def know_file(self, record: TaskRecord, process: Process, container_id: str | None) -> None:
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
        self._files.update(key, _KNOWN)

    def stream(self, containers: frozenset[str] | None) -> None:
        """Have the kernel tell also what is not notable, of these containers, or of all (``None``)."""
        with self._marking:
            self._streamed_ids = containers or frozenset()
            self._stream_those_that_live()
        with self._settings_lock:
            chosen = _STREAMING_CHOSEN if containers else _STREAMING_NONE
            self._streaming = _STREAMING_ALL if containers is None else chosen
            self._write_settings()

    def _stream_those_that_live(self) -> None:
        """A container that is started again has another number."""
        wanted = {scope for each in self._streamed_ids if (scope := self.memberships.scope(each)) is not None}
        for scope in self._streamed_now - wanted:
            self._streamed.delete(_MARK.pack(scope))
        for scope in wanted - self._streamed_now:
            self._streamed.update(_MARK.pack(scope), _KNOWN)
        self._streamed_now = wanted

    def begin_naming(self) -> None:
        """The next pass over the cgroups is a new one: each set of them is named again."""
        with self._settings_lock:
            self._naming_pass = (self._naming_pass + 1) & _MASK
            self._write_settings()

    def _judge_host_files_anew(self) -> None:
        """Another container may have among its files what the host runs: every program of the host is news again."""
        with self._settings_lock:
            self._host_generation = (self._host_generation + 1) & _MASK
            self._write_settings()

    def _write_settings(self) -> None:
        self._settings.update(bytes(4), _SETTINGS.pack(self._host_generation, self._streaming, self._naming_pass, 0))
