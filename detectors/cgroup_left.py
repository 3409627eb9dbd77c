"""A container process is outside the cgroup of its container.

The cgroup carries the limits, the device rules and the accounting of a container, and it is how most tools tell that a
process belongs to one at all. Who leaves it hides, lifts its limits, and on cgroup v1 its device list.

*Fires on:* in a hierarchy where the container's first process was inside one of the container's cgroups when it
entered, the task is outside all of them. Child cgroups are inside. Only a writer with the host's cgroup file system
can do this.
"""

from __future__ import annotations

from collectors.confinement import Dimension, Widening, is_within
from collectors.events import CredentialChange, Exec, ProcessEvent, Seen
from collectors.facts import CgroupMembership, Process, Unknown
from detectors.base import ESCAPE_TO_HOST, Blind, Detector, Family, Finding, Found, NodeView, Severity, Tier, actor


def check(event: ProcessEvent, view: NodeView) -> Found:
    """Compare the cgroups of the task, hierarchy by hierarchy, with where the first process was."""
    process = event.process
    member = yield from actor(process, view)
    if member is None:
        return
    if isinstance(member.first, Unknown):
        yield Blind(f"first process: {member.first.why}", process.key)
        return
    now, was, paths = process.confinement.cgroups, member.first.confinement.cgroups, member.frame.cgroup_paths
    if isinstance(now, Unknown) or isinstance(was, Unknown) or isinstance(paths, Unknown):
        missing = next(fact for fact in (now, was, paths) if isinstance(fact, Unknown))
        yield Blind(f"cgroups: {missing.why}", process.key)
        return
    if now == was and any(_is_inside(line, paths) for line in was):
        return  # so it is for nearly all
    home = {line.hierarchy for line in was if _is_inside(line, paths)}
    if not home:
        yield Blind("cgroups: the first process was in no cgroup of its container", process.key)
    left = tuple(line for line in now if line.hierarchy in home and not _is_inside(line, paths))
    if left and _may_be_exiting(process, left):
        yield Blind("cgroups: the task may be exiting, and v1 then shows /", process.key)
    elif left:
        yield Finding(
            message="It is outside the cgroup of its container",
            container_id=member.container.id,
            subject=process.key,
            evidence=(("cgroups", tuple(b"%s:%s" % (line.controllers or b"v2", line.path) for line in left)),),
            widened=(Widening(Dimension.CGROUP, "cgroups", was, now),),
            inherited=True,
        )


def _is_inside(line: CgroupMembership, paths: frozenset[bytes]) -> bool:
    return any(is_within(line.path, own) for own in paths)


def _may_be_exiting(process: Process, left: tuple[CgroupMembership, ...]) -> bool:
    """proc_cgroup_show prints ``/`` in v1 for a task with PF_EXITING; such a task has no executable either.

    Guarded by ``test_blind_when_the_task_is_a_zombie_on_cgroup_v1``.
    """
    return isinstance(process.executable, Unknown) and all(line.hierarchy != 0 and line.path == b"/" for line in left)


DETECTOR = Detector(
    id="HW-105",
    name="cgroup_left",
    family=Family.DRIFT,
    severity=Severity.HIGH,
    techniques=(ESCAPE_TO_HOST,),
    wants=(Seen, Exec, CredentialChange),
    check=check,
    compares=True,
    weakest=Tier.POLL,
    summary="A container process is in a cgroup outside its container's, in a hierarchy where the first was inside.",
    benign=(
        "systemd in a container, and runtimes in a container, move processes into child cgroups: those are inside.",
        "A task that is exiting shows / in every v1 hierarchy: told apart by its missing executable.",
        (
            "Docker in docker on cgroup v1 with the host's cgroup namespace puts its containers beside its own "
            "cgroup; so do "
            "node agents that manage the host's cgroups: exception by image, with a reason."
        ),
    ),
    misses=(
        "A process that was moved out and back between two looks, in the poll and netlink tiers.",
        "A process that left before the agent came and shares neither lineage nor namespaces that we could see.",
        "A hierarchy that was mounted after the container's start: the first process was never inside there.",
    ),
    advice=(
        (
            "See who moved it: a container needs a writable cgroup file system of the host for that (privileged, "
            "hostPath)."
        ),
        "Look at what the process does now: without device rules and limits it may open disks or starve the node.",
    ),
    references=(
        "https://man7.org/linux/man-pages/man7/cgroups.7.html",
        "https://docs.kernel.org/admin-guide/cgroup-v2.html#delegation",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
