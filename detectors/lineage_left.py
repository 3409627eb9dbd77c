"""A descendant of a container process is now, by every sign the kernel gives, a process of the host.

No namespace and no cgroup tells any more that it came out of a container; only its ancestors do. This is an escape that
is complete, and what every tool that goes by cgroups alone no longer sees.

*Fires on:* a task that belongs to a container (by lineage: its cgroup tells nothing) has the host's namespace in every
kind in which the container's first process has another one, the mount namespace among them, and is outside the
container's cgroups in every hierarchy where the first process was inside.
"""

from __future__ import annotations

from collectors.confinement import Dimension, Frame, Widening, is_within
from collectors.events import CredentialChange, Exec, ProcessEvent, Seen
from collectors.facts import NAMESPACE_KINDS, CgroupMembership, Process, Unknown
from detectors.base import ESCAPE_TO_HOST, Blind, Detector, Family, Finding, Found, NodeView, Severity, Tier, actor


def check(event: ProcessEvent, view: NodeView) -> Found:
    """Ask namespaces and cgroups whether anything still holds the task in its container."""
    process = event.process
    member = yield from actor(process, view)
    if member is None:
        return
    if isinstance(member.first, Unknown):
        yield Blind(f"first process: {member.first.why}", process.key)
        return
    left = _namespaces_left(process, member.first, member.frame)
    now, was = process.confinement.cgroups, member.first.confinement.cgroups
    outside = _is_outside(now, was, member.frame.cgroup_paths) if left != () else False  # () is for nearly all
    if outside is False:
        return
    if isinstance(outside, Unknown):
        yield Blind(outside.why, process.key)
        return
    if isinstance(left, Unknown):
        yield Blind(left.why, process.key)
        return
    cgroups = Widening(Dimension.CGROUP, "cgroups", was, now)
    yield Finding(
        message="It descends from a container process, and has the host's namespaces and a cgroup outside by now",
        container_id=member.container.id,
        subject=process.key,
        evidence=(("namespaces", tuple(each.aspect.removesuffix("_namespace") for each in left)),),
        widened=(*left, cgroups),
        inherited=True,
    )


def _namespaces_left(process: Process, first: Process, frame: Frame) -> tuple[Widening, ...] | Unknown:
    """All namespaces in which the first process differs from the host, if the task has the host's in each; else ()."""
    left: list[Widening] = []
    missing: Unknown | None = None
    for kind in NAMESPACE_KINDS:
        now, was, host = (getattr(each, kind) for each in (_ns(process), _ns(first), frame.namespaces))
        unknown = next((fact for fact in (now, was, host) if isinstance(fact, Unknown)), None)
        if unknown is not None:
            missing = Unknown(f"{kind} namespace: {unknown.why}")
        elif now != host:
            if was != host or kind == "mnt":
                return ()
        elif was != host:
            left.append(Widening(Dimension.NAMESPACES, f"{kind}_namespace", was, now))
    if missing is not None:
        return missing
    return tuple(left) if any(each.aspect == "mnt_namespace" for each in left) else ()


def _ns(process: Process) -> object:
    return process.confinement.namespaces


def _is_outside(
    now: tuple[CgroupMembership, ...] | Unknown,
    was: tuple[CgroupMembership, ...] | Unknown,
    paths: frozenset[bytes] | Unknown,
) -> bool | Unknown:
    """The task is in none of the container's cgroups, in every hierarchy where the first process was in one."""
    if isinstance(now, Unknown) or isinstance(was, Unknown) or isinstance(paths, Unknown):
        missing = next(fact for fact in (now, was, paths) if isinstance(fact, Unknown))
        return Unknown(f"cgroups: {missing.why}")
    home = {line.hierarchy for line in was if any(is_within(line.path, own) for own in paths)}
    return bool(home) and not any(line.hierarchy in home and is_within(line.path, own) for line in now for own in paths)


DETECTOR = Detector(
    id="HW-106",
    name="lineage_left",
    family=Family.DRIFT,
    severity=Severity.CRITICAL,
    techniques=(ESCAPE_TO_HOST,),
    wants=(Seen, Exec, CredentialChange),
    check=check,
    compares=True,
    weakest=Tier.NETLINK,
    summary="A descendant of a container process has the host's namespaces and a cgroup outside its container's.",
    benign=(
        (
            "Processes that the host starts on behalf of a container (a runtime's hooks, kubelet probes, systemd "
            "units asked "
            "for over a socket) descend from the host: they are no lineage of the container."
        ),
        "Node agents that nsenter into pid 1 and then leave their cgroup by systemd-run: exception by image.",
    ),
    misses=(
        "A process that left before the agent came: lineage is known only from what was seen (cgroup, or fork events).",
        "A container that shares the host's mount namespace from the start: there is no wall that it could leave.",
        (
            "What a container makes the host start for it (release_agent, core_pattern, the runtime's socket) is no "
            "descendant: HW-114, HW-208 and HW-210 see that."
        ),
        "The poll tier loses a lineage when a parent in between lives shorter than a sweep.",
    ),
    advice=(
        (
            "Treat the node as taken over: isolate it first, then examine; deleting the container will not end "
            "this process."
        ),
        "The ancestors in this alert are the only link to the container: keep them.",
    ),
    references=(
        "https://man7.org/linux/man-pages/man7/namespaces.7.html",
        "https://man7.org/linux/man-pages/man7/cgroups.7.html",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
