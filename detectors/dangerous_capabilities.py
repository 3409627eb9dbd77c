"""A container was given a capability that is a way out by itself.

Most capabilities bend rules inside the container; some are the host's keys under another name. Who holds one, in the
host's user namespace, needs no exploit.

*Fires on:* a container whose declared bounding set holds one of the table below, and which has no user namespace of
its own. CAP_NET_ADMIN counts in the host's net namespace only; CAP_MKNOD, which docker grants by default, only where
the device rules let the container use a block device too. One finding lists all.
"""

from __future__ import annotations

from collectors.capabilities import names
from collectors.events import ContainerSeen
from collectors.facts import Declared, DeviceRule, Unknown
from detectors.base import ESCAPE_TO_HOST, Blind, Detector, Family, Finding, Found, NodeView, Severity, Tier

# capabilities(7), and what public break-outs did with each.
OPENS = {
    "CAP_DAC_READ_SEARCH": "reads any file of the host's disks by handle (open_by_handle_at)",
    "CAP_NET_ADMIN": "rewrites the host's firewall, routes and interfaces",
    "CAP_SYS_MODULE": "loads code into the kernel",
    "CAP_SYS_RAWIO": "reads and writes physical memory and I/O ports",
    "CAP_SYS_PTRACE": "takes over other processes it can see; with the host's pid namespace, the host's",
    "CAP_SYS_ADMIN": "mounts disks, cgroups and proc, and joins namespaces",
    "CAP_SYS_BOOT": "reboots the node, and loads another kernel",
    "CAP_MKNOD": "makes the device node of a host disk, and uses it",
    "CAP_MAC_OVERRIDE": "ignores the node's mandatory access control",
    "CAP_MAC_ADMIN": "changes the node's mandatory access control",
    "CAP_SYSLOG": "reads kernel addresses, which exploits need",
    "CAP_PERFMON": "observes every process and the kernel",
    "CAP_BPF": "loads programs into the kernel, and reads its memory together with CAP_PERFMON",
    "CAP_CHECKPOINT_RESTORE": "writes ns_last_pid, and opens other processes' map_files",
}


def check(event: ContainerSeen, view: NodeView) -> Found:
    """List the dangerous capabilities that the bundle grants."""
    container, declared = event.container, event.container.declared
    if isinstance(declared, Unknown):
        yield Blind(declared.why)
        return
    first = view.first_process(container.id)
    now = None if isinstance(first, Unknown) else first.confinement.namespaces
    user, host_user = now.user if now is not None else Unknown("not_read"), view.host.namespaces.user
    is_apart = isinstance(user, int) and isinstance(host_user, int) and user != host_user
    if is_apart or declared.namespace("user") is not None:
        return
    on_host_net = declared.namespace("net") is None or (now is not None and now.net == view.host.namespaces.net)
    granted = [name for name in names(declared.capabilities.bounding) if name in OPENS]
    if not on_host_net and "CAP_NET_ADMIN" in granted:
        granted.remove("CAP_NET_ADMIN")
    if "CAP_MKNOD" in granted and not uses_block_devices(declared):
        granted.remove("CAP_MKNOD")
    if granted:
        yield Finding(
            "was started with capabilities that lead out: " + ", ".join(granted),
            container.id,
            evidence=(("capabilities", tuple(granted)), ("opens", tuple(OPENS[name] for name in granted))),
        )


def uses_block_devices(declared: Declared) -> bool:
    """The device rules, applied in order, let the container read or write a block device; mknod alone is no use."""
    opened = False
    for rule in declared.device_rules:
        if rule.kind not in {"a", "b"} or not {"r", "w"} & set(rule.access):
            continue
        if rule.allow:
            opened = True
        elif _is_any(rule):
            opened = False
    return opened


def _is_any(rule: DeviceRule) -> bool:
    return rule.kind == "a" or (rule.major is None and rule.minor is None)


DETECTOR = Detector(
    id="HW-303",
    name="dangerous_capabilities",
    family=Family.EXPOSURE,
    severity=Severity.MEDIUM,
    techniques=(ESCAPE_TO_HOST,),
    wants=(ContainerSeen,),
    check=check,
    weakest=Tier.POLL,
    summary="A container was started with a capability that is a way out of it by itself.",
    benign=(
        "The default sets of docker, containerd, CRI-O and podman are silent.",
        (
            "Node agents (network and storage plug-ins, this agent) need some: told once for each container, and "
            "accepted by an exception with a reason."
        ),
        "Containers with a user namespace of their own, where capabilities do not count on the host.",
    ),
    misses=(
        "Capabilities of the default set that help an attack without being a way out (CAP_NET_RAW, CAP_SETUID).",
        "CAP_NET_ADMIN of a container that joins the host's net namespace by a path, until its first process is known.",
        "A container without a bundle (counted as blind).",
    ),
    advice=(
        "Drop all and add the few that the workload uses; capabilities are seldom needed as a set.",
        "Keep the seccomp and LSM profiles on: they refuse part of what a capability allows.",
    ),
    references=(
        "https://man7.org/linux/man-pages/man7/capabilities.7.html",
        "https://kubernetes.io/docs/concepts/security/pod-security-standards/",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
