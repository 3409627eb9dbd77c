"""A container was started without walls that containers have: it shares namespaces with the host.

With the host's pid namespace it sees every process of the node and, as root, reaches their files through /proc; with
the host's ipc it reads shared memory; without a mount namespace it has the host's files. Its use is told by HW-101 and
others: this one says that the way is there.

*Fires on:* a container (of a pod: each but the sandbox) whose bundle names no namespace of a kind, or joins one that is
the host's: by ``/proc/1/ns``, by the sandbox that it joins, or by what its first process shows. One finding lists all;
its severity is the worst: mnt and pid medium, ipc and uts low, net info. The host's uts together with the host's net
counts as net: a pod with hostNetwork has both. cgroup and user are not told: docker on cgroup v1 shares them always.
"""

from __future__ import annotations

import re

from collectors.events import ContainerSeen
from collectors.facts import Container, Declared, Unknown
from detectors.base import ESCAPE_TO_HOST, Blind, Detector, Family, Finding, Found, NodeView, Severity, Tier

_SEVERITIES = {
    "mnt": Severity.MEDIUM,
    "pid": Severity.MEDIUM,
    "ipc": Severity.LOW,
    "uts": Severity.LOW,
    "net": Severity.INFO,
}
_NAMESPACE_OF = re.compile(r"\A/proc/(\d+)/(task/\d+/)?ns/")


def check(event: ContainerSeen, view: NodeView) -> Found:
    """List what the container shares with the host by declaration."""
    container = event.container
    if isinstance(container.declared, Unknown):
        yield Blind(container.declared.why)
        return
    if container.pod is not None and container.pod.is_sandbox:
        return
    shared = [kind for kind in _SEVERITIES if _is_hosts(container, kind, view)]
    if not shared:
        return
    counted = [kind for kind in shared if kind != "uts" or "net" not in shared]
    yield Finding(
        f"was started in the host's {', '.join(shared)} namespace" + ("s" if len(shared) > 1 else ""),
        container.id,
        evidence=(("namespaces", tuple(shared)),),
        severity=max(_SEVERITIES[kind] for kind in counted),
    )


def _is_hosts(container: Container, kind: str, view: NodeView) -> bool:
    """The container's namespace of that kind is the host's by declaration."""
    assert isinstance(container.declared, Declared)
    declared = container.declared.namespace(kind)
    if declared is None:
        return True
    if declared.path is None:
        return False
    host, first = getattr(view.host.namespaces, kind), view.first_process(container.id)
    if not isinstance(first, Unknown) and isinstance(now := getattr(first.confinement.namespaces, kind), int):
        return bool(now == host)
    joined = _NAMESPACE_OF.match(declared.path)
    if joined is None:
        return False
    pid = int(joined[1])
    return pid == 1 or any(
        each.first_pid == pid and isinstance(each.declared, Declared) and each.declared.namespace(kind) is None
        for each in view.containers()
    )


DETECTOR = Detector(
    id="HW-302",
    name="host_namespaces",
    family=Family.EXPOSURE,
    severity=Severity.MEDIUM,
    techniques=(ESCAPE_TO_HOST,),
    wants=(ContainerSeen,),
    check=check,
    weakest=Tier.POLL,
    summary="A container was started in the host's pid, mnt, ipc, uts or net namespace.",
    benign=(
        (
            "Node agents (network and storage plug-ins, node-exporter, kured) need some: told once for each container, "
            "and accepted by an exception with a reason."
        ),
        "Containers of one pod, or started with --pid=container:, share with each other: that is not the host.",
        "The pod's sandbox, which has what its containers have.",
    ),
    misses=(
        "The user and cgroup namespaces, which most containers share with the host.",
        "A namespace that is joined by a bind-mounted path, until the container's first process is known.",
        "A container without a bundle (counted as blind).",
    ),
    advice=(
        "Ask whether the workload needs it; drop hostPID, hostIPC and hostNetwork where it does not.",
        "The Pod Security Standard baseline refuses all three.",
    ),
    references=(
        "https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#namespaces",
        "https://kubernetes.io/docs/concepts/security/pod-security-standards/",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
