"""Attaches the programs; the watched system calls they see return by a tracepoint each, or by the one of all of them.

A single call's tracepoint wants perf_event_open(2) and tracefs; the one of all calls wants only bpf(2), and looks each
number up. Either way every call of the node takes the kernel's slow way out (``bench/ebpf.py`` measures both, and the
floor). Both lead to the same handlers (``kernel/calls.h``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from collectors.ebpf.acts import ActCall
from collectors.ebpf.calls import Call
from collectors.ebpf.foreign_calls import translate
from collectors.ebpf.libbpf import BpfMap, BpfObject, has_tracepoint
from collectors.errors import CollectorError, Gone

# Since Linux 6.13 (include/trace/events/timestamp.h); without them nothing renamed or linked is seen
CHANGES = {"on_change": "ctime_ns_xchg", "on_coarse_change": "inode_set_ctime_to_ts"}
OPTIONAL = {
    **CHANGES,
    "on_io_uring": "io_uring_complete",  # a kernel may be built without io_uring
    "on_io_uring_asked": "io_uring_submit_req",
    "on_io_uring_asked_before": "io_uring_submit_sqe",  # the former name of the one before
}
TRACEPOINTS = (
    *("on_fork", "on_exec", "on_exit"),
    *("on_cgroup", "on_cgroup_renamed", "on_cgroup_move"),
    *("on_signal", "on_tcp_state"),
    *OPTIONAL,
)
_ANY_CALL, _ONE_CALL = "on_any_call", "on_call"


def missing_programs(btf: Path) -> frozenset[str]:
    """The programs of tracepoints that the running kernel has not got."""
    return frozenset(name for name, tracepoint in OPTIONAL.items() if not has_tracepoint(btf, tracepoint))


def fill(maps: Mapping[str, BpfMap], calls: Mapping[int, Call], act_calls: Mapping[int, ActCall]) -> None:
    """What each number means to the programs; those of 32-bit programs as this kernel's own, plus one."""
    native: dict[str, int] = {}
    for number, call in calls.items():
        maps["calls"].update(number.to_bytes(4, "little"), call.meaning.to_bytes(4, "little"))
        native[call.name] = number
    for number, act in act_calls.items():
        maps["calls"].update(number.to_bytes(4, "little"), act.way.to_bytes(4, "little"))
        native[act.name] = number
    for number, own in translate(native).items():
        maps["foreign_calls"].update(number.to_bytes(4, "little"), (own + 1).to_bytes(4, "little"))


def attach(
    opened: BpfObject, calls: Mapping[int, Call], act_calls: Mapping[int, ActCall], *, without: Collection[str]
) -> str:
    """Attach all programs, that of calls to each one's return, else to that of all; what was possible, in words."""
    for name in TRACEPOINTS:
        if name not in without:
            opened.attach(name)
    names = [each.tracepoint or each.name for each in calls.values()]
    names += [each.tracepoint or each.name for each in act_calls.values()]
    before = opened.link_count
    missing: list[str] = []
    why = "none is there"
    try:
        missing.extend(name for name in names if not _attach_one(opened, name))
    except CollectorError as error:
        why = error.detail.split(": ")[1] if ": " in error.detail else error.detail
        missing = names
    if len(missing) < len(names):
        absent = f"; this kernel has not got {', '.join(missing)}" if missing else ""
        return f"one tracepoint for each watched system call; those of 32-bit programs are not seen{absent}"
    opened.detach_since(before)
    opened.attach(_ANY_CALL)
    return f"one tracepoint for all system calls (those for single ones: {why})"


def _attach_one(opened: BpfObject, name: str) -> bool:
    """Attach to the return of one call; False where the kernel was built without it, or tracefs is not there."""
    try:
        opened.attach_tracepoint(_ONE_CALL, "syscalls", f"sys_exit_{name}")
    except Gone:
        return False
    return True
