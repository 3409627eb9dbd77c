"""A container was started with interfaces of the kernel open that every engine closes by default.

``/proc/sys/kernel/core_pattern`` names a program that the kernel runs as root on the host, ``/proc/sysrq-trigger``
stops the node, ``/proc/kcore`` is memory, ``/sys`` writable has helpers and firmware. None of it is namespaced.

*Fires on:* a container with a proc of its own in which a path of the table below is neither masked nor read-only; a
declared sysfs that can be written; a declared cgroup v1 that can be written, or a writable cgroup v2 in the host's
cgroup namespace. Not with a user namespace of its own, nor in a privileged container (HW-301).
"""

from __future__ import annotations

from collections.abc import Iterator

from collectors.declarations import in_own_user_namespace, is_privileged
from collectors.events import ContainerSeen
from collectors.facts import Declared, Process, Unknown
from detectors.base import ESCAPE_TO_HOST, Blind, Detector, Family, Finding, Found, NodeView, Severity, Tier

# What docker, containerd, CRI-O and podman all close; the rest of their lists differs with the release.
MASKED = {
    "/proc/kcore": "reads the kernel's memory, where it has CAP_SYS_RAWIO",
    "/proc/keys": "lists the keys of others",
    "/sys/firmware": "reads the firmware's tables and variables",
}
READ_ONLY = {
    "/proc/sys": "sets core_pattern, whose program the kernel runs as root on the host",
    "/proc/sysrq-trigger": "stops or crashes the node",
    "/proc/irq": "steers the interrupts of the node",
    "/proc/bus": "writes the configuration of PCI devices",
}
SYSFS = "sets uevent_helper and drivers of the host"
CGROUP_V1 = "sets release_agent, whose program the kernel runs as root on the host, with CAP_SYS_ADMIN"
CGROUP_V2 = "changes the limits of everything on the node"


def check(event: ContainerSeen, view: NodeView) -> Found:
    """List the interfaces that the bundle leaves open."""
    container, declared = event.container, event.container.declared
    if isinstance(declared, Unknown):
        yield Blind(declared.why)
        return
    first = view.first_process(container.id)
    if is_privileged(declared, view.host) or in_own_user_namespace(declared, first, view.host):
        return
    cgroup = _cgroup(declared, first)
    if isinstance(cgroup, Unknown):
        yield Blind(cgroup.why)
    opened = {**dict(_paths(declared)), **({} if isinstance(cgroup, Unknown) else cgroup)}
    if opened:
        yield Finding(
            "was started with interfaces of the kernel open: " + ", ".join(opened),
            container.id,
            evidence=(("interfaces", tuple(opened)), ("opens", tuple(opened.values()))),
        )


def _paths(declared: Declared) -> Iterator[tuple[str, str]]:
    """Paths of proc and sysfs that nothing covers."""
    fresh = {each.fs_type: "ro" in each.options for each in declared.mounts}
    for path, opens in (*MASKED.items(), *READ_ONLY.items()):
        kind = "proc" if path.startswith("/proc/") else "sysfs"
        is_closed = _is_covered(path, declared.masked_paths) or (
            path in READ_ONLY and (fresh.get(kind, True) or _is_covered(path, declared.readonly_paths))
        )
        if kind in fresh and not is_closed:
            yield path, opens
    if not fresh.get("sysfs", True) and not _is_covered("/sys", declared.readonly_paths):
        yield "/sys", SYSFS


def _is_covered(path: str, covers: tuple[str, ...]) -> bool:
    return any(path == each or path.startswith(each.rstrip("/") + "/") for each in covers)


def _cgroup(declared: Declared, first: Process | Unknown) -> dict[str, str] | Unknown:
    """The cgroup file system, where it can be written and that opens something."""
    writable = any(each.fs_type in {"cgroup", "cgroup2"} and "ro" not in each.options for each in declared.mounts)
    if not writable:
        return {}
    cgroups = first.confinement.cgroups if isinstance(first, Process) else first
    if isinstance(cgroups, Unknown):
        return cgroups
    if any(line.hierarchy != 0 and line.controllers and not line.controllers.startswith(b"name=") for line in cgroups):
        return {"/sys/fs/cgroup": CGROUP_V1}
    return {} if declared.namespace("cgroup") is not None else {"/sys/fs/cgroup": CGROUP_V2}


DETECTOR = Detector(
    id="HW-309",
    name="kernel_interfaces_unmasked",
    family=Family.EXPOSURE,
    severity=Severity.MEDIUM,
    techniques=(ESCAPE_TO_HOST,),
    wants=(ContainerSeen,),
    check=check,
    weakest=Tier.POLL,
    summary="A container was started with parts of /proc, /sys or the cgroup file system open that engines close.",
    benign=(
        "Containers that run containers ask for unmasked paths: told once for each, and accepted by an exception.",
        "systemd in a container with cgroup v2 and a cgroup namespace of its own, where only its own part shows.",
        "Containers with a user namespace of their own, in which the kernel refuses these writes.",
    ),
    misses=(
        "A mask that is declared and that the runtime did not put there (CVE-2025-31133): HW-112.",
        "A /proc or /sys of the host that is mounted at another place: HW-305.",
        "The lesser paths of the engines' lists (/proc/asound, /proc/timer_list, /sys/devices/virtual/powercap).",
        "A container without a bundle (counted as blind).",
    ),
    advice=(
        "Drop systempaths=unconfined or procMount: Unmasked, or give the container a user namespace.",
        "Let a host process set the sysctl that the workload wants.",
    ),
    references=(
        "https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#masked-paths",
        "https://kubernetes.io/docs/concepts/security/pod-security-standards/",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
