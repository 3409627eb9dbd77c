"""A session was started in a container with more privilege than the container declares.

``docker exec --privileged``, ``runc exec --cap CAP_SYS_ADMIN``: the runtime opens, on somebody's order, a second way
into the container that is less confined than the container itself. From there on all that a privileged container can
do is a way out: mounting the disk, loading a module, reading the host's memory.

*Fires on:* a container process that came in by itself (the root of an ``exec`` session, not the first process) and,
as it entered, had a permitted or bounding capability beyond the container's bounding set, or no seccomp filter, or
no no_new_privs, or an unconfined LSM label where the container has them. Capabilities are compared within the user
namespace of the first process only.
"""

from __future__ import annotations

from collections.abc import Iterator

from collectors.capabilities import names
from collectors.confinement import Dimension, is_unconfined_label, wider
from collectors.entries import Way, way_in
from collectors.events import Exec, ProcessEvent, Seen
from collectors.facts import Capabilities, Container, Declared, Process, Seccomp, SeccompMode, Unknown
from detectors.base import (
    ESCAPE_TO_HOST,
    Blind,
    Confidence,
    Detector,
    EvidenceValue,
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

SENDERS = 4


def check(event: ProcessEvent, view: NodeView) -> Found:
    """Compare what the runtime gave the session with what the container declares."""
    process = event.process
    member = yield from actor(process, view)
    if member is None:
        return
    if isinstance(member.entry, Unknown):
        yield Blind(member.entry.why, process.key)
        return
    if member.entry.key != process.key or member.is_first:
        return
    excess: list[tuple[str, EvidenceValue]] = []
    for found in _excess(member, member.entry):
        if isinstance(found, Unknown):
            yield Blind(found.why, process.key)
        else:
            excess.append(found)
    if excess:
        first = member.first
        widened = () if isinstance(first, Unknown) else wider(member.entry.confinement, first.confinement, member.frame)
        yield Finding(
            "was started from outside with more privilege than its container declares: "
            + ", ".join(name.replace("_", " ") for name, _ in excess),
            member.container.id,
            process.key,
            evidence=(*excess, ("entered_by", _way(member, member.entry, view).value)),
            widened=tuple(each for each in widened if each.dimension in {Dimension.PRIVILEGE, Dimension.FILTERS}),
            confidence=Confidence.LIKELY if isinstance(member.container.declared, Unknown) else Confidence.CERTAIN,
        )


def _way(member: Member, entry: Process, view: NodeView) -> Way:
    first_now = view.process(member.first.key) if isinstance(member.first, Process) else None
    shim = view.process_by_pid(first_now.parent_pid) if first_now is not None else None
    return way_in(member.container, entry, senders=view.ancestors(member.process)[:SENDERS], shim=shim)


def _excess(member: Member, entry: Process) -> Iterator[tuple[str, EvidenceValue] | Unknown]:
    """What the session has beyond the container, or why that cannot be told."""
    if isinstance(member.first, Unknown):
        yield member.first
        return
    declared = member.container.declared
    first, now = member.first.confinement, entry.confinement
    yield from _more_capabilities(entry, member.first, member.container)
    if isinstance(now.seccomp, Unknown):
        yield now.seccomp
    elif now.seccomp.mode is SeccompMode.DISABLED and _has_seccomp(first.seccomp, declared):
        yield "no_seccomp_filter", True
    if isinstance(now.no_new_privs, Unknown):
        yield now.no_new_privs
    elif not now.no_new_privs and (
        declared.no_new_privs if isinstance(declared, Declared) else first.no_new_privs is True
    ):
        yield "no_new_privs_off", True
    if isinstance(now.lsm_label, Unknown):
        yield now.lsm_label
    elif now.lsm_label is not None and is_unconfined_label(now.lsm_label):
        if isinstance(first.lsm_label, Unknown):
            yield first.lsm_label
        elif first.lsm_label is not None and not is_unconfined_label(first.lsm_label):
            yield "lsm_label", now.lsm_label


def _more_capabilities(
    entry: Process, first: Process, container: Container
) -> Iterator[tuple[str, EvidenceValue] | Unknown]:
    user, own = entry.confinement.namespaces.user, first.confinement.namespaces.user
    held, given = entry.confinement.capabilities, first.confinement.capabilities
    if isinstance(container.declared, Declared):
        given = container.declared.capabilities
    for fact in (user, own, held, given):
        if isinstance(fact, Unknown):
            yield fact
            return
    assert isinstance(held, Capabilities)
    assert isinstance(given, Capabilities)
    if user == own and (more := (held.permitted | held.bounding) & ~given.bounding):
        yield "more_capabilities", names(more)


def _has_seccomp(first: Seccomp | Unknown, declared: Declared | Unknown) -> bool:
    """The container has a filter: its first process shows one; where that is not known, the bundle asks for one."""
    if isinstance(first, Seccomp):
        return first.mode is not SeccompMode.DISABLED
    return isinstance(declared, Declared) and declared.seccomp


DETECTOR = Detector(
    id="HW-110",
    name="privileged_exec",
    family=Family.DRIFT,
    severity=Severity.MEDIUM,
    techniques=(
        Technique("T1609", "Container Administration Command", "TA0002", "Execution"),
        ESCAPE_TO_HOST,
    ),
    wants=(Exec, Seen),
    check=check,
    weakest=Tier.NETLINK,
    summary="The runtime entered a container with more privilege than the container declares.",
    benign=(
        (
            "An administrator debugging with docker exec --privileged: the act is wanted, and is told all the same; "
            "an exception for the workload with a reason and an expiry silences it."
        ),
        "Sessions that drop privileges, or run as another user, are narrower and silent.",
        "Containers that are privileged themselves: the session has no more than they declare.",
    ),
    misses=(
        "A session that ends before it is read, in the netlink and poll tiers.",
        "Devices: docker exec --privileged opens none that the container's cgroup does not allow.",
        "An LSM label that is another one, but confines too.",
        "A session into a container whose first process was never seen (counted as blind).",
        (
            "Whether kubectl exec, a probe or a hook brought in a process without a terminal: told for a probe only "
            "where it runs exactly what the pod declares, which the API server must be asked for."
        ),
    ),
    advice=(
        "Find out who called the runtime: the audit log of the Docker host or of the API server, and the shim's log.",
        "Look at the session's children: what was run with the privilege is what matters.",
        "If nobody did this on purpose, treat the runtime's socket as taken over.",
    ),
    references=(
        "https://docs.docker.com/reference/cli/docker/container/exec/",
        "https://man7.org/linux/man-pages/man7/capabilities.7.html",
        "https://attack.mitre.org/techniques/T1609/",
    ),
)
