"""One datagram of the process connector, as the records in it.

Layouts: ``include/uapi/linux/netlink.h`` (nlmsghdr), ``include/uapi/linux/connector.h`` (cn_msg) and
``include/uapi/linux/cn_proc.h`` (proc_event). In all kernels since 3.1 ``struct proc_event`` is 40 bytes, its union
being as large as its largest member (``comm_proc_event``, 24 bytes), and a record is 76 bytes in all.

The header's ``pid`` is a thread id and its ``tgid`` what user space calls a pid; the records keep the header's words.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from collectors.errors import Malformed

SOURCE = "netlink"

NLMSG_DONE = 3  # include/uapi/linux/netlink.h; drivers/connector/connector.c sends every message with this type
CN_IDX_PROC = 1  # include/uapi/linux/connector.h
CN_VAL_PROC = 1

# enum proc_event.what, include/uapi/linux/cn_proc.h
EVENT_NONE = 0x00000000  # an acknowledgement
EVENT_FORK = 0x00000001
EVENT_EXEC = 0x00000002
EVENT_UID = 0x00000004
EVENT_GID = 0x00000040
EVENT_PTRACE = 0x00000100
EVENT_EXIT = 0x80000000

NETLINK_HEADER_BYTES = 16  # struct nlmsghdr: u32 len, u16 type, u16 flags, u32 seq, u32 pid
CONNECTOR_HEADER_BYTES = 20  # struct cn_msg: u32 idx, u32 val, u32 seq, u32 ack, u16 len, u16 flags
EVENT_BYTES = 40  # struct proc_event: u32 what, u32 cpu, u64 timestamp_ns, 24 bytes of union
RECORD_BYTES = NETLINK_HEADER_BYTES + CONNECTOR_HEADER_BYTES + EVENT_BYTES

_RECORD = struct.Struct("=IHHII" + "IIIIHH" + "IIQ6I")


class ForkRecord(NamedTuple):
    """A task was made. For a thread ``child_pid`` differs from ``child_tgid``.

    ``parent_*`` is the child's *real parent*: for a thread, and for clone(2) with CLONE_PARENT, that is not the caller
    but the caller's parent.
    """

    timestamp_ns: int  # ktime_get_ns(): CLOCK_MONOTONIC, as in every record
    cpu: int
    seq: int
    parent_pid: int
    parent_tgid: int
    child_pid: int
    child_tgid: int


class ExecRecord(NamedTuple):
    """A process executed a program; whichever thread called execve(2) has become the leader by now."""

    timestamp_ns: int
    cpu: int
    seq: int
    pid: int
    tgid: int


class IdRecord(NamedTuple):
    """A task changed its uids, or its gids where ``is_gid``; ids are those of the initial user namespace."""

    timestamp_ns: int
    cpu: int
    seq: int
    pid: int
    tgid: int
    real: int
    effective: int
    is_gid: bool


class PtraceRecord(NamedTuple):
    """A tracer attached to a task, or detached from it: then both tracer ids are 0."""

    timestamp_ns: int
    cpu: int
    seq: int
    pid: int
    tgid: int
    tracer_pid: int
    tracer_tgid: int


class ExitRecord(NamedTuple):
    """A task ended; ``code`` is a wait status. ``signal`` is what its parent gets, 0xffffffff for a thread.

    A record of the leader (``pid`` equal to ``tgid``) says nothing about the other threads.
    """

    timestamp_ns: int
    cpu: int
    seq: int
    pid: int
    tgid: int
    code: int
    signal: int
    parent_pid: int
    parent_tgid: int


class AckRecord(NamedTuple):
    """The kernel's answer to a request, which every listener gets; ``answers`` is the request's ``ack`` plus one."""

    timestamp_ns: int
    cpu: int
    seq: int
    answers: int
    error: int  # an errno, positive; 0 when the request was granted


class OtherRecord(NamedTuple):
    """A record that nobody here wants (session, comm, core dump, one of a newer kernel): its number still counts."""

    timestamp_ns: int
    cpu: int
    seq: int
    what: int


Record = ForkRecord | ExecRecord | IdRecord | PtraceRecord | ExitRecord | AckRecord | OtherRecord


def decode(datagram: bytes) -> tuple[Record, ...]:
    """The records of one datagram, at least one; ``Malformed`` when any part is not what the kernel writes."""
    records: list[Record] = []
    offset = 0
    end = len(datagram)
    while end - offset >= RECORD_BYTES:
        record, length = _decode_message(datagram, offset)
        records.append(record)
        offset += length + 3 & ~3  # NLMSG_ALIGN
    if offset < end or not records:
        raise Malformed(SOURCE, f"{end - offset} bytes at offset {offset} of {end}: a record has {RECORD_BYTES}")
    return tuple(records)


def _decode_message(datagram: bytes, offset: int) -> tuple[Record, int]:
    """The record at ``offset`` (where 76 bytes are there), and the length that its netlink header claims."""
    (
        length,
        kind,
        _flags,
        _netlink_seq,
        _port,
        idx,
        val,
        seq,
        ack,
        event_bytes,
        _connector_flags,
        what,
        cpu,
        at,
        a,
        b,
        c,
        d,
        e,
        f,
    ) = _RECORD.unpack_from(datagram, offset)
    if kind != NLMSG_DONE or idx != CN_IDX_PROC or val != CN_VAL_PROC:
        raise Malformed(SOURCE, f"type {kind}, idx {idx}, val {val}: not of the process connector")
    if event_bytes < EVENT_BYTES or not (
        NETLINK_HEADER_BYTES + CONNECTOR_HEADER_BYTES + event_bytes <= length <= len(datagram) - offset
    ):
        raise Malformed(SOURCE, f"lengths {length} and {event_bytes} do not fit {len(datagram) - offset} bytes")
    record: Record
    if what == EVENT_FORK:
        record = ForkRecord(at, cpu, seq, a, b, c, d)
    elif what == EVENT_EXIT:
        record = ExitRecord(at, cpu, seq, a, b, c, d, e, f)
    elif what == EVENT_EXEC:
        record = ExecRecord(at, cpu, seq, a, b)
    elif what in {EVENT_UID, EVENT_GID}:
        record = IdRecord(at, cpu, seq, a, b, c, d, what == EVENT_GID)
    elif what == EVENT_PTRACE:
        record = PtraceRecord(at, cpu, seq, a, b, c, d)
    elif what == EVENT_NONE:
        record = AckRecord(at, cpu, seq, ack, a)
    else:
        record = OtherRecord(at, cpu, seq, what)
    return record, length
