"""A container process is in a namespace of another container that it was not declared to share.

From there it reads the other's files, traffic or memory with the other's identity: the way from a small service to a
privileged one on the same node.

*Fires on:* a task that belongs to a container has, in at least one kind, a namespace that the first process of another
container has and its own first process has not. The host's namespaces are HW-101's matter. A container may enter what
runs inside itself: another container whose cgroup lies below its own is its child (docker in docker, kind).
"""

from __future__ import annotations

from collectors.confinement import Dimension, Widening, is_within
from collectors.events import CredentialChange, Exec, ProcessEvent, Seen
from collectors.facts import NAMESPACE_KINDS, Container, Unknown
from detectors.base import ESCAPE_TO_HOST, Blind, Detector, Family, Finding, Found, NodeView, Severity, Tier, actor


def check(event: ProcessEvent, view: NodeView) -> Found:
    """Look up who owns each namespace that the task has and its container's first process has not."""
    process = event.process
    member = yield from actor(process, view)
    if member is None:
        return
    if isinstance(member.first, Unknown):
        yield Blind(f"first process: {member.first.why}", process.key)
        return
    joined: list[Widening] = []
    others: set[str] = set()
    for kind in NAMESPACE_KINDS:
        now = getattr(process.confinement.namespaces, kind)
        was = getattr(member.first.confinement.namespaces, kind)
        host = getattr(member.frame.namespaces, kind)
        missing = next((fact for fact in (now, was, host) if isinstance(fact, Unknown)), None)
        if missing is not None:
            yield Blind(f"{kind} namespace: {missing.why}", process.key)
        elif now not in (was, host):
            owners = {owner for owner in view.namespace_owners(kind, now) if _is_other(owner, member.container, view)}
            if owners:
                joined.append(Widening(Dimension.NAMESPACES, f"{kind}_namespace", was, now))
                others |= owners
    if joined:
        kinds = tuple(each.aspect.removesuffix("_namespace") for each in joined)
        yield Finding(
            message=f"It is in the {', '.join(kinds)} namespace of another container, which was not declared shared",
            container_id=member.container.id,
            subject=process.key,
            evidence=(("namespaces", kinds), ("other_container_ids", tuple(sorted(others)))),
            widened=tuple(joined),
            inherited=True,
            news=tuple(sorted(others)),
        )


def _is_other(owner: str, container: Container, view: NodeView) -> bool:
    """The owner is neither the container itself nor one that runs inside it."""
    other = view.container(owner)
    if owner == container.id or other is None:
        return owner != container.id
    return not any(is_within(path, own) for path in other.cgroup_paths for own in container.cgroup_paths)


DETECTOR = Detector(
    id="HW-102",
    name="other_container_joined",
    family=Family.DRIFT,
    severity=Severity.HIGH,
    techniques=(ESCAPE_TO_HOST,),
    wants=(Seen, Exec, CredentialChange),
    check=check,
    compares=True,
    weakest=Tier.POLL,
    summary="A container process has a namespace of another container, which was not declared shared.",
    benign=(
        (
            "Containers of one pod and `--network=container:`, `--pid=container:`: the first process itself has "
            "the shared "
            "namespace, so it is declared."
        ),
        (
            "A runtime inside a container (docker in docker, kind) entering the containers that it started: "
            "their cgroups "
            "lie below its own."
        ),
        (
            "CNI plug-ins and kubelet entering pods come from the host and belong to no container. A node agent "
            "that does "
            "it from a pod of its own (a CNI daemon that runs its plug-in inside the pod) needs an exception by image."
        ),
    ),
    misses=(
        "A namespace of the other container that its first process does not have (made there later).",
        "A container that no bundle and no cgroup told us of (HW-115), or whose first process we never saw.",
        "In the poll and netlink tiers, a process that joins and ends between two looks.",
    ),
    advice=(
        "See whose namespace it is: `hullwatch inspect` on both containers; treat the other's secrets as read.",
        "Ask how it could: setns wants SYS_ADMIN over the other's user namespace and a /proc that shows its processes.",
    ),
    references=(
        "https://man7.org/linux/man-pages/man2/setns.2.html",
        "https://man7.org/linux/man-pages/man7/namespaces.7.html",
        "https://kubernetes.io/docs/tasks/configure-pod-container/share-process-namespace/",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
