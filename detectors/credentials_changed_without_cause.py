"""The credentials of a running container process rose although it executed nothing that could raise them.

The kernel's rules leave three ways up: execve(2) of a set-uid or file-capability program, set*id(2) with CAP_SETUID or
with an id one still has, and a user namespace of one's own. A task that is root without any of these was helped by a
kernel exploit, which overwrites credentials in place.

*Fires on:* between two observations of the same task, with the same program image (no exec in between): its permitted
capabilities grew within one user namespace; or one of its uids became 0 in the same user namespace although none was 0
and CAP_SETUID was not permitted; or its user namespace became the host's while it was another, which setns(2) refuses.
"""

from __future__ import annotations

from collectors.confinement import CapabilitySet, Dimension, Widening
from collectors.events import CredentialChange, ProcessEvent, Seen
from collectors.facts import Capabilities, Ids, Process, Unknown
from detectors.base import (
    ESCAPE_TO_HOST,
    Blind,
    Confidence,
    Detector,
    Family,
    Finding,
    Found,
    NodeView,
    Severity,
    Technique,
    Tier,
    actor,
)

_EXPLOITATION = Technique("T1068", "Exploitation for Privilege Escalation", "TA0004", "Privilege Escalation")
_CAP_SETUID = 1 << 7  # include/uapi/linux/capability.h


def check(event: ProcessEvent, view: NodeView) -> Found:
    """Compare the credentials of the task with those of its previous observation."""
    process = event.process
    member = yield from actor(process, view)
    if member is None:
        return
    before = member.previous
    if before is None:
        return
    marks = (process.image_mark, before.image_mark)
    unknown_mark = next((mark for mark in marks if isinstance(mark, Unknown)), None)
    if unknown_mark is None and marks[0] != marks[1]:
        return  # it executed a program since
    rises: list[Widening] = []
    host = member.frame.namespaces.user
    for rise in (_user(process, before, host), _permitted(process, before), _uids(process, before)):
        if isinstance(rise, Unknown):
            yield Blind(rise.why, process.key)
        elif rise is not None:
            rises.append(rise)
    if rises and unknown_mark is not None:
        yield Blind(f"image mark: {unknown_mark.why}", process.key)
    elif rises:
        names = tuple(each.aspect for each in rises)
        yield Finding(
            message=f"It rose in {', '.join(names)} without an exec or a system call that could do so",
            container_id=member.container.id,
            subject=process.key,
            evidence=(("risen", names),),
            widened=tuple(rises),
            confidence=Confidence.CERTAIN if view.tier is Tier.EBPF else Confidence.LIKELY,
        )


def _user(process: Process, before: Process, host: int | Unknown) -> Widening | Unknown | None:
    """The user namespace became the host's."""
    now, was = process.confinement.namespaces.user, before.confinement.namespaces.user
    for fact in (now, was, host):
        if isinstance(fact, Unknown):
            return Unknown(f"user namespace: {fact.why}")
    return Widening(Dimension.NAMESPACES, "user_namespace", was, now) if now == host != was else None


def _permitted(process: Process, before: Process) -> Widening | Unknown | None:
    """The permitted set grew within one user namespace."""
    now, was = process.confinement.capabilities, before.confinement.capabilities
    user = process.confinement.namespaces.user
    if isinstance(user, Unknown) or user != before.confinement.namespaces.user:
        return None
    if isinstance(now, Capabilities) and isinstance(was, Capabilities):
        if not now.permitted & ~was.permitted:
            return None
        old, new = CapabilitySet(user, was.permitted), CapabilitySet(user, now.permitted)
        return Widening(Dimension.PRIVILEGE, "permitted_capabilities", old, new)
    return Unknown("capabilities: a fact is missing")


def _uids(process: Process, before: Process) -> Widening | Unknown | None:
    """A uid became 0, and neither an earlier 0 nor CAP_SETUID can have done it."""
    now, was, sets = process.confinement.uids, before.confinement.uids, before.confinement.capabilities
    for fact in (now, was):
        if isinstance(fact, Unknown):
            return Unknown(f"uids: {fact.why}")
    assert isinstance(now, Ids)
    assert isinstance(was, Ids)
    rose = _has_root(now) and not _has_root(was)
    if not rose or process.confinement.namespaces.user != before.confinement.namespaces.user:
        return None
    if isinstance(sets, Unknown):
        return None  # told by the comparison of the permitted sets
    return None if sets.permitted & _CAP_SETUID else Widening(Dimension.PRIVILEGE, "uids", was, now)


def _has_root(ids: Ids) -> bool:
    return 0 in (ids.real, ids.effective, ids.saved, ids.fs)


DETECTOR = Detector(
    id="HW-108",
    name="credentials_changed_without_cause",
    family=Family.DRIFT,
    severity=Severity.CRITICAL,
    techniques=(ESCAPE_TO_HOST, _EXPLOITATION),
    wants=(Seen, CredentialChange),
    check=check,
    weakest=Tier.POLL,
    summary="A running process became root, or gained capabilities or the host's user namespace, for no lawful reason.",
    benign=(
        "su, sudo, ping, cron: set-uid and file-capability programs rise by exec, which changes the program image.",
        "Servers that give up root for a while keep 0 among their uids, or CAP_SETUID.",
        "unshare and rootless containers gain capabilities in a user namespace of their own: not compared across two.",
    ),
    misses=(
        "A task that was never observed before it rose, or rose and executed something between two looks (HW-107).",
        "A process that was root with every capability already: nothing rises.",
        (
            "An exec that leaves the image's addresses as they were (randomisation off and the same program "
            "again), and "
            "prctl(PR_SET_MM), which lets a process change what we tell an exec by."
        ),
    ),
    advice=(
        "Suspect a kernel exploit: isolate the node and keep its memory for examination before anything is restarted.",
        "With the ebpf sensor this is certain; in the lower tiers look whether a set-uid program may have run.",
    ),
    references=(
        "https://docs.kernel.org/security/credentials.html",
        "https://man7.org/linux/man-pages/man7/credentials.7.html",
        "https://man7.org/linux/man-pages/man7/user_namespaces.7.html",
        "https://attack.mitre.org/techniques/T1068/",
    ),
)
