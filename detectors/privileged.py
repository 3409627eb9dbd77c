"""A container was started with nothing between it and the host: ``--privileged``, ``privileged: true``.

It has every capability of the node, no seccomp filter, every device of the host, and a /proc and /sys without masks.
Root in it is root of the node in a few commands: mount the disk, set ``core_pattern``, load a module.

*Fires on:* a container whose declared bounding set holds every capability that pid 1 of the node may have (of those
that engines before 2020 know), without a seccomp filter, and whose device rules allow every device; not with a user
namespace of its own.
"""

from __future__ import annotations

from collectors.declarations import in_own_user_namespace, is_privileged
from collectors.events import ContainerSeen
from collectors.facts import Unknown
from detectors.base import ESCAPE_TO_HOST, Blind, Detector, Family, Finding, Found, NodeView, Severity, Tier

OPENS = (
    "mounts the host's disks and writes any file of the host",
    "sets core_pattern or release_agent, which the kernel runs as root on the host",
    "loads a module into the kernel",
    "reads and writes every device of the host",
)


def check(event: ContainerSeen, view: NodeView) -> Found:
    """Say that the bundle asks for everything."""
    container, declared = event.container, event.container.declared
    if isinstance(declared, Unknown):
        yield Blind(declared.why)
        return
    if in_own_user_namespace(declared, view.first_process(container.id), view.host):
        return
    if is_privileged(declared, view.host):
        yield Finding(
            "was started privileged: every capability of the node, no seccomp filter, every device",
            container.id,
            evidence=(("opens", OPENS),),
        )


DETECTOR = Detector(
    id="HW-301",
    name="privileged",
    family=Family.EXPOSURE,
    severity=Severity.MEDIUM,
    techniques=(ESCAPE_TO_HOST,),
    wants=(ContainerSeen,),
    check=check,
    weakest=Tier.POLL,
    summary="A container was started privileged: with every capability, no seccomp filter and every device.",
    benign=(
        (
            "Node agents (network and storage plug-ins, kube-proxy, GPU drivers) and docker in docker are run so: told "
            "once for each container, and accepted by an exception with a reason."
        ),
        "A privileged container in a user namespace of its own (rootless engines), where little of it counts.",
    ),
    misses=(
        "A container that lacks one capability, one device or has an empty seccomp profile: HW-303, HW-306, HW-307.",
        "A container without a bundle (counted as blind).",
    ),
    advice=(
        "Find out which single capability, device or mount the workload needs, and give it that.",
        "The Pod Security Standard baseline refuses privileged containers.",
    ),
    references=(
        "https://docs.docker.com/engine/containers/run/#runtime-privilege-and-linux-capabilities",
        "https://kubernetes.io/docs/concepts/security/pod-security-standards/",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
