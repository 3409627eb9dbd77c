"""A process sits in a runtime's cgroup, and no runtime knows that container, or the kubelet not its pod.

Somebody started a container behind the back of the tools that manage the node, hid one by deleting its bundle, or made
a cgroup that looks like a container's so that watchers take the process for something else. A forged bundle makes
the first look right and not the second: the kubelet keeps a directory for each of its pods, static ones too, from
before its first process to after its last.

*Fires on:* a process older than 10 s in a container for which every state directory was searched in vain, whose first
process no runtime states, and for which no API has a name or an image; or in the cgroup of a pod for which the
kubelet's directory, which names other pods that run here, was searched twice in vain. Younger ones are being born or
torn down.
"""

from __future__ import annotations

from collectors.events import Event, Exec, ProcessEvent, Seen, SweepDone
from collectors.facts import Container, HostBaseline, Process, Unknown
from detectors.base import (
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

GRACE_NS = 10 * 1_000_000_000
SECOND_NS = 1_000_000_000


def check(event: Event, view: NodeView) -> Found:
    """Judge the container of a task, or after a sweep all whose first process has grown old meanwhile."""
    if isinstance(event, ProcessEvent):
        member = yield from actor(event.process, view)
        if member is not None:
            first = event.process if isinstance(member.first, Unknown) else member.first
            yield from _judge(member.container, first, event.at_ns, view.host)
        return
    for container in view.containers():
        first_seen = view.first_process(container.id)
        if not isinstance(first_seen, Unknown):
            yield from _judge(container, first_seen, event.at_ns, view.host)


def _judge(container: Container, process: Process, at_ns: int, host: HostBaseline) -> Found:
    started_ns = host.boot_time_ns + process.key.start_ticks * SECOND_NS // host.ticks_per_second
    is_young = at_ns - started_ns <= GRACE_NS
    if container.kubelet_has_pod is False:
        if not is_young:
            yield _without_pod(container, process)
        return
    declared = container.declared
    is_known = container.first_pid is not None or container.name is not None or container.image is not None
    if not isinstance(declared, Unknown) or is_known:
        return
    if not declared.why.startswith("no_bundle"):
        yield Blind(declared.why, process.key)
        return
    if is_young:
        return
    yield Finding(
        "runs in the cgroup of a container that no runtime knows",
        container.id,
        process.key,
        evidence=(("cgroups", tuple(sorted(container.cgroup_paths))), ("runtime", container.runtime)),
        confidence=Confidence.LIKELY,
        identity=(container.id,),
    )


def _without_pod(container: Container, process: Process) -> Finding:
    said = container.pod
    return Finding(
        "runs in the cgroup of a pod that the kubelet of this node does not know",
        container.id,
        process.key,
        evidence=(
            ("cgroups", tuple(sorted(container.cgroup_paths))),
            ("runtime", container.runtime),
            ("pod_uid", container.pod_uid or ""),
            ("pod_by_bundle", f"{said.namespace}/{said.name}" if said is not None else ""),
        ),
        confidence=Confidence.LIKELY,
        identity=(container.id, "pod"),
    )


DETECTOR = Detector(
    id="HW-115",
    name="unknown_container",
    family=Family.DRIFT,
    severity=Severity.HIGH,
    techniques=(
        Technique("T1610", "Deploy Container", "TA0002", "Execution"),
        Technique("T1036", "Masquerading", "TA0005", "Defense Evasion"),
    ),
    wants=(Seen, Exec, SweepDone),
    check=check,
    weakest=Tier.POLL,
    summary="A process sits in a runtime's cgroup, and no runtime knows that container, or the kubelet not its pod.",
    benign=(
        "Containers being started or torn down: a process younger than 10 s is not judged.",
        (
            "A runtime whose state directory the agent was not given: its bundle cannot be searched for, which is told "
            "as blindness where it shows, and else is repaired by mounting the directory or by the runtime's API."
        ),
        "Containers inside a container: the outermost is the owner, and that one is known.",
        (
            "Static pods: the kubelet keeps their directory under the hash of their manifest, which is the "
            "uid in their cgroup's path."
        ),
        "A kubelet's directory elsewhere, or of another cluster: it names no pod that runs here, and is not believed.",
        "crictl runp by hand: wanted, and told all the same; the kubelet ends such pods by itself.",
        "kubeadm reset while containers still run: it removes the kubelet's directory; expect it with maintenance.",
    ),
    misses=(
        "A container with a forged bundle in the right place, and in no pod's cgroup.",
        "A pod for which whoever is root on the node made a directory below the kubelet's as well.",
        "Pods on a node where the kubelet's directory is not to be seen, or names no other pod of the node.",
        "A cgroup whose name does not look like a container's: such a process is one of the host's.",
        "A container that lives for less than 10 s.",
    ),
    advice=(
        "Compare with what the runtimes list (docker ps, crictl ps, ctr -n NAMESPACE containers ls, podman ps).",
        "Look at the process' parent and start time: who made the cgroup, and when?",
    ),
    references=(
        "https://github.com/opencontainers/runtime-spec/blob/main/runtime.md",
        "https://attack.mitre.org/techniques/T1610/",
    ),
)
