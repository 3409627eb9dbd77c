"""Acts of container tasks that belong to the ways out: which system calls they are, and what the kernel sends of them.

Numbers: ``arch/x86/entry/syscalls/syscall_64.tbl`` and ``include/uapi/asm-generic/unistd.h``
(arm64); ``None`` where it has no such call. Layout: ``struct act`` of ``kernel/techniques.h``, behind a
whole ``struct record``. Pure; decoding raises nothing but ``Malformed``.
"""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import NamedTuple

from collectors.ebpf.mounting import MOUNTED_BYTES, decode_mount, mount_made
from collectors.ebpf.processes import file_id
from collectors.ebpf.records import (
    CAUSE_FOREIGN_CALL,
    CAUSE_SIGNAL,
    TASK_BYTES,
    TaskRecord,
    decode,
    join_path,
)
from collectors.errors import Malformed
from collectors.events import CallMade, FileTouched, ProcessEvent, ProcessReached, Touch, Watched
from collectors.facts import FileId, Mount, Process

SOURCE = "ebpf"
AF_PACKET = 17  # include/linux/socket.h
_ACT = struct.Struct("<4QQQQIIIIIIII")
_PATH_BYTES = 512
_ACT_BYTES = TASK_BYTES + _ACT.size + _PATH_BYTES


class Way(IntEnum):
    """``enum act_class`` of ``kernel/techniques.h``: what is told of a call when it returns."""

    ACTS = 16  # that it succeeded
    ATTEMPTS = 17  # what came of it
    TRACES = 18
    WRITES_MEMORY = 19
    GETS_DESCRIPTOR = 20
    MAKES_NODE = 21
    MAKES_NODE_AT = 22
    MAKES_SOCKET = 23
    OPENS_HANDLE = 24
    MAKES_FILE = 25
    OPENS = 32
    CHANGES_MODE = 33
    CHANGES_MODE_OF = 34
    CHANGES_MODE_AT = 35
    SETS_ATTRIBUTE = 36
    SETS_ATTRIBUTE_OF = 37
    SETS_ATTRIBUTE_AT = 38
    CONNECTS = 48


class How(IntEnum):
    """``enum how`` of ``kernel/techniques.h``."""

    READ = 1
    WRITTEN = 2
    ENTRY = 3
    CHANGED = 4
    KERNEL = 5
    MEMORY = 6
    ENVIRON = 7
    HOST_MOUNT = 8
    MODE = 9
    CAPABILITIES = 10
    CONNECTED = 11
    DEVICE = 12
    NAMESPACE = 13
    MOUNTED = 14
    DETACHED = 15
    SOCKET = 16


_TOUCHES = {
    How.READ: Touch.READ,
    How.WRITTEN: Touch.WRITTEN,
    How.ENTRY: Touch.ENTRY,
    How.CHANGED: Touch.CHANGED,
    How.KERNEL: Touch.KERNEL,
    How.HOST_MOUNT: Touch.HOST_MOUNT,
    How.MODE: Touch.PRIVILEGED,
    How.CAPABILITIES: Touch.CAPABLE,
    How.DEVICE: Touch.DEVICE,
    How.NAMESPACE: Touch.NAMESPACE,
}
_MOUNTS = frozenset({How.MOUNTED, How.DETACHED})
_REACHES = {How.MEMORY: "memory", How.ENVIRON: "environ"}


class ActCall(NamedTuple):
    """One system call. ``tracepoint`` is its name below ``events/syscalls``, where it differs."""

    name: str
    x86_64: int | None
    arm64: int | None
    way: Way
    tracepoint: str = ""


ACT_CALLS = (
    ActCall("ptrace", 101, 117, Way.TRACES),
    ActCall("process_vm_writev", 311, 271, Way.WRITES_MEMORY),
    ActCall("pidfd_getfd", 438, 438, Way.GETS_DESCRIPTOR),
    ActCall("init_module", 175, 105, Way.ATTEMPTS),
    ActCall("finit_module", 313, 273, Way.ATTEMPTS),
    ActCall("delete_module", 176, 106, Way.ATTEMPTS),
    ActCall("kexec_load", 246, 104, Way.ATTEMPTS),
    ActCall("kexec_file_load", 320, 294, Way.ATTEMPTS),
    ActCall("reboot", 169, 142, Way.ATTEMPTS),
    ActCall("bpf", 321, 280, Way.ACTS),
    ActCall("perf_event_open", 298, 241, Way.ACTS),
    ActCall("mknod", 133, None, Way.MAKES_NODE),
    ActCall("mknodat", 259, 33, Way.MAKES_NODE_AT),
    ActCall("open_by_handle_at", 304, 265, Way.OPENS_HANDLE),
    ActCall("memfd_create", 319, 279, Way.MAKES_FILE),
    ActCall("userfaultfd", 323, 282, Way.ACTS),
    ActCall("add_key", 248, 217, Way.ACTS),
    ActCall("keyctl", 250, 219, Way.ACTS),
    ActCall("io_uring_setup", 425, 425, Way.ACTS),
    ActCall("socket", 41, 198, Way.MAKES_SOCKET),
    ActCall("open", 2, None, Way.OPENS),
    ActCall("openat", 257, 56, Way.OPENS),
    ActCall("openat2", 437, 437, Way.OPENS),
    ActCall("creat", 85, None, Way.OPENS),
    ActCall("chmod", 90, None, Way.CHANGES_MODE),
    ActCall("fchmod", 91, 52, Way.CHANGES_MODE_OF),
    ActCall("fchmodat", 268, 53, Way.CHANGES_MODE_AT),
    ActCall("fchmodat2", 452, 452, Way.CHANGES_MODE_AT),
    ActCall("setxattr", 188, 5, Way.SETS_ATTRIBUTE),
    ActCall("lsetxattr", 189, 6, Way.SETS_ATTRIBUTE),
    ActCall("fsetxattr", 190, 7, Way.SETS_ATTRIBUTE_OF),
    ActCall("setxattrat", 463, 463, Way.SETS_ATTRIBUTE_AT),
    ActCall("connect", 42, 203, Way.CONNECTS),
)


def act_calls_by_number(machine: str | None = None) -> dict[int, ActCall]:
    """The calls by their number on this machine; empty where the numbers are not known."""
    match machine or os.uname().machine:
        case "x86_64":
            return {call.x86_64: call for call in ACT_CALLS if call.x86_64 is not None}
        case "aarch64":
            return {call.arm64: call for call in ACT_CALLS if call.arm64 is not None}
        case _:
            return {}


class Act(NamedTuple):
    """What an act was done to. ``device`` is the kernel's number for a file, ``st_rdev`` for a node that was made."""

    arguments: tuple[int, int, int, int]
    inode: int
    file_system: int
    target_start_ns: int
    device: int
    mode: int
    target_pid: int
    target_session: int
    signal: int
    how: int
    watched: int
    path: bytes


class ActRecord(NamedTuple):
    """A task, and what it did; ``mount`` is what it mounted."""

    task: TaskRecord
    act: Act
    mount: Mount | None = None


def decode_act(data: bytes) -> ActRecord:
    """One record of kind ``KIND_ACT``; raises ``Malformed``."""
    if len(data) < _ACT_BYTES:
        raise Malformed(SOURCE, f"{len(data)} bytes of an act")
    task = decode(data)
    if not isinstance(task, TaskRecord):
        raise Malformed(SOURCE, f"an act in a record of kind {task.header.kind}")
    *arguments, inode, file_system, start_ns, device, mode, pid, session, signal, how, watched, size = _ACT.unpack_from(
        data, TASK_BYTES
    )
    if size > _PATH_BYTES:
        raise Malformed(SOURCE, f"a path of {size} bytes")
    at = TASK_BYTES + _ACT.size
    path = _path(data[at : at + size], act_how=how)
    mount = None
    if how in _MOUNTS:
        point = (path or b"/") if how == How.MOUNTED else b""
        mount = decode_mount(data[_ACT_BYTES : _ACT_BYTES + MOUNTED_BYTES], device=device, point=point)
    return ActRecord(
        task,
        Act(
            (arguments[0], arguments[1], arguments[2], arguments[3]),
            inode,
            file_system,
            start_ns,
            device,
            mode,
            pid,
            session,
            signal,
            how,
            watched,
            path,
        ),
        mount,
    )


def _path(data: bytes, *, act_how: int) -> bytes:
    """Components, the last first; of what a process wrote itself the text as it is."""
    if act_how in {How.MODE, How.CAPABILITIES} and data.count(b"\0") == 1:
        return data.rstrip(b"\0")
    return data if act_how == How.CONNECTED else join_path(data)


class Context(NamedTuple):
    """What turns an act into an event: calls by number, our own pid, watched objects, and what stat(2) shows."""

    calls: Mapping[int, ActCall]
    own_pid: int
    watched: Callable[[int], tuple[Watched, ...]]
    file: Callable[[FileId], FileId]


def event_of(record: ActRecord, context: Context) -> Callable[[int, Process], ProcessEvent]:
    """The event that an act is, but for time and process."""
    header, act, calls = record.task.header, record.act, context.calls
    error = max(0, -header.result)
    is_agent = act.target_pid == context.own_pid
    if act.how in _REACHES:
        call_name = _REACHES[How(act.how)]
        return functools.partial(ProcessReached, call=call_name, error=0, target_pid=act.target_pid, is_agent=is_agent)
    if record.mount is not None or act.how in _TOUCHES:
        return _touch(record, context)
    if header.call == CAUSE_SIGNAL:
        return functools.partial(
            ProcessReached,
            call="signal",
            error=0,
            target_pid=act.target_pid,
            signal=act.signal,
            is_agent=is_agent,
        )
    if header.call == CAUSE_FOREIGN_CALL:
        return functools.partial(CallMade, call="", error=0, arguments=act.arguments, is_foreign=True)
    call = calls.get(header.call)
    name = call.name if call is not None else str(header.call)
    if call is not None and call.way in {Way.TRACES, Way.WRITES_MEMORY, Way.GETS_DESCRIPTOR}:
        return functools.partial(ProcessReached, call=name, error=error, target_pid=act.target_pid, is_agent=is_agent)
    return functools.partial(
        CallMade,
        call=name,
        error=error,
        arguments=act.arguments,
        device=act.device if act.mode and not act.inode else file_id(act.device, act.inode).device,
        mode=act.mode,
        file_system=act.file_system,
        path=act.path,
    )


def _touch(record: ActRecord, context: Context) -> Callable[[int, Process], ProcessEvent]:
    act = record.act
    if record.mount is not None:
        return mount_made(record.mount, is_detached=act.how == How.DETACHED)
    file = file_id(act.device, act.inode) if act.inode else None
    is_special = act.how in {How.DEVICE, How.NAMESPACE}
    return functools.partial(
        FileTouched,
        touch=_TOUCHES[How(act.how)],
        path=act.path,
        file=file if file is None or is_special else context.file(file),
        mode=act.mode,
        file_system=act.file_system,
        watched=context.watched(act.watched),
    )


def as_raw_socket(act: Act) -> tuple[str, int]:
    """Kind and protocol of a socket that was made, as ``RawSocketHeld`` names them."""
    family, _, protocol, _ = act.arguments
    return ("packet", 0) if family == AF_PACKET else ("raw", protocol)
