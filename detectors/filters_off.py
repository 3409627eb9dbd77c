"""A container was started without the filters that most containers have: seccomp, AppArmor or SELinux.

They stop nobody who was given a way out, but most exploits of the kernel: the default seccomp profile refuses the
system calls of nearly every break-out of the last years, and AppArmor's writes to /proc and /sys, and mount(2).

*Fires on:* a container whose bundle asks for no seccomp filter, or for no AppArmor profile or SELinux label that
confines, where the node runs that module; low. A pod that lacks seccomp alone is info: the kubelet leaves it off unless
its ``seccompDefault`` is on, so it says more of the node (HW-351). A privileged container is HW-301's, a sandbox is
silent.
"""

from __future__ import annotations

from collectors.confinement import is_unconfined_label
from collectors.declarations import is_privileged
from collectors.events import ContainerSeen
from collectors.facts import Declared, Unknown
from detectors.base import ESCAPE_TO_HOST, Blind, Detector, Family, Finding, Found, NodeView, Severity, Tier

OPENS = {
    "seccomp": "makes every system call, those that exploits of the kernel need among them",
    "apparmor": "mounts, traces and writes below /proc and /sys where capabilities allow it",
    "selinux": "reads and writes files of the host that it can reach, whatever their label",
}


def check(event: ContainerSeen, view: NodeView) -> Found:
    """List the filters that the bundle leaves off."""
    container, declared = event.container, event.container.declared
    if isinstance(declared, Unknown):
        yield Blind(declared.why)
        return
    is_sandbox = container.pod is not None and container.pod.is_sandbox
    if is_sandbox or is_privileged(declared, view.host):
        return
    off: tuple[str, ...] = () if declared.seccomp else ("seccomp",)
    if isinstance(view.host.lsms, Unknown):
        yield Blind(view.host.lsms.why)
    else:
        off += _modules_off(declared, view.host.lsms)
    if off:
        in_pod = container.pod is not None or container.pod_uid is not None
        yield Finding(
            f"was started without {' and '.join(off)}",
            container.id,
            evidence=(("off", off), ("opens", tuple(OPENS[each] for each in off))),
            severity=Severity.INFO if in_pod and off == ("seccomp",) else None,
        )


def _modules_off(declared: Declared, lsms: frozenset[str]) -> tuple[str, ...]:
    """The security modules of the node whose confinement was not asked for."""
    off = []
    if "apparmor" in lsms and _is_unconfined(declared.apparmor_profile):
        off.append("apparmor")
    if "selinux" in lsms and _is_unconfined(declared.selinux_label):
        off.append("selinux")
    return tuple(off)


def _is_unconfined(label: str | None) -> bool:
    return label is None or is_unconfined_label(label.encode("utf-8", "replace"))


DETECTOR = Detector(
    id="HW-307",
    name="filters_off",
    family=Family.EXPOSURE,
    severity=Severity.LOW,
    techniques=(ESCAPE_TO_HOST,),
    wants=(ContainerSeen,),
    check=check,
    weakest=Tier.POLL,
    summary="A container was started without seccomp, or without the AppArmor or SELinux confinement of the node.",
    benign=(
        "Debuggers, profilers and browsers are started so: told once for each container, mild.",
        "Nodes whose kernel has neither AppArmor nor SELinux: only seccomp counts there.",
        "Engines without SELinux support on a node with SELinux: all their containers are told, rightly.",
    ),
    misses=(
        "A profile that allows everything, or nearly so: only that there is one is known.",
        "An AppArmor profile in complain mode.",
        "A container without a bundle (counted as blind).",
    ),
    advice=(
        "Leave the engine's default profiles on; allow single system calls by a profile of your own.",
        "In Kubernetes set seccompProfile RuntimeDefault, or seccompDefault in the kubelet's configuration.",
    ),
    references=(
        "https://docs.docker.com/engine/security/seccomp/",
        "https://kubernetes.io/docs/tutorials/security/seccomp/",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
