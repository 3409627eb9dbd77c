"""A ``Process`` made of what the kernel sent: whole, whether the task still lives or not. Pure.

What the kernel's side cannot tell is the LSM label (its place in memory is each module's own business) and open
descriptors: ``Unknown`` here, read from /proc by whoever has a living task.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from collectors.ebpf.records import FLAG_KERNEL_THREAD, CgroupKey, Program, TaskRecord, Vector
from collectors.facts import (
    NOT_READ,
    Capabilities,
    CgroupMembership,
    Confinement,
    Executable,
    FileId,
    Ids,
    Namespaces,
    Place,
    Process,
    ProcessKey,
    Seccomp,
    SeccompMode,
    Unknown,
)
from collectors.proc.stat import image_mark

_GONE = Unknown("gone: the task had ended")
_MODES = {0: SeccompMode.DISABLED, 1: SeccompMode.STRICT, 2: SeccompMode.FILTER}
_NS_PER_SECOND = 1_000_000_000
_MINOR_BITS = 20  # include/linux/kdev_t.h
_MINOR_MASK = (1 << _MINOR_BITS) - 1


class Naming(NamedTuple):
    """What turns the kernel's numbers into those that /proc shows."""

    cgroups: Callable[[tuple[CgroupKey, ...]], tuple[CgroupMembership, ...] | Unknown]
    file: Callable[[FileId], FileId]  # a file system may show stat(2) other numbers than its inodes have
    ticks_per_second: int


def as_key(start_ns: int, tid: int, ticks_per_second: int) -> ProcessKey:
    """The identity of a task as ``/proc/PID/stat`` would give it."""
    return ProcessKey(tid, start_ns * ticks_per_second // _NS_PER_SECOND)


def as_process(record: TaskRecord, observed_ns: int, naming: Naming) -> Process:
    """The task as the kernel held it when it sent the record."""
    header, ticks = record.header, naming.ticks_per_second
    is_thread = header.tid != header.tgid
    return Process(
        key=as_key(header.start_ns, header.tid, ticks),
        parent_pid=header.parent_tgid,
        name=record.name,
        arguments=record.arguments,
        executable=_executable(record.program, record.path, naming),
        confinement=_confinement(record, naming),
        ns_pid=record.ns_pid,
        is_kernel_thread=bool(header.flags & FLAG_KERNEL_THREAD),
        image_mark=image_mark(*record.program.mark) if record.program is not None else _GONE,
        observed_ns=observed_ns,
        thread_of=as_key(header.leader_start_ns, header.tgid, ticks) if is_thread else None,
        tty=os.makedev(record.terminal >> _MINOR_BITS, record.terminal & _MINOR_MASK),
    )


def file_id(device: int, inode: int) -> FileId:
    """``st_dev`` and ``st_ino`` from the kernel's device number and inode."""
    return FileId(os.makedev(device >> _MINOR_BITS, device & _MINOR_MASK), inode)


def _confinement(record: TaskRecord, naming: Naming) -> Confinement:
    vector = record.vector
    real_uid, real_gid, saved_uid, saved_gid, effective_uid, effective_gid, fs_uid, fs_gid = vector.ids
    return Confinement(
        namespaces=Namespaces(*(number or _GONE for number in vector.namespaces)),
        root=_place(vector.root_device, vector.root_inode, vector.root_mount, naming),
        cwd=_place(record.cwd_device, record.cwd_inode, record.cwd_mount, naming),
        uids=Ids(real_uid, effective_uid, saved_uid, fs_uid),
        gids=Ids(real_gid, effective_gid, saved_gid, fs_gid),
        capabilities=Capabilities(*vector.capabilities),
        no_new_privs=bool(vector.no_new_privs),
        seccomp=_seccomp(vector),
        lsm_label=NOT_READ,
        cgroups=naming.cgroups(record.cgroups),
    )


def _place(device: int, inode: int, mount: int, naming: Naming) -> Place | Unknown:
    return Place(naming.file(file_id(device, inode)), mount) if inode else _GONE


def _seccomp(vector: Vector) -> Seccomp | Unknown:
    mode = _MODES.get(vector.seccomp_mode)
    return Seccomp(mode, vector.seccomp_filters) if mode is not None else Unknown("malformed: seccomp mode")


def _executable(program: Program | None, path: bytes, naming: Naming) -> Executable | Unknown:
    if program is None:
        return _GONE
    return Executable(
        path=path,
        place=Place(naming.file(file_id(program.device, program.inode)), program.mount),
        mode=program.mode,
        owner_uid=program.owner,
        links=program.links,
        changed_ns=program.changed_ns,
    )
