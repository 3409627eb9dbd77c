"""A container process holds full privilege in a user namespace that its container was not given.

Whoever makes a user namespace is root in it: no capability counts outside, but every one opens kernel code that was
never meant for strangers (mounting, netfilter, fs-context). Most kernel exploits that break out of containers since
2017 begin with it.

*Fires on:* a container process whose user namespace is neither that of the container's first process nor the host's
nor another container's, and which is permitted CAP_SYS_ADMIN or CAP_NET_ADMIN there. High when its mount namespace
is its own too and holds mounts that the container's does not: it has begun to use what it gained. The engine tells it
once for each (container, executable, severity).
"""

from __future__ import annotations

from collectors.capabilities import mask
from collectors.events import CredentialChange, Event, Exec, MountTable, ProcessEvent, Seen
from collectors.facts import Executable, Process, Unknown
from collectors.mount_tables import identity
from detectors.base import (
    ESCAPE_TO_HOST,
    Blind,
    Detector,
    Family,
    Finding,
    Found,
    NodeView,
    Severity,
    Technique,
    Tier,
)

# What opens the kernel to an exploit: mounts and fs-context, netfilter and traffic control.
POWERFUL = mask(("CAP_SYS_ADMIN", "CAP_NET_ADMIN"))


def check(event: Event, view: NodeView) -> Found:
    """Judge the task that the event shows; a mount table is judged by the task that showed it."""
    process = _actor(event, view)
    member = view.member(process) if process is not None else None
    if process is None or member is None:
        return
    first = member if isinstance(member, Unknown) else member.first
    if isinstance(member, Unknown) or isinstance(first, Unknown):
        yield Blind(first.why if isinstance(first, Unknown) else "not_read", process.key)
        return
    user, host_user = process.confinement.namespaces.user, view.host.namespaces.user
    own, held = first.confinement.namespaces.user, process.confinement.capabilities
    for fact in (user, host_user, own, held):
        if isinstance(fact, Unknown):
            yield Blind(fact.why, process.key)
            return
    if isinstance(user, Unknown) or isinstance(held, Unknown) or user in (own, host_user):
        return
    if not held.permitted & POWERFUL or view.namespace_owners("user", user):
        return
    severity = Severity.HIGH if _has_mounted(process, first, view) else Severity.MEDIUM
    path = process.executable.path if isinstance(process.executable, Executable) else process.name
    yield Finding(
        "holds full privilege in a user namespace of its own"
        + (", and has mounted file systems there" if severity is Severity.HIGH else ""),
        member.container.id,
        process.key,
        evidence=(("executable", path), ("has_mounted", severity is Severity.HIGH)),
        severity=severity,
        identity=(member.container.id, path.decode("utf-8", "backslashreplace"), severity.name),
        inherited=True,
    )


def _actor(event: Event, view: NodeView) -> Process | None:
    """Who is judged: the event's own task, or the one that showed a container's mount table, while it lives."""
    if isinstance(event, ProcessEvent):
        return event.process
    if isinstance(event, MountTable) and event.container_id is not None:
        return view.process(event.seen_by)
    return None


def _has_mounted(process: Process, first: Process, view: NodeView) -> bool:
    """Its mount namespace is its own and holds what the container's does not; as long as nobody read it, it has not."""
    mnt, own = process.confinement.namespaces.mnt, first.confinement.namespaces.mnt
    if isinstance(mnt, Unknown) or isinstance(own, Unknown) or mnt in (own, view.host.namespaces.mnt):
        return False
    mounts, given = view.mounts(mnt), view.mounts(own)
    if isinstance(mounts, Unknown) or isinstance(given, Unknown):
        return False
    known = {identity(mount) for mount in given}
    return any(identity(mount) not in known for mount in mounts)


DETECTOR = Detector(
    id="HW-111",
    name="user_namespace_gained",
    family=Family.DRIFT,
    severity=Severity.MEDIUM,
    techniques=(
        ESCAPE_TO_HOST,
        Technique("T1068", "Exploitation for Privilege Escalation", "TA0004", "Privilege Escalation"),
    ),
    wants=(Seen, Exec, CredentialChange, MountTable),
    check=check,
    weakest=Tier.POLL,
    summary="A container process made or joined a user namespace in which it holds full capabilities.",
    benign=(
        (
            "Browsers, bubblewrap, rootless builders and rootless containers inside a container make user namespaces "
            "to confine others: told once for each program of a container; make an exception for such workloads."
        ),
        "A container that has a user namespace of its own from the start: its first process has it too.",
        "A process that has dropped its capabilities in the new namespace (a sandboxed renderer) is silent.",
    ),
    misses=(
        "A namespace that is made and left between two observations.",
        "The second use in the same program of a container: it is counted, and not told again.",
        "Netfilter in the namespace, which leaves nothing in /proc; an fs-context is told while it is held, by HW-225.",
    ),
    advice=(
        "Ask whether this workload sandboxes things; if it does not, somebody is preparing a kernel exploit.",
        (
            "Deny it: the runtime's default seccomp profile refuses unshare and clone with CLONE_NEWUSER, "
            "and user.max_user_namespaces=0 does so for the whole node."
        ),
        "Check the node's kernel for known escalations through user namespaces.",
    ),
    references=(
        "https://man7.org/linux/man-pages/man7/user_namespaces.7.html",
        "https://nvd.nist.gov/vuln/detail/CVE-2022-0185",
        "https://nvd.nist.gov/vuln/detail/CVE-2024-1086",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
