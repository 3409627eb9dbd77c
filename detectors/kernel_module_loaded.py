"""A module went into the kernel that is none of its own, or a container tried to put one there.

A module is code in the kernel: nothing confines it. A container with CAP_SYS_MODULE owns the node, and a rootkit that
is loaded later stays when the container is gone. The kernel loads its own modules all day, for a file system or a
device; those are installed for it and signed with it.

*Fires on:* /proc/modules shows a module that is not installed for the running kernel (modules.dep, modules.builtin of
the host), and that was not there when the agent started; or the kernel's taint gained one of the flags that a module
sets (forced, out of tree, unsigned). Critical when a container may load modules, else high. Or a container process
called init_module, finit_module or delete_module: critical, high when it was refused.
"""

from __future__ import annotations

from collectors.capabilities import mask
from collectors.events import CallMade, KernelValue
from collectors.facts import Unknown
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

MODULES = "foreign_modules"
TAINT = "tainted"

# Documentation/admin-guide/tainted-kernels.rst
TAINTS = {1 << 1: "forced", 1 << 12: "out of tree", 1 << 13: "unsigned", 1 << 15: "live patch"}
LOADERS = mask(("CAP_SYS_MODULE",))
CALLS = frozenset({"init_module", "finit_module", "delete_module"})
REFUSALS = frozenset({1, 13, 38})  # EPERM EACCES ENOSYS, asm-generic/errno.h


def check(event: KernelValue | CallMade, view: NodeView) -> Found:
    """A call of a container, or another list or taint than before."""
    if isinstance(event, CallMade):
        yield from _called(event, view)
    else:
        yield from _loaded(event, view)


def _called(event: CallMade, view: NodeView) -> Found:
    """A container process called; whatever came of it, it is none of its business."""
    member = (yield from actor(event.process, view)) if event.call in CALLS else None
    if member is None:
        return
    is_refused = event.error in REFUSALS
    what = "remove a module from the kernel" if event.call == "delete_module" else "load a module into the kernel"
    yield Finding(
        f"{'was refused to' if is_refused else 'called to'} {what}",
        member.container.id,
        event.process.key,
        evidence=(("call", event.call), ("error", event.error)),
        severity=Severity.HIGH if is_refused else Severity.CRITICAL,
        inherited=True,
    )


def _loaded(event: KernelValue, view: NodeView) -> Found:
    """Compare the list, or the taint, with the one before."""
    return judge_value(event, {MODULES, TAINT}, view, _judge)


def _judge(event: KernelValue, after: bytes, view: NodeView) -> Found:
    if isinstance(event.before, Unknown):
        return
    if event.name == MODULES:
        known = event.before.split(b"\n")
        added: tuple[str | bytes, ...] = tuple(each for each in after.split(b"\n") if each and each not in known)
        message = "the kernel has loaded a module that is not installed for it"
    else:
        gained = _taint(after) & ~_taint(event.before)
        added = tuple(name for bit, name in TAINTS.items() if gained & bit)
        message = f"the kernel is tainted by a module: {', '.join(map(str, added))}"
    if added:
        able = capable_containers(view, LOADERS)
        yield Finding(
            message,
            able[0] if len(able) == 1 else None,
            evidence=((event.name, added), ("containers_that_could", able)),
            severity=Severity.CRITICAL if able else Severity.HIGH,
            confidence=Confidence.LIKELY,
        )


def _taint(value: bytes) -> int:
    return int(value) if value.isdigit() else 0


DETECTOR = Detector(
    id="HW-215",
    name="kernel_module_loaded",
    family=Family.TECHNIQUE,
    severity=Severity.CRITICAL,
    techniques=(
        ESCAPE_TO_HOST,
        Technique("T1547.006", "Kernel Modules and Extensions", "TA0003", "Persistence"),
    ),
    wants=(KernelValue, CallMade),
    check=check,
    weakest=Tier.POLL,
    summary="A container called to load a kernel module, or one that is not installed for the kernel was loaded.",
    benign=(
        "modprobe of the kernel's own modules, by the kernel, by kube-proxy or by anybody else: they are installed.",
        "dkms and vendors' packages install into the same tree; the taint that their modules set first is still told.",
        (
            "Driver containers (GPU operators, security agents) load modules of their own on purpose: told once when "
            "they start; make an exception for the node or let the driver be installed."
        ),
        "iptables, VPNs and CNI plug-ins in containers run modprobe: told as high where the kernel refuses it.",
        "What was loaded when the agent started is what the node is like.",
    ),
    misses=(
        "A module that hides itself from /proc/modules before a sweep reads it; its taint stays.",
        "A module of the kernel's own tree that is used for an exploit (HW-225, the ebpf tier).",
        "A hostile module that bears the name of an installed one, on a kernel that is tainted already.",
        "Below the ebpf tier: who loaded it, and what was refused.",
        "What the kernel loads on a container's behalf when it asks for a protocol or a file system (no call at all).",
    ),
    advice=(
        "Ask whether somebody installed a driver; else the kernel is not yours any more: isolate the node.",
        "Look at /sys/module/NAME and the kernel's log, keep a memory image, and build the node anew.",
        "Take CAP_SYS_MODULE from every container, and set kernel.modules_disabled or require signatures.",
    ),
    references=(
        "https://docs.kernel.org/admin-guide/tainted-kernels.html",
        "https://man7.org/linux/man-pages/man5/modules.dep.5.html",
        "https://man7.org/linux/man-pages/man2/init_module.2.html",
        "https://attack.mitre.org/techniques/T1547/006/",
    ),
)
