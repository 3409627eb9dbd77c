"""Another kernel was loaded, to be started in place of the running one.

kexec puts a kernel of the caller's choice into memory; the next reboot, or one system call, starts it without firmware,
boot loader or signature in between. Whoever may do it (CAP_SYS_BOOT) owns the node from below.

*Fires on:* ``kexec_loaded`` turned from 0 to 1. Critical when a container may do it, else high: the value does not say
who did. The crash kernel of kdump has a value of its own, which is not watched.
"""

from __future__ import annotations

from collectors.capabilities import mask
from collectors.events import KernelValue
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
    capable_containers,
    judge_value,
)

NAME = "kexec_loaded"
REBOOTERS = mask(("CAP_SYS_BOOT",))


def check(event: KernelValue, view: NodeView) -> Found:
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
    wants=(KernelValue,),
    check=check,
    weakest=Tier.POLL,
    summary="A kernel was loaded with kexec, to be started in place of the running one.",
    benign=(
        "An administrator or an updater that reboots the node through kexec: told, shortly before the node goes down.",
        "kdump loads its crash kernel into kexec_crash_loaded: silent.",
    ),
    misses=(
        "A kernel that is loaded and started between two sweeps.",
        "kexec_load and reboot that are refused (the ebpf tier).",
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
