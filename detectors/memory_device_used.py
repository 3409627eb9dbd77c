"""A container process holds the machine's memory open, or a device that leads into the kernel.

``/dev/mem``, ``/dev/port``, ``/proc/kcore`` and the processor's registers are the kernel without a guard. SCSI generic
and raw devices are disks under another name. kvm, vfio, vhost and their like let whoever holds one drive large parts of
the kernel, or the hardware itself.

*Fires on:* an open descriptor of a container process is, by its device number, one of these, or is the kernel's memory
on a proc file system; or the process opened one, or made a node for one with mknod, also when it was refused. High;
medium for the second group (kvm, vfio, vhost, tun, uinput, input), which is silent when the bundle names that very
device.
"""

from __future__ import annotations

from collectors.declarations import names_device
from collectors.device_numbers import dangerous, text
from collectors.events import CallMade, Exec, FileTouched, ProcessEvent, Seen
from collectors.facts import Container, Descriptor, DescriptorKind
from collectors.notable import MEMORY_FILE
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

KERNEL_MEMORY = "kcore"
S_IFMT, S_IFCHR = 0o170000, 0o020000  # include/uapi/linux/stat.h


def check(event: ProcessEvent, view: NodeView) -> Found:
    """Judge every held device by its number."""
    yield from judge_device(event, view, _judge_held, _judge_node)


def _judge_held(held: Holder, _view: NodeView) -> Found:
    container = held.member.container
    named = {each: _name(each, container) for each in held.descriptors}
    found = {each: name for each, name in named.items() if name is not None}
    if not found:
        return
    is_raw = any(raw for _, raw in found.values())
    yield Finding(
        "holds open what leads into the kernel: " + ", ".join(dict.fromkeys(name for name, _ in found.values())),
        container.id,
        held.member.process.key,
        evidence=(
            ("devices", tuple(dict.fromkeys(text(each.rdev) for each in found if each.rdev))),
            ("opened_as", tuple(dict.fromkeys(each.target for each in found))),
        ),
        severity=Severity.HIGH if is_raw else Severity.MEDIUM,
        inherited=True,
    )


def _judge_node(made: DeviceNode, view: NodeView) -> Found:
    """A node that was made or opened."""
    device = dangerous(made.rdev) if made.mode & S_IFMT == S_IFCHR else None
    member = (yield from actor(made.process, view)) if device is not None else None
    if device is None or member is None:
        return
    if not device.is_raw and names_device(member.container, "c", made.rdev, or_its_major=True):
        return
    yield Finding(
        f"{made.verb} a node of what leads into the kernel: {device.name}",
        member.container.id,
        made.process.key,
        evidence=(("devices", (text(made.rdev),)), ("how", made.call), ("error", made.error)),
        severity=Severity.HIGH if device.is_raw and not made.error else Severity.MEDIUM,
        inherited=True,
    )


def _name(descriptor: Descriptor, container: Container) -> tuple[str, bool] | None:
    """What it is, and whether it is memory or a disk; ``None`` for everything else."""
    if descriptor.kind is DescriptorKind.FILE:
        file = MEMORY_FILE.search(descriptor.target)
        return (KERNEL_MEMORY, True) if file is not None and file[1] == KERNEL_MEMORY.encode() else None
    device = dangerous(descriptor.rdev) if descriptor.kind is DescriptorKind.CHARACTER_DEVICE else None
    if device is None or (not device.is_raw and names_device(container, "c", descriptor.rdev, or_its_major=True)):
        return None
    return device.name, device.is_raw


DETECTOR = Detector(
    id="HW-204",
    name="memory_device_used",
    family=Family.TECHNIQUE,
    severity=Severity.HIGH,
    techniques=(
        ESCAPE_TO_HOST,
        Technique("T1068", "Exploitation for Privilege Escalation", "TA0004", "Privilege Escalation"),
    ),
    wants=(Seen, Exec, CallMade, FileTouched),
    check=check,
    holds=True,
    weakest=Tier.POLL,
    summary="A container process holds or makes a device of the machine's memory, of a disk, or into the kernel.",
    benign=(
        "Virtual machines, VPNs and device plug-ins hold kvm, vfio or tun that the bundle names by number: silent.",
        "Privileged pods that do so without naming the device (KubeVirt's handler, VPN gateways): medium.",
        "Monitoring of hardware (MSRs, SCSI generic) out of a privileged pod: told as high; make an exception for it.",
        "A masked /proc/kcore is the null device: silent.",
    ),
    misses=(
        "Below the ebpf tier: a device that is opened and closed again between two looks; a node that is made.",
        "What was mapped stays mapped when the descriptor is closed.",
        "Devices whose number the kernel gives out at run time: vfio groups, GPUs, bsg.",
        "A kcore on a mount whose table is not known, or below another name: only the kernel's name is looked for.",
    ),
    advice=(
        "Memory or MSRs: take the kernel for taken over; isolate the node.",
        "Ask whether the workload needs the device; name it in its device list, and drop privileged.",
        "Kernel lockdown (integrity) closes mem, kcore, port and msr for everybody.",
    ),
    references=(
        "https://docs.kernel.org/admin-guide/devices.html",
        "https://man7.org/linux/man-pages/man4/mem.4.html",
        "https://man7.org/linux/man-pages/man5/proc_kcore.5.html",
        "https://attack.mitre.org/techniques/T1068/",
    ),
)
