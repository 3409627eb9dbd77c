"""A container process ends or stops a process outside its container.

Who can name a process can end it: a container that shares the host's pid namespace silences the agent that watches it,
takes the kubelet or the runtime down, or stops what stands in its way. From a pid namespace of its own none of this is
possible; that it happens means that the namespace was given or was left.

*Fires on:* a process that belongs to a container sent a signal that by default ends or stops its receiver (INT, QUIT,
ILL, TRAP, ABRT, BUS, FPE, KILL, SEGV, TERM, STOP, TSTP, SYS), by whatever call, to a process that belongs to none, or
to another container. Critical when that is this agent, a container runtime, the kubelet, or process 1. Containers that
were given one pid namespace which is not the host's may do so to each other.
"""

from __future__ import annotations

from collectors.events import ProcessReached
from collectors.facts import Executable, Process, Unknown
from detectors.base import (
    Blind,
    Detector,
    Family,
    Finding,
    Found,
    NodeView,
    Severity,
    Technique,
    Tier,
    actor,
    may_reach,
)

# include/uapi/asm-generic/signal.h
SIGNALS = {
    2: "INT",
    3: "QUIT",
    4: "ILL",
    5: "TRAP",
    6: "ABRT",
    7: "BUS",
    8: "FPE",
    9: "KILL",
    11: "SEGV",
    15: "TERM",
    19: "STOP",
    20: "TSTP",
    31: "SYS",
}
_INIT = 1


def check(event: ProcessReached, view: NodeView) -> Found:
    """Ask whose the receiver is."""
    sender = (yield from actor(event.process, view)) if event.signal in SIGNALS else None
    if sender is None:
        return
    target = view.process_by_pid(event.target_pid)
    if target is None:
        yield Blind("gone: the signalled process", event.process.key)
        return
    if view.is_becoming(target):
        return
    victim = view.member(target)
    if isinstance(victim, Unknown):
        yield Blind(victim.why, event.process.key)
        return
    if victim is not None and may_reach(sender, victim, view):
        return
    whose = "of the host" if victim is None else "of another container"
    yield Finding(
        f"sent {SIGNALS[event.signal]} to " + ("this agent" if event.is_agent else f"a process {whose}"),
        sender.container.id,
        event.process.key,
        evidence=(
            ("signal", SIGNALS[event.signal]),
            ("target_pid", target.key.pid),
            ("target_name", target.name),
            ("target_executable", target.executable.path if isinstance(target.executable, Executable) else b""),
            ("target_container", victim.container.id if victim is not None else ""),
        ),
        severity=Severity.CRITICAL if event.is_agent or _governs(target, view) else Severity.HIGH,
        inherited=True,
    )


def _governs(target: Process, view: NodeView) -> bool:
    """It is process 1, or runs a file of a container runtime or the kubelet."""
    executable = target.executable
    if isinstance(executable, Unknown) or isinstance(executable.place, Unknown):
        return target.key.pid == _INIT
    return target.key.pid == _INIT or executable.place.file in view.host.runtime_binaries


DETECTOR = Detector(
    id="HW-214",
    name="host_process_signalled",
    family=Family.TECHNIQUE,
    severity=Severity.HIGH,
    techniques=(
        Technique("T1489", "Service Stop", "TA0040", "Impact"),
        Technique("T1562.001", "Disable or Modify Tools", "TA0005", "Defense Evasion"),
    ),
    wants=(ProcessReached,),
    check=check,
    weakest=Tier.EBPF,
    summary="A container process sent a signal that ends or stops to a process outside of its container.",
    benign=(
        "Signals inside of one container, and within a pod whose containers share a pid namespace: silent.",
        "docker stop, the kubelet, a runtime: processes of the host.",
        "HUP, USR1 and USR2, by which privileged pods make daemons of the host read their configuration: silent.",
        (
            "Node maintenance that restarts daemons from a pod with the host's pid namespace (kured, upgrade "
            "controllers) does what an attack does: told; make an exception for its image."
        ),
    ),
    misses=(
        "Tiers below ebpf see no signals; they do see that the process has ended.",
        "HUP, USR1 and USR2, which end a process that did not prepare for them.",
        "A signal that was refused, and KILL to this agent: nobody is left to tell (HW-904 tells of the gap).",
        "The same signal from one process to the same one again: it is told once.",
        "A runtime or a kubelet that is installed where no distribution puts it is told as any process of the host.",
    ),
    advice=(
        "See what was ended, and whether it came back; if it was the agent or a runtime, take the rest for its cover.",
        "Take the host's pid namespace from the workload.",
    ),
    references=(
        "https://man7.org/linux/man-pages/man7/signal.7.html",
        "https://man7.org/linux/man-pages/man7/pid_namespaces.7.html",
        "https://attack.mitre.org/techniques/T1562/001/",
    ),
)
