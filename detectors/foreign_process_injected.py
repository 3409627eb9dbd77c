"""A container process took hold of a process outside its container, as a debugger does.

ptrace(2) reads and writes the memory and the registers of another process: what is traced runs what the tracer wants,
with all that the traced one may do. From a container that shares the host's pid namespace and has CAP_SYS_PTRACE this
is a whole escape: nothing else changes, no namespace, no root, no file.

*Fires on:* a process that belongs to a container attached with ptrace to one that belongs to none, or to another
container, wrote into its memory with process_vm_writev, took a descriptor of it with pidfd_getfd, or was refused one of
these (then high); or opened or holds such a process' ``/proc/PID/mem``, on a proc file system of the host's pid
namespace. Tracing inside of one container is silent; so is tracing in another container whose pid namespace the
tracer's container was given (a pod's shared one, ``--pid=container:``), unless that is the host's own.
"""

from __future__ import annotations

from collections.abc import Iterator

from collectors.events import Exec, ProcessEvent, ProcessReached, Ptrace, Seen
from collectors.facts import DescriptorKind, Executable, Process, Unknown
from collectors.notable import MEMORY_FILE
from detectors.base import (
    ESCAPE_TO_HOST,
    Blind,
    Detector,
    Family,
    Finding,
    Found,
    Holder,
    NodeView,
    Severity,
    Technique,
    Tier,
    holder,
    may_reach,
)

_REACHED = {
    "memory": "opened the memory of",
    "ptrace": "took hold of",
    "process_vm_writev": "wrote into the memory of",
    "pidfd_getfd": "took a descriptor from",
}
_TRIED = {
    "ptrace": "tried to take hold of",
    "process_vm_writev": "tried to write into the memory of",
    "pidfd_getfd": "tried to take a descriptor from",
}


def check(event: Ptrace | ProcessEvent, view: NodeView) -> Found:
    """Ask whose both processes are, for an attachment and for each memory that is held."""
    if isinstance(event, Ptrace):
        yield from _judge(view.process_by_pid(event.tracer_pid), event.target_pid, "ptrace", view)
        return
    if isinstance(event, ProcessReached):
        if event.call in _REACHED:
            yield from _judge(event.process, event.target_pid, event.call, view, event.error)
        return
    held = holder(event.process, view)
    if isinstance(held, Blind):
        yield held
    elif held is not None:
        for pid in _memories(held, view):
            yield from _judge(event.process, pid, "held", view)


def _judge(tracer: Process | None, target_pid: int, how: str, view: NodeView, error: int = 0) -> Found:
    """One container process that has got hold of one other process."""
    target = view.process_by_pid(target_pid)
    actor = view.member(tracer) if tracer is not None else None
    if tracer is None or actor is None:
        if tracer is None:
            yield Blind("gone: the tracer")
        return
    if isinstance(actor, Unknown) or target is None:
        yield Blind(actor.why if isinstance(actor, Unknown) else "gone: the traced process", tracer.key)
        return
    if view.is_becoming(target):
        return
    victim = view.member(target)
    if isinstance(victim, Unknown):
        yield Blind(victim.why, tracer.key)
        return
    if victim is not None and may_reach(actor, victim, view):
        return
    whose = "of the host" if victim is None else "of another container"
    what = (_TRIED if error else _REACHED).get(how, "holds the memory open of")
    yield Finding(
        f"{what} a process {whose}" + (" with ptrace" if how == "ptrace" else ""),
        actor.container.id,
        tracer.key,
        evidence=(
            ("how", "memory" if how == "held" else how),
            ("target_pid", target.key.pid),
            ("target_name", target.name),
            ("target_executable", target.executable.path if isinstance(target.executable, Executable) else b""),
            ("target_container", victim.container.id if victim is not None else ""),
        ),
        severity=Severity.HIGH if error else None,
        inherited=True,
    )


def _memories(held: Holder, view: NodeView) -> Iterator[int]:
    """The host's pids of the processes whose memory is held; the numbers of another pid namespace stay in it."""
    process = held.member.process
    namespaces, host = process.confinement.namespaces, view.host.namespaces
    table = () if isinstance(namespaces.mnt, Unknown) else view.mounts(namespaces.mnt)
    devices = {each.mnt_id: each.device for each in (() if isinstance(table, Unknown) else table)}
    for each in held.descriptors:
        memory = MEMORY_FILE.search(each.target) if each.kind is DescriptorKind.FILE else None
        if memory is None or memory[2] is None:
            continue
        is_own_proc = devices.get(each.place.mnt_id) in _proc_devices(held.first, view)
        if held.first.confinement.namespaces.pid == host.pid or not is_own_proc:
            yield int(memory[2])


def _proc_devices(first: Process, view: NodeView) -> frozenset[int]:
    """The proc file systems that the container started with, or has now."""
    mnt = first.confinement.namespaces.mnt
    table = () if isinstance(mnt, Unknown) or mnt == view.host.namespaces.mnt else view.mounts(mnt)
    host = () if isinstance(view.host.namespaces.mnt, Unknown) else view.mounts(view.host.namespaces.mnt)
    hosts = {each.device for each in (() if isinstance(host, Unknown) else host)}
    mounts = () if isinstance(table, Unknown) else table
    return frozenset(each.device for each in mounts if each.fs_type == b"proc" and each.device not in hosts)


DETECTOR = Detector(
    id="HW-213",
    name="foreign_process_injected",
    family=Family.TECHNIQUE,
    severity=Severity.CRITICAL,
    techniques=(
        ESCAPE_TO_HOST,
        Technique("T1055.008", "Ptrace System Calls", "TA0004", "Privilege Escalation"),
    ),
    wants=(Ptrace, ProcessReached, Seen, Exec),
    check=check,
    holds=True,
    weakest=Tier.NETLINK,
    summary="A container process traces, writes into or takes descriptors from one outside of its container.",
    benign=(
        "A debugger, strace or a crash reporter on a process of the same container: silent.",
        "kubectl debug --target and docker --pid=container: share the other's pid namespace by declaration: silent.",
        "A debugger of the host, also on a process of a container: the tracer is no container process.",
        "A profiler that runs as a privileged pod with the host's pid namespace does what an attack does: told.",
    ),
    misses=(
        "Below the ebpf tier: process_vm_writev, pidfd_getfd, and what the kernel refused.",
        "Below the ebpf tier: a /proc/PID/mem that is opened and closed again between two looks.",
        "process_vm_writev from a pid namespace that is not the host's, into one that it was not born in (HW-102).",
        "PTRACE_TRACEME: the traced process itself asks for it, and is a child of the tracer.",
        "Without the process connector (the poll tier) an attachment is not seen.",
        "A tracer that has ended before anybody looked at it (told as blind).",
    ),
    advice=(
        "Take the traced process for hostile from now on: it runs the tracer's code, with the host's privileges.",
        "Keep the memory of both before you end them, then isolate the node.",
        "Take CAP_SYS_PTRACE and the host's pid namespace from the workload; set kernel.yama.ptrace_scope.",
    ),
    references=(
        "https://man7.org/linux/man-pages/man2/ptrace.2.html",
        "https://docs.kernel.org/admin-guide/LSM/Yama.html",
        "https://attack.mitre.org/techniques/T1055/008/",
    ),
)
