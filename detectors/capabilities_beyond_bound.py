"""A container process has capabilities that nothing in its container could give it.

The bounding set can only shrink: execve(2) grants nothing beyond it, and no system call adds to it. A task that holds
more, in the same user namespace, had its credentials changed by something other than the kernel's rules: an exploit
(``commit_creds(init_cred)``), or a debugger of the kernel.

*Fires on:* the permitted, effective or bounding set of a task that belongs to a container holds a capability that is in
neither the bounding nor the permitted set of the process through which it came in, as that one was when it entered; or
its bounding set grew since it was last observed. Both only within one user namespace.
"""

from __future__ import annotations

from collectors.confinement import CapabilitySet, Dimension, Widening
from collectors.events import CredentialChange, Exec, ProcessEvent, Seen
from collectors.facts import Process, Unknown
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
    actor,
)

_EXPLOITATION = Technique("T1068", "Exploitation for Privilege Escalation", "TA0004", "Privilege Escalation")
_SETS = ("permitted", "effective", "bounding")


def check(event: ProcessEvent, view: NodeView) -> Found:
    """Subtract what could be had from what is held."""
    process = event.process
    member = yield from actor(process, view)
    if member is None:
        return
    if isinstance(member.entry, Unknown):
        yield Blind(f"entry process: {member.entry.why}", process.key)
        return
    beyond: list[Widening] = []
    for other, what in ((member.entry, _SETS), (member.previous, ("bounding",))):
        grown = () if other is None else _beyond(process, other, what, allow_permitted=other is member.entry)
        if isinstance(grown, Unknown):
            yield Blind(f"capabilities: {grown.why}", process.key)
        else:
            beyond.extend(each for each in grown if each.aspect not in {known.aspect for known in beyond})
    if beyond:
        sets = tuple(each.aspect.removesuffix("_capabilities") for each in beyond)
        yield Finding(
            message=f"Its {', '.join(sets)} capabilities exceed what its container can have",
            container_id=member.container.id,
            subject=process.key,
            evidence=(("sets", sets), ("gained_mask", f"{_gained(beyond):016x}")),
            widened=tuple(beyond),
            inherited=True,
        )


def _beyond(
    process: Process, other: Process, sets: tuple[str, ...], *, allow_permitted: bool
) -> tuple[Widening, ...] | Unknown:
    """The sets of ``process`` that exceed the bounding set of ``other``; nothing across user namespaces.

    A runtime may hand over a permitted set beyond the bounding set: what the entry process had counts as given.
    """
    now, was = process.confinement.capabilities, other.confinement.capabilities
    user, its_user = process.confinement.namespaces.user, other.confinement.namespaces.user
    for fact in (now, was, user, its_user):
        if isinstance(fact, Unknown):
            return fact
    assert not isinstance(now, Unknown)
    assert not isinstance(was, Unknown)
    assert not isinstance(user, Unknown)
    if user != its_user:
        return ()
    allowed = was.bounding | was.permitted if allow_permitted else was.bounding
    return tuple(
        Widening(
            Dimension.PRIVILEGE,
            f"{name}_capabilities",
            CapabilitySet(user, allowed),
            CapabilitySet(user, getattr(now, name)),
        )
        for name in sets
        if getattr(now, name) & ~allowed
    )


def _gained(widened: list[Widening]) -> int:
    mask = 0
    for each in widened:
        if isinstance(each.now, CapabilitySet) and isinstance(each.was, CapabilitySet):
            mask |= each.now.mask & ~each.was.mask
    return mask


DETECTOR = Detector(
    id="HW-107",
    name="capabilities_beyond_bound",
    family=Family.DRIFT,
    severity=Severity.CRITICAL,
    techniques=(ESCAPE_TO_HOST, _EXPLOITATION),
    wants=(Seen, Exec, CredentialChange),
    check=check,
    compares=True,
    weakest=Tier.POLL,
    summary="A task has capabilities beyond the bounding set it came in with, or a bounding set grew.",
    benign=(
        "su, sudo, ping and programs with file capabilities gain only what the bounding set holds.",
        "A process in a user namespace of its own has every capability there, and none outside: not compared (HW-111).",
        "`docker exec --privileged` comes in with more: its own entry counts, and HW-110 tells of it.",
        "A first process that drops capabilities later: what counts is what it had when it entered.",
    ),
    misses=(
        (
            "An exploit that takes no more capabilities than the bounding set holds, as in a privileged "
            "container (HW-108)."
        ),
        "An exploit that also moves the task to another user namespace: HW-101 and HW-108 see that.",
        "A container of which neither the entry nor the declaration is known (told as blind).",
    ),
    advice=(
        (
            "No honest program can do this: suspect a kernel exploit; isolate the node and keep its memory for "
            "examination."
        ),
        "Compare the kernel's version with its published privilege escalations, and update.",
    ),
    references=(
        "https://man7.org/linux/man-pages/man7/capabilities.7.html",
        "https://docs.kernel.org/security/credentials.html",
        "https://attack.mitre.org/techniques/T1068/",
    ),
)
