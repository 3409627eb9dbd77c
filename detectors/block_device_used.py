"""A container process holds a disk of the node open.

Whoever reads the disk reads every file on it, below all permissions and namespaces, and whoever writes it plants one
(debugfs(8) does both). The name of the device node means nothing: with CAP_MKNOD a container makes its own.

*Fires on:* an open descriptor of a container process is one of the node's block devices, by its number, or it opened
one, or made a node for one with mknod (high when that was refused). Critical when a file system of the host's own mount
table lives on it, low when the bundle names that very device and no such file system does (a storage pod at its work),
else high.
"""

from __future__ import annotations

from collectors.declarations import names_device
from collectors.device_numbers import text
from collectors.events import CallMade, Exec, FileTouched, ProcessEvent, Seen
from collectors.facts import DescriptorKind, Unknown
from detectors.base import (
    ESCAPE_TO_HOST,
    Detector,
    DeviceNode,
    Family,
    Finding,
    Found,
    Holder,
    NodeView,
    Severity,
    Technique,
    Tier,
    actor,
    judge_device,
)

S_IFMT, S_IFBLK = 0o170000, 0o060000  # include/uapi/linux/stat.h


def check(event: ProcessEvent, view: NodeView) -> Found:
    """Look the held block devices up among those of the host's mounts and of the bundle."""
    yield from judge_device(event, view, _judge_held, _judge_node)


def _judge_held(held: Holder, view: NodeView) -> Found:
    devices = {each.rdev: each.target for each in held.descriptors if each.kind is DescriptorKind.BLOCK_DEVICE}
    if not devices:
        return
    container = held.member.container
    hosts = tuple(sorted(devices.keys() & _backing(view)))
    if hosts:
        severity, what = Severity.CRITICAL, "holds a disk open that file systems of the host live on"
    elif all(names_device(container, "b", rdev) for rdev in devices):
        severity, what = Severity.LOW, "holds a block device open that it was given"
    else:
        severity, what = Severity.HIGH, "holds a block device of the node open"
    yield Finding(
        f"{what}: {', '.join(map(text, hosts or sorted(devices)))}",
        container.id,
        held.member.process.key,
        evidence=(
            ("devices", tuple(text(rdev) for rdev in sorted(devices))),
            ("opened_as", tuple(devices[rdev] for rdev in sorted(devices))),
            ("of_host_file_systems", tuple(map(text, hosts))),
        ),
        severity=severity,
        inherited=True,
    )


def _judge_node(made: DeviceNode, view: NodeView) -> Found:
    """A node that was made or opened; only of a disk that the node has."""
    if made.mode & S_IFMT != S_IFBLK or made.rdev not in view.host.block_devices:
        return
    member = yield from actor(made.process, view)
    if member is None:
        return
    is_hosts = made.rdev in _backing(view)
    is_declared = names_device(member.container, "b", made.rdev)
    severity = Severity.CRITICAL if is_hosts else Severity.LOW if is_declared else Severity.HIGH
    yield Finding(
        made.verb
        + (" a node of a disk that file systems of the host live on: " if is_hosts else " a node of a block device: ")
        + text(made.rdev),
        member.container.id,
        made.process.key,
        evidence=(("devices", (text(made.rdev),)), ("how", made.call), ("error", made.error)),
        severity=min(severity, Severity.HIGH) if made.error else severity,
        inherited=True,
    )


def _backing(view: NodeView) -> frozenset[int]:
    """The devices of the host's mounts, as far as its table is known, and of its root."""
    namespace = view.host.namespaces.mnt
    table = () if isinstance(namespace, Unknown) else view.mounts(namespace)
    devices = frozenset(mount.device for mount in (() if isinstance(table, Unknown) else table))
    root = view.host.root
    return devices | (frozenset() if isinstance(root, Unknown) else {root.device})


DETECTOR = Detector(
    id="HW-203",
    name="block_device_used",
    family=Family.TECHNIQUE,
    severity=Severity.CRITICAL,
    techniques=(
        ESCAPE_TO_HOST,
        Technique("T1006", "Direct Volume Access", "TA0005", "Defense Evasion"),
    ),
    wants=(Seen, Exec, CallMade, FileTouched),
    check=check,
    holds=True,
    weakest=Tier.POLL,
    summary="A container process holds a block device of the node open, or makes a node for one.",
    benign=(
        "Storage pods (Ceph OSDs, raw block volumes) hold the device that they were given by number: low.",
        (
            "Privileged storage agents (smartctl exporters, CSI node plug-ins, multipath) open disks for a moment or "
            "for good: told, with the severity of what the disk holds; make an exception for such workloads."
        ),
        "Loop devices and nbd of a privileged build machine: high, since others may be behind the number later.",
    ),
    misses=(
        "Below the ebpf tier: a disk that is opened and closed again between two looks; a node that is made.",
        "A whole disk, or a physical volume, whose partition or logical volume holds the host's files: only high.",
        "A mount of the device, which holds no descriptor: HW-112 tells of it.",
        "The disk by another kind of device: SCSI generic and the like are HW-204's.",
    ),
    advice=(
        "Take every file on that disk for read and changed: keys, tokens, cron, binaries; isolate the node.",
        "Take the device, CAP_MKNOD and CAP_SYS_ADMIN from the workload; give it a file system instead.",
        "A storage agent of yours: make an exception for its image.",
    ),
    references=(
        "https://docs.kernel.org/admin-guide/devices.html",
        "https://man7.org/linux/man-pages/man8/debugfs.8.html",
        "https://attack.mitre.org/techniques/T1006/",
    ),
)
