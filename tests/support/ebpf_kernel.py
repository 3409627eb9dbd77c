"""The eBPF programs loaded by themselves, and children that are marked as a container's tasks by hand."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import collectors.ebpf
from agent.assembly import assemble
from agent.config_schema import Config
from collectors.ebpf import call_watch
from collectors.ebpf.acts import ActRecord, act_calls_by_number, decode_act
from collectors.ebpf.calls import calls_by_number
from collectors.ebpf.connections import Connections
from collectors.ebpf.libbpf import BpfObject, RingBuffer
from collectors.ebpf.records import KIND_ACT, TaskRecord, decode, decode_header, split_rows

OBJECT = Path(collectors.ebpf.__file__).parent / "sensor.bpf.o"
BTF = Path("/sys/kernel/btf/vmlinux")
VERDICT = struct.Struct("<7Q")


class Kernel:
    """The loaded programs, and what they sent. With ``only`` a system call, all that is watched."""

    def __init__(self, *, ring_bytes: int = 1 << 20, only: str = "") -> None:
        self.records: list[bytes] = []
        self.programs = BpfObject(OBJECT)
        missing = call_watch.missing_programs(BTF)
        self.has_changes = not missing & set(call_watch.CHANGES)
        self.programs.resize("ring", ring_bytes)
        self.programs.load(without=missing)
        maps = {name: self.programs.map(name) for name in ("ring", "calls", "foreign_calls")}
        watched = {number: call for number, call in calls_by_number().items() if only in ("", call.name)}
        call_watch.fill(maps, watched, {} if only else act_calls_by_number())
        self.ring = RingBuffer(maps["ring"], self.records.append)
        collectors = assemble(Config(), lambda _: None, watch_mounts=False)
        sockets = Connections(
            collectors.observer,
            collectors.host,
            collectors.roots,
            lambda _: None,
            governors=collectors.governors,
        )
        sockets.fill(self.programs.map("endpoints"))
        if only:
            self.programs.attach("on_any_call")
            return
        call_watch.attach(self.programs, calls_by_number(), act_calls_by_number(), without=missing)

    def mark(self, pid: int, scope: int = 1) -> None:
        """Make a task one of a container's."""
        rows = map(decode, split_rows(self.programs.read_iterator("each_task")))
        row = next(row for row in rows if isinstance(row, TaskRecord) and row.header.tid == pid)
        assert self.programs.run("judge", VERDICT.pack(pid, row.header.start_ns, scope, scope, 0, 0, 0)) == 0

    def begin(self) -> None:
        """Forget what was told so far: others on the machine fill the ring too, and may have had this pid before."""
        self.ring.consume()
        self.records.clear()

    def acts(self, pid: int) -> list[ActRecord]:
        """The acts of a process that were told, of any of its threads: io_uring has some of its own."""
        self.ring.consume()
        found = [decode_act(each) for each in self.records if decode_header(each).kind == KIND_ACT]
        return [each for each in found if each.task.header.tgid == pid]

    def close(self) -> None:
        """Detach."""
        self.ring.close()
        self.programs.close()


def child(act: Callable[[], object]) -> tuple[int, int]:
    """A process that waits for a byte, acts, and ends; its pid, and the descriptor to write the byte to."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.close(writer)
            os.read(reader, 1)
            act()
            status = 0
        except OSError as error:
            status = error.errno or 1
        finally:
            os._exit(status)
    os.close(reader)
    return pid, writer


def perform(kernel: Kernel, act: Callable[[], object], *, status: int = 0) -> list[ActRecord]:
    """The acts that are told of a container's task which acts once."""
    pid, writer = child(act)
    kernel.mark(pid)
    kernel.begin()
    os.write(writer, b"x")
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == status
    return kernel.acts(pid)
