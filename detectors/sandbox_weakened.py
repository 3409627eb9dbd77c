"""A filter that confines a container process is gone: seccomp, no_new_privs or its LSM profile.

All three are one-way: a task can add seccomp filters and set no_new_privs, and its children inherit both; nothing takes
them off again. A task with less than it had, or less than the process through which it came in, was changed from
inside the kernel, or its profile was unloaded under it.

*Fires on:* against the previous observation of the same task, or against the process through which it came in as that
one was when it entered: seccomp went off or has fewer filters, no_new_privs went from 1 to 0, or the LSM label became
unconfined. A task that came in through the first process is also held against the bundle's declaration.
"""

from __future__ import annotations

from collections.abc import Iterator

from collectors.confinement import ASPECTS, Dimension, Relation, Widening, compare, is_unconfined_label
from collectors.events import CredentialChange, Exec, ProcessEvent, Seen
from collectors.facts import Process, Seccomp, SeccompMode, Unknown
from detectors.base import (
    ESCAPE_TO_HOST,
    Blind,
    Detector,
    Family,
    Finding,
    Found,
    Member,
    NodeView,
    Severity,
    Technique,
    Tier,
    actor,
)

_DISABLE_TOOLS = Technique("T1562.001", "Disable or Modify Tools", "TA0005", "Defense Evasion")
_FILTERS = tuple(aspect for aspect in ASPECTS if aspect.name in {"no_new_privs", "seccomp", "lsm_label"})


def check(event: ProcessEvent, view: NodeView) -> Found:
    """Compare the filters of the task with its own before, with its entry's, and with the declaration."""
    process = event.process
    member = yield from actor(process, view)
    if member is None:
        return
    if isinstance(member.entry, Unknown):
        yield Blind(f"entry process: {member.entry.why}", process.key)
    weakened: dict[str, Widening] = {}
    for each in (*_weaker(member, member.previous), *_weaker(member, member.entry), *_below_declaration(member)):
        if isinstance(each, Unknown):
            yield Blind(each.why, process.key)
        else:
            weakened.setdefault(each.aspect, each)
    if weakened:
        yield Finding(
            message=f"It has lost what confined it: {', '.join(weakened)}",
            container_id=member.container.id,
            subject=process.key,
            evidence=(("weakened", tuple(weakened)),),
            widened=tuple(weakened.values()),
            inherited=True,
        )


def _weaker(member: Member, other: Process | Unknown | None) -> Iterator[Widening | Unknown]:
    """The filters of which the task has less than ``other`` had."""
    if not isinstance(other, Process):
        return
    now, was = member.process.confinement, other.confinement
    for aspect in _FILTERS:
        if aspect.value(now) == aspect.value(was) and not isinstance(aspect.value(now), Unknown):
            continue
        relation = compare(aspect, now, was, member.frame)
        if relation is Relation.WIDER:
            yield Widening(aspect.dimension, aspect.name, aspect.value(was), aspect.value(now))
        elif relation is Relation.UNKNOWN:
            yield Unknown(f"{aspect.name}: a fact is missing")


def _below_declaration(member: Member) -> Iterator[Widening]:
    """The filters that the bundle declares and the task lacks; none for an exec session, which may be given less."""
    declared, now = member.container.declared, member.process.confinement
    if isinstance(declared, Unknown) or isinstance(member.entry, Unknown) or isinstance(member.first, Unknown):
        return
    if member.entry.key != member.first.key:
        return
    if declared.seccomp and isinstance(now.seccomp, Seccomp) and now.seccomp.mode is SeccompMode.DISABLED:
        yield Widening(Dimension.FILTERS, "seccomp", "declared", now.seccomp)
    if declared.no_new_privs and now.no_new_privs is False:
        yield Widening(Dimension.PRIVILEGE, "no_new_privs", "declared", now.no_new_privs)
    label = (declared.apparmor_profile or declared.selinux_label or "unconfined").encode("utf-8", "surrogateescape")
    if isinstance(now.lsm_label, bytes) and is_unconfined_label(now.lsm_label) and not is_unconfined_label(label):
        yield Widening(Dimension.FILTERS, "lsm_label", label, now.lsm_label)


DETECTOR = Detector(
    id="HW-109",
    name="sandbox_weakened",
    family=Family.DRIFT,
    severity=Severity.CRITICAL,
    techniques=(ESCAPE_TO_HOST, _DISABLE_TOOLS),
    wants=(Seen, Exec, CredentialChange),
    check=check,
    compares=True,
    weakest=Tier.POLL,
    summary="A container process lost seccomp, no_new_privs or its LSM profile, or has less than it came in with.",
    benign=(
        (
            "Processes that add filters for themselves and their children (browsers, sshd, systemd) are "
            "narrower, not wider."
        ),
        (
            "A first process that tightens itself makes nobody look wide: what counts is how it was when it "
            "entered. Where "
            "the agent came later, that is the less confining of the bundle's declaration and what was observed."
        ),
        "`docker exec --privileged` comes in without filters: its own entry counts, and HW-110 tells of it.",
        (
            "An administrator who unloads AppArmor profiles (aa-teardown, aa-remove-unknown) does take the "
            "sandbox off every "
            "container: that is told, once for each process tree."
        ),
    ),
    misses=(
        "A filter that was replaced inside the kernel while its count stayed the same.",
        "An AppArmor profile that was reloaded with wider rules or in complain mode under the same name.",
        "Kernels before 5.9 do not count filters: only seccomp going off is seen there (the rest is told as blind).",
    ),
    advice=(
        "seccomp or no_new_privs lost: suspect a kernel exploit, isolate the node, keep its memory for examination.",
        "Only the LSM label lost, on many containers at once: look whether somebody stopped or reloaded AppArmor.",
    ),
    references=(
        "https://man7.org/linux/man-pages/man2/seccomp.2.html",
        "https://docs.kernel.org/userspace-api/no_new_privs.html",
        "https://docs.docker.com/engine/security/apparmor/",
        "https://attack.mitre.org/techniques/T1562/001/",
    ),
)
