"""Another kernel was loaded, to be started in place of the running one, or a container tried to, or to reboot.

kexec puts a kernel of the caller's choice into memory; the next reboot, or one system call, starts it without firmware,
boot loader or signature in between. Whoever may do it (CAP_SYS_BOOT) owns the node from below.

*Fires on:* ``kexec_loaded`` turned from 0 to 1. Critical when a container may do it, else high: the value does not say
who did. The crash kernel of kdump has a value of its own, which is not watched. Or a container process called
kexec_load or kexec_file_load (critical, high when it was refused) or reboot(2) for the node (critical; medium when it
was refused, as it is to every init system that believes to own the machine).
"""

from __future__ import annotations

from collectors.capabilities import mask
from collectors.events import CallMade, KernelValue
from detectors.base import (
    ESCAPE_TO_HOST,
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
    capable_containers,
    judge_value,
)

NAME = "kexec_loaded"
REBOOTERS = mask(("CAP_SYS_BOOT",))
_KEXEC = frozenset({"kexec_load", "kexec_file_load"})
_REFUSALS = frozenset({1, 13, 38})  # EPERM EACCES ENOSYS, asm-generic/errno.h
_EINVAL = 22  # what reboot(2) answers in a pid namespace of its own to what only the node could do


def check(event: KernelValue | CallMade, view: NodeView) -> Found:
    """A call of a container, or the value that turned."""
    if isinstance(event, CallMade):
        yield from _called(event, view)
    else:
        yield from _turned(event, view)


def _called(event: CallMade, view: NodeView) -> Found:
    is_kexec = event.call in _KEXEC
    member = (yield from actor(event.process, view)) if is_kexec or event.call == "reboot" else None
    if member is None:
        return
    is_refused = event.error in _REFUSALS or (not is_kexec and event.error == _EINVAL)
    yield Finding(
        f"{'was refused to' if is_refused else 'called to'} {'load another kernel' if is_kexec else 'reboot the node'}",
        member.container.id,
        event.process.key,
        evidence=(("call", event.call), ("error", event.error)),
        severity=(Severity.HIGH if is_kexec else Severity.MEDIUM) if is_refused else Severity.CRITICAL,
        inherited=True,
    )


def _turned(event: KernelValue, view: NodeView) -> Found:
    """Wait for the value to turn."""
    return judge_value(event, {NAME}, view, _judge)


def _judge(event: KernelValue, after: bytes, view: NodeView) -> Found:
    if event.before != b"0" or after != b"1":
        return
    able = capable_containers(view, REBOOTERS)
    yield Finding(
        "another kernel was loaded with kexec, by whom is not known",
        able[0] if len(able) == 1 else None,
        evidence=(("file", event.where), ("containers_that_could", able)),
        severity=Severity.CRITICAL if able else Severity.HIGH,
        confidence=Confidence.LIKELY,
    )


DETECTOR = Detector(
    id="HW-217",
    name="kernel_replaced",
    family=Family.TECHNIQUE,
    severity=Severity.CRITICAL,
    techniques=(
        ESCAPE_TO_HOST,
        Technique("T1601.001", "Patch System Image", "TA0005", "Defense Evasion"),
    ),
    wants=(KernelValue, CallMade),
    check=check,
    weakest=Tier.POLL,
    summary="A kernel was loaded with kexec, or a container called to load one, or to reboot the node.",
    benign=(
        "An administrator or an updater that reboots the node through kexec: told, shortly before the node goes down.",
        "systemd in a container calls reboot(2) when the container is shut down, and is refused: medium.",
        "kdump loads its crash kernel into kexec_crash_loaded: silent.",
    ),
    misses=(
        "A kernel that is loaded and started between two sweeps.",
        "Below the ebpf tier: who loaded it, and what was refused.",
        "A reboot(2) that succeeds: nobody is left to tell; HW-904 tells of the gap.",
        "A node without kexec in its kernel has no such value.",
    ),
    advice=(
        "Ask whether a reboot is due; else unload it (kexec -u) before anything reboots the node, and isolate it.",
        "Set kernel.kexec_load_disabled=1 where kexec is not used, and take CAP_SYS_BOOT from every container.",
    ),
    references=(
        "https://docs.kernel.org/admin-guide/sysctl/kernel.html",
        "https://man7.org/linux/man-pages/man2/kexec_load.2.html",
        "https://www.kernel.org/doc/Documentation/ABI/testing/sysfs-kernel-kexec-kdump",
        "https://attack.mitre.org/techniques/T1601/001/",
    ),
)
