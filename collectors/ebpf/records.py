"""What the programs in the kernel send, from bytes to values. Pure.

Source: ``kernel/records.h`` beside this file; the layout here is that one, in the machine's byte order (CO-RE objects
are built for little-endian machines). Strings are a container's own, so nothing in them is trusted; the numbers are the
kernel's. Raises nothing but ``Malformed``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from collectors.errors import Malformed

SOURCE = "ebpf"

KIND_ROW, KIND_EXEC, KIND_CHANGE, KIND_REFUSED, KIND_EXIT, KIND_CGROUP, KIND_ACT = range(1, 8)
KIND_STREAM_EXEC, KIND_STREAM_EXIT = 8, 9
CAUSE_EXEC, CAUSE_FORK, CAUSE_EXIT = range(-1, -4, -1)
CAUSE_SIGNAL, CAUSE_FOREIGN_CALL, CAUSE_CHANGE, CAUSE_CONNECTION, CAUSE_IO_URING = range(-4, -9, -1)
FLAG_KERNEL_THREAD, FLAG_EXITING, FLAG_PARENT_IS_KERNEL, FLAG_CANDIDATE, FLAG_TOLD, FLAG_LAST = 1, 2, 4, 8, 16, 32
MAX_CGROUPS = 16

_HEADER = struct.Struct("<IHHQQQIIIIii")
_VECTOR = struct.Struct("<8IQ4I8I5QIIQ")
_PROGRAM = struct.Struct("<QQIIIIII3Q")
_TASK = struct.Struct("<QIIQ16sII")
_CGROUP = struct.Struct("<QII")
_STRINGS = struct.Struct("<II")
_CGROUP_ROW = struct.Struct("<QIIII512s")
_ARGUMENT_BYTES = 256
_PATH_BYTES = 512

_VECTOR_AT = _HEADER.size
_TASK_AT = _VECTOR_AT + _VECTOR.size
_PROGRAM_AT = _TASK_AT + _TASK.size
_CGROUPS_AT = _PROGRAM_AT + _PROGRAM.size
ROW_BYTES = _CGROUPS_AT + MAX_CGROUPS * _CGROUP.size
_ARGUMENTS_AT = ROW_BYTES + _STRINGS.size
_PATH_AT = _ARGUMENTS_AT + _ARGUMENT_BYTES
TASK_BYTES = _PATH_AT + _PATH_BYTES
"""Of a task's record that is not cut: an act's own part begins there."""
CGROUP_ROW_BYTES = _CGROUP_ROW.size
_CGROUP_BYTES = _HEADER.size + _CGROUP.size + _PATH_BYTES

STREAMED = frozenset({KIND_STREAM_EXEC, KIND_STREAM_EXIT})
_KINDS_OF_TASKS = STREAMED | {KIND_ROW, KIND_EXEC, KIND_CHANGE, KIND_REFUSED, KIND_ACT}


class Header(NamedTuple):
    """What every record begins with. Times are nanoseconds of CLOCK_BOOTTIME."""

    size: int
    kind: int
    flags: int
    boot_ns: int
    start_ns: int
    leader_start_ns: int
    tid: int
    tgid: int
    parent_tgid: int
    session: int
    call: int
    result: int


class Vector(NamedTuple):
    """What confines a task: mnt, pid, net, ipc, uts, user, cgroup and time namespace (0 where an ending task has none).

    ``ids`` are uid, gid, suid, sgid, euid, egid, fsuid, fsgid; ``capabilities`` inheritable, permitted, effective,
    bounding, ambient.
    """

    namespaces: tuple[int, ...]
    root_inode: int
    root_device: int
    root_mount: int
    cwd_mount: int
    no_new_privs: int
    ids: tuple[int, ...]
    capabilities: tuple[int, ...]
    seccomp_mode: int
    seccomp_filters: int
    css_set: int


class Program(NamedTuple):
    """The file that a task runs, as its inode has it; ``device`` is the kernel's number, not yet ``st_dev``."""

    inode: int
    changed_ns: int
    device: int
    mount: int
    mode: int
    owner: int
    links: int
    mark: tuple[int, int, int]


class CgroupKey(NamedTuple):
    """A cgroup: hierarchy (0 is v2) and the id of its directory."""

    hierarchy: int
    id: int


class TaskRecord(NamedTuple):
    """A task at one moment. ``program`` is ``None`` for who has none; a row has neither ``arguments`` nor ``path``.

    ``terminal`` is the kernel's number of its controlling terminal, 0 for none.
    """

    header: Header
    vector: Vector
    cwd_inode: int
    cwd_device: int
    cwd_mount: int
    ran_ns: int
    name: bytes
    ns_pid: int
    program: Program | None
    terminal: int
    cgroups: tuple[CgroupKey, ...]
    arguments: bytes
    path: bytes


class ExitRecord(NamedTuple):
    """A task has ended; with ``tid`` equal to ``tgid``, its whole process.

    User space was told of it, or nobody is left who bears the mark of its session (``FLAG_LAST``).
    """

    header: Header


class CgroupRecord(NamedTuple):
    """A cgroup was made."""

    header: Header
    cgroup: CgroupKey
    path: bytes


Record = TaskRecord | ExitRecord | CgroupRecord


def decode(data: bytes) -> Record:
    """One record of the ring, or one row of the iterator; raises ``Malformed``."""
    header = decode_header(data)
    if header.kind == KIND_EXIT:
        return ExitRecord(header)
    if header.kind == KIND_CGROUP:
        return _decode_cgroup(data, header)
    if header.kind in _KINDS_OF_TASKS:
        return _decode_task(data, header)
    raise Malformed(SOURCE, f"a record of kind {header.kind}")


def decode_header(data: bytes) -> Header:
    """Only the header; raises ``Malformed``."""
    if len(data) < _HEADER.size:
        raise Malformed(SOURCE, f"{len(data)} bytes instead of a header")
    return Header._make(_HEADER.unpack_from(data))


def split_rows(data: bytes) -> list[bytes]:
    """The rows of one pass of the iterator; raises ``Malformed`` when the last one is cut."""
    if len(data) % ROW_BYTES:
        raise Malformed(SOURCE, f"{len(data)} bytes are no whole number of rows")
    return [data[at : at + ROW_BYTES] for at in range(0, len(data), ROW_BYTES)]


def decode_cgroup_rows(data: bytes) -> Iterator[tuple[CgroupKey, bytes]]:
    """Ids and paths of cgroups, as the iterator gives them, one for each row; raises ``Malformed``."""
    if len(data) % CGROUP_ROW_BYTES:
        raise Malformed(SOURCE, f"{len(data)} bytes are no whole number of rows")
    for number, hierarchy, _, path_size, _, path in _CGROUP_ROW.iter_unpack(data):
        if path_size > _PATH_BYTES:
            raise Malformed(SOURCE, f"{path_size} bytes of a path")
        yield CgroupKey(hierarchy, number), join_path(path[:path_size]) or b"/"


def _decode_task(data: bytes, header: Header) -> TaskRecord:
    is_row = header.kind == KIND_ROW
    if len(data) < (ROW_BYTES if is_row else _PATH_AT):
        raise Malformed(SOURCE, f"{len(data)} bytes of a record of kind {header.kind}")
    cwd_inode, cwd_device, cwd_mount, ran_ns, name, ns_pid, cgroup_count = _TASK.unpack_from(data, _TASK_AT)
    if cgroup_count > MAX_CGROUPS:
        raise Malformed(SOURCE, f"{cgroup_count} cgroups")
    cgroups = _CGROUP.iter_unpack(data[_CGROUPS_AT : _CGROUPS_AT + cgroup_count * _CGROUP.size])
    program, terminal = _decode_program(data)
    arguments, path = (b"", b"") if is_row else _decode_strings(data)
    return TaskRecord(
        header,
        _decode_vector(data),
        cwd_inode,
        cwd_device,
        cwd_mount,
        ran_ns,
        name.partition(b"\0")[0],
        ns_pid,
        program,
        terminal,
        tuple(CgroupKey(hierarchy, number) for number, hierarchy, _ in cgroups),
        arguments,
        path or (b"/" if program is not None and not is_row else b""),  # the root of a mount, as /proc has it
    )


def _decode_vector(data: bytes) -> Vector:
    fields = _VECTOR.unpack_from(data, _VECTOR_AT)
    return Vector._make((fields[:8], *fields[8:13], fields[13:21], fields[21:26], *fields[26:29]))


def _decode_program(data: bytes) -> tuple[Program | None, int]:
    inode, changed_ns, device, mount, mode, owner, links, terminal, *mark = _PROGRAM.unpack_from(data, _PROGRAM_AT)
    if not inode:
        return None, terminal
    return Program(inode, changed_ns, device, mount, mode, owner, links, (mark[0], mark[1], mark[2])), terminal


def _decode_strings(data: bytes) -> tuple[bytes, bytes]:
    """The arguments, and the path put together again."""
    arguments_size, path_size = _STRINGS.unpack_from(data, ROW_BYTES)
    if arguments_size > _ARGUMENT_BYTES or _PATH_AT + path_size > len(data):
        raise Malformed(SOURCE, "strings longer than their record")
    path = join_path(data[_PATH_AT : _PATH_AT + path_size])
    return data[_ARGUMENTS_AT : _ARGUMENTS_AT + arguments_size], path


def join_path(components: bytes) -> bytes:
    """A path of its components, the last of which comes first."""
    names = components.split(b"\0")[:-1]
    return b"/" + b"/".join(reversed(names)) if names else b""


def _decode_cgroup(data: bytes, header: Header) -> CgroupRecord:
    if len(data) < _CGROUP_BYTES:
        raise Malformed(SOURCE, f"{len(data)} bytes of a cgroup")
    number, hierarchy, _ = _CGROUP.unpack_from(data, _HEADER.size)
    path = data[_HEADER.size + _CGROUP.size : _CGROUP_BYTES].partition(b"\0")[0]
    return CgroupRecord(header, CgroupKey(hierarchy, number), path)
