"""A container process is in a namespace of the host that its container was not started in.

Namespaces are the walls of a container. A process that has the host's mount namespace sees the host's files, in the
host's user namespace its root is root of the node, and so on. However it came there (setns, a kernel exploit, a helper
that the kernel started for it), the kernel now holds it there.

*Fires on:* a task that belongs to a container has, in at least one kind, the namespace of the host's pid 1, and the
container's first process, as it was when it entered, has another one. A single thread is enough: setns(2) moves only
the calling thread for most kinds. Told once for a task, and again when it gets worse: nsenter(1) joins one kind after
the other, and each step shows all that were joined so far.
"""

from __future__ import annotations

from collectors.confinement import Dimension, Widening
from collectors.events import CredentialChange, Exec, ProcessEvent, Seen
from collectors.facts import NAMESPACE_KINDS, Unknown
from detectors.base import ESCAPE_TO_HOST, Blind, Detector, Family, Finding, Found, NodeView, Severity, Tier, actor

# What gives the host away at once: its files, its processes, its root user.
_CRITICAL_KINDS = frozenset({"mnt", "pid", "user"})


def check(event: ProcessEvent, view: NodeView) -> Found:
    """Compare every namespace of the task with the first process' and with the host's."""
    process = event.process
    member = yield from actor(process, view)
    if member is None:
        return
    if isinstance(member.first, Unknown):
        yield Blind(f"first process: {member.first.why}", process.key)
        return
    joined: list[Widening] = []
    for kind in NAMESPACE_KINDS:
        now = getattr(process.confinement.namespaces, kind)
        was = getattr(member.first.confinement.namespaces, kind)
        host = getattr(member.frame.namespaces, kind)
        missing = next((fact for fact in (now, was, host) if isinstance(fact, Unknown)), None)
        if missing is not None:
            yield Blind(f"{kind} namespace: {missing.why}", process.key)
        elif now == host != was:
            joined.append(Widening(Dimension.NAMESPACES, f"{kind}_namespace", was, now))
    if joined:
        kinds = tuple(each.aspect.removesuffix("_namespace") for each in joined)
        yield Finding(
            message=f"It is in the host's {', '.join(kinds)} namespace, which its container was not given",
            container_id=member.container.id,
            subject=process.key,
            evidence=(("namespaces", kinds), ("is_thread", process.thread_of is not None)),
            widened=tuple(joined),
            severity=Severity.CRITICAL if _CRITICAL_KINDS.intersection(kinds) else Severity.HIGH,
            inherited=True,
            news=(),
        )


DETECTOR = Detector(
    id="HW-101",
    name="host_namespace_joined",
    family=Family.DRIFT,
    severity=Severity.CRITICAL,
    techniques=(ESCAPE_TO_HOST,),
    wants=(Seen, Exec, CredentialChange),
    check=check,
    compares=True,
    weakest=Tier.POLL,
    summary="A container process has a namespace of the host that the container's first process has not.",
    benign=(
        (
            "Containers that share namespaces with the host by declaration (hostPID, hostNetwork; docker on cgroup v1 "
            "shares cgroup, time and user): their first process has the host's namespace too, so equality is no news."
        ),
        (
            "Runtimes, CNI plug-ins, kubelet and administrators that enter a container come from the host and "
            "belong to no "
            "container; runc's own process is judged only after it executed the container's program."
        ),
        (
            "Node agents that reach the host by design (kured and Longhorn run nsenter into pid 1's mount "
            "namespace) do "
            "just what this rule is about: give them an exception by image, with a reason."
        ),
    ),
    misses=(
        "In the poll and netlink tiers, a process that joins and ends between two looks (nsenter ... true).",
        "A container that was started in the host's namespace already: using what was declared is no drift (HW-302).",
        (
            "A new namespace that was made below the host's and behaves like it, such as a copy of the host's mount "
            "namespace by nsenter and unshare in one go: HW-103 and HW-104 see the root and the directories."
        ),
    ),
    advice=(
        "Treat the node as taken over: isolate it, keep the process for examination (`hullwatch inspect PID`).",
        "Look at the ancestors: an interactive session or a CI job that may use nsenter is the usual harmless cause.",
        "Ask which declaration made it possible: hostPID with SYS_ADMIN or SYS_PTRACE, privileged, a mounted /proc.",
    ),
    references=(
        "https://man7.org/linux/man-pages/man7/namespaces.7.html",
        "https://man7.org/linux/man-pages/man2/setns.2.html",
        "https://man7.org/linux/man-pages/man1/nsenter.1.html",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
