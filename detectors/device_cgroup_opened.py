"""A container's device cgroup lets it use devices that it was not allowed before.

On cgroup v1 the devices that a container may open stand in ``devices.list`` of its cgroup. A container that can
write its own ``devices.allow`` (a writable mount of the hierarchy, lxcfs) opens every disk of the node to itself with
one line, and then needs only mknod. On v2 bpf programs decide, which a container with CAP_SYS_ADMIN (or CAP_BPF and
CAP_NET_ADMIN) and its cgroup in reach takes off, or puts others in their place.

*Fires on:* ``devices.list`` of a container's cgroup has an entry that it had not before and that the bundle does not
allow; when it is first read, only the entry that allows everything, where the bundle does not. On v2: a device program
of a container's cgroup is gone, and a container on the node could have taken it off. High when none took its place and
the container is not allowed everything by its bundle, else low and likely: runtimes and systemd replace theirs.
"""

from __future__ import annotations

from collectors.capabilities import mask
from collectors.events import KernelValue
from collectors.facts import Container, Declared, Unknown
from detectors.base import (
    ESCAPE_TO_HOST,
    Blind,
    Confidence,
    Detector,
    Family,
    Finding,
    Found,
    NodeView,
    Severity,
    Tier,
    capable_containers,
    judge_value,
)

NAME = "devices.list"
PROGRAMS = "device_programs"
CHANGERS = mask(("CAP_SYS_ADMIN", "CAP_BPF"))  # bpf_prog_attach, kernel/bpf/syscall.c
EVERYTHING = b"a *:* rwm"  # Documentation/admin-guide/cgroup-v1/devices.rst


def check(event: KernelValue, view: NodeView) -> Found:
    """Compare the list with the one before and with what the bundle allows."""
    return judge_value(event, {NAME, PROGRAMS}, view, _judge)


def _judge(event: KernelValue, after: bytes, view: NodeView) -> Found:
    container = view.container(event.container_id) if event.container_id is not None else None
    declared = Unknown("not_read: the container's bundle") if container is None else container.declared
    if container is None or isinstance(declared, Unknown):
        yield Blind(declared.why if isinstance(declared, Unknown) else "not_read")
        return
    if event.name == PROGRAMS:
        yield from _programs(event, container, declared, view)
        return
    if isinstance(event.before, Unknown):
        added = [EVERYTHING] if EVERYTHING in after.split(b"\n") else []
    else:
        known = set(event.before.split(b"\n"))
        added = [each for each in after.split(b"\n") if each and each not in known]
    opened = tuple(each for each in added if not _is_declared(each, declared))
    if opened:
        yield Finding(
            _message(opened),
            container.id,
            evidence=(("file", event.where), ("opened", opened)),
        )


def _programs(event: KernelValue, container: Container, declared: Declared, view: NodeView) -> Found:
    """Ids are never used twice, so that an id which is missing is a program that was taken off."""
    if isinstance(event.before, Unknown) or isinstance(event.after, Unknown):
        return
    before, after = event.before.split(), event.after.split()
    gone = tuple(each for each in before if each not in after)
    able = capable_containers(view, CHANGERS)
    if not gone or not able:
        return
    is_guarded = len(after) >= len(before) or any(each.allow and each.kind == "a" for each in declared.device_rules)
    what = "was replaced" if len(after) >= len(before) else "was taken off"
    yield Finding(
        f"the program that guards its devices {what}, by whom is not known",
        container.id,
        evidence=(("cgroup", event.where), ("gone", gone), ("left", tuple(after)), ("containers_that_could", able)),
        severity=Severity.LOW if is_guarded else Severity.HIGH,
        confidence=Confidence.LIKELY,
    )


def _message(opened: tuple[bytes, ...]) -> str:
    what = "every device of the node" if EVERYTHING in opened else f"more devices: {len(opened)}"
    return f"its device cgroup now allows {what}"


def _is_declared(entry: bytes, declared: Declared) -> bool:
    """A rule of the bundle allows at least this entry (``b 8:0 rwm``); one that cannot be read is not declared."""
    kind, _, rest = entry.decode("ascii", "replace").partition(" ")
    numbers, _, access = rest.partition(" ")
    major, _, minor = numbers.partition(":")
    return any(
        rule.allow
        and rule.kind in {"a", kind}
        and (rule.major is None or str(rule.major) == major)
        and (rule.minor is None or str(rule.minor) == minor)
        and set(access) <= set(rule.access)
        for rule in declared.device_rules
    )


DETECTOR = Detector(
    id="HW-207",
    name="device_cgroup_opened",
    family=Family.TECHNIQUE,
    severity=Severity.HIGH,
    techniques=(ESCAPE_TO_HOST,),
    wants=(KernelValue,),
    check=check,
    weakest=Tier.POLL,
    summary="A container's cgroup allows more devices than its bundle declares, or lost the program that guards them.",
    benign=(
        "The runtime writes the list while it starts the container: it is first read when the container has settled.",
        (
            "Device plug-ins and hooks (GPUs) that open devices to a running container, and docker update: host "
            "processes do it, but a value does not say who wrote it; told, so make an exception for such workloads."
        ),
        "A privileged container is allowed everything by its bundle.",
        (
            "runc replaces its program at an update of the container, systemd its own at a daemon-reload: low, and "
            "silent where no container of the node could do it."
        ),
    ),
    misses=(
        "On cgroup v2, what a program allows, and who changed it: only that it is another one, or none.",
        "A program of an ancestor's cgroup (a pod's slice), which is not asked.",
        "A list that is opened and closed again between two looks: a container is looked at every few sweeps.",
        "A container that opens its own list in its first seconds, but for the entry that allows everything.",
        "A child cgroup that the container makes: it can never be allowed more than its parent.",
    ),
    advice=(
        "Compare the opened devices with the node's disks (lsblk): a disk means that the node's files were in reach.",
        "See whether a host process (a device plug-in, docker update) did it at that time.",
        "Look for block devices that the container holds (HW-203) and mounts (HW-112).",
    ),
    references=(
        "https://docs.kernel.org/admin-guide/cgroup-v1/devices.html",
        "https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#allowed-device-list",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
