"""A container was given devices of the host that lead into it.

A disk is every file on it; ``/dev/mem`` is the kernel's memory; a SCSI or NVMe pass-through is the disk again; kvm,
vfio, FUSE and their like are doors to code of the kernel that seldom guards against its users.

*Fires on:* declared device rules that, in their order, let the container read or write a block device (medium), the
memory or a pass-through device (medium), or a character device of the table below (low). A privileged container is
HW-301's.
"""

from __future__ import annotations

from collections.abc import Iterator

from collectors.declarations import allows_device, is_privileged
from collectors.events import ContainerSeen
from collectors.facts import Declared, Unknown
from detectors.base import ESCAPE_TO_HOST, Blind, Detector, Family, Finding, Found, NodeView, Severity, Tier

_DISK = "reads and writes every file of the disk"
_ANY = None

# Documentation/admin-guide/devices.txt, by major and minor: name, what it opens, how bad.
CHARACTER_DEVICES: dict[tuple[int, int | None], tuple[str, str, Severity]] = {
    (1, 1): ("mem", "reads and writes physical memory", Severity.MEDIUM),
    (1, 2): ("kmem", "reads and writes the kernel's memory", Severity.MEDIUM),
    (1, 4): ("port", "reads and writes I/O ports", Severity.MEDIUM),
    (10, 144): ("nvram", "writes the firmware's settings", Severity.LOW),
    (10, 196): ("vfio", "drives a device of the host, its DMA included", Severity.MEDIUM),
    (10, 200): ("tun", "makes network interfaces, where it may administer a net namespace", Severity.LOW),
    (10, 223): ("uinput", "types and clicks on the host", Severity.LOW),
    (10, 229): ("fuse", "serves file systems to the kernel", Severity.LOW),
    (10, 232): ("kvm", "runs virtual machines through a large part of the kernel", Severity.LOW),
    (10, 236): ("device-mapper", "maps the host's disks anew", Severity.MEDIUM),
    (10, 237): ("loop-control", "makes block devices of files", Severity.LOW),
    (10, 238): ("vhost-net", "runs a part of the kernel on its own memory", Severity.LOW),
    (21, _ANY): ("sg", _DISK, Severity.MEDIUM),
    (162, _ANY): ("raw", _DISK, Severity.MEDIUM),
    (202, _ANY): ("msr", "writes registers of the processor, the entry of system calls among them", Severity.MEDIUM),
}
_MAX_TOLD = 16

_Device = tuple[str, str, Severity]


def check(event: ContainerSeen, view: NodeView) -> Found:
    """List the dangerous devices that the rules allow."""
    container, declared = event.container, event.container.declared
    if isinstance(declared, Unknown):
        yield Blind(declared.why)
        return
    if is_privileged(declared, view.host):
        return
    found = tuple(dict.fromkeys((*_block_devices(declared), *_character_devices(declared))))
    if found:
        names = [name for name, _, _ in found[:_MAX_TOLD]]
        yield Finding(
            "was started with devices of the host: " + ", ".join(names) + (", ..." if len(found) > _MAX_TOLD else ""),
            container.id,
            evidence=(("devices", tuple(names)), ("opens", tuple(opens for _, opens, _ in found[:_MAX_TOLD]))),
            severity=max(severity for _, _, severity in found),
        )


def _block_devices(declared: Declared) -> Iterator[_Device]:
    """Those that a rule names and that may be used when all rules are applied."""
    if allows_device(declared, "b", _ANY, _ANY):
        yield "every block device", _DISK, Severity.MEDIUM
        return
    for rule in declared.device_rules:
        if rule.kind == "b" and rule.allow and allows_device(declared, "b", rule.major, rule.minor):
            name = f"block device {_number(rule.major)}:{_number(rule.minor)}"
            yield name, _DISK, Severity.MEDIUM


def _character_devices(declared: Declared) -> Iterator[_Device]:
    if allows_device(declared, "c", _ANY, _ANY):
        yield "every character device", "reads and writes physical memory", Severity.MEDIUM
        return
    for (major, minor), device in CHARACTER_DEVICES.items():
        single = minor is not _ANY and allows_device(declared, "c", major, minor)
        whole = minor is _ANY and any(
            rule.kind == "c" and rule.major == major and allows_device(declared, "c", major, rule.minor)
            for rule in declared.device_rules
        )
        if single or whole:
            yield device


def _number(number: int | None) -> str:
    return "*" if number is None else str(number)


DETECTOR = Detector(
    id="HW-306",
    name="host_devices",
    family=Family.EXPOSURE,
    severity=Severity.MEDIUM,
    techniques=(ESCAPE_TO_HOST,),
    wants=(ContainerSeen,),
    check=check,
    weakest=Tier.POLL,
    summary="A container was given block devices, memory or other dangerous devices of the host.",
    benign=(
        "The devices of every container (null, zero, full, random, tty, ptmx) and mknod without use are silent.",
        "GPUs, sound, video, serial lines and watchdogs are silent: they lead nowhere by design.",
        (
            "Storage plug-ins, virtual machines in pods, VPN clients and image builders declare disks, kvm, tun or "
            "FUSE: told once for each container, and accepted by an exception with a reason."
        ),
    ),
    misses=(
        "Devices with numbers of the moment (vfio groups, NVMe controllers, drivers of vendors).",
        "A device that the node's cgroup hooks or plug-ins allow after the start: HW-207.",
        "A container without a bundle (counted as blind).",
    ),
    advice=(
        "Give the one device that is needed, by --device with the letters r and w it needs, or by a device plug-in.",
        "A volume of the engine or of a CSI driver replaces most uses of a bare disk.",
    ),
    references=(
        "https://docs.docker.com/reference/cli/docker/container/run/#device",
        "https://www.kernel.org/doc/html/latest/admin-guide/devices.html",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
