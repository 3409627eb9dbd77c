"""A setting that hardens the node's kernel was made weaker.

Kernel pointers, the log, ptrace, unprivileged bpf and user namespaces, Yama, SELinux, lockdown: each closes a way that
exploits take. Whoever lowers one prepares the next step, or clears the way for another container; few do it on a
running node.

*Fires on:* one of the values in ``WALLS`` is weaker than it was before, whoever wrote it (which a value does not tell:
so medium). A value that is back to what it was at the agent's start is silent, and so is one that was made stronger.
"""

from __future__ import annotations

from collections.abc import Callable

from collectors.capabilities import mask
from collectors.events import KernelValue
from collectors.facts import Unknown
from detectors.base import (
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

ALL_SYSRQ = 1  # admin-guide/sysrq.rst: 1 allows everything, more is a mask of what is allowed
WRITERS = mask(("CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_MAC_ADMIN", "CAP_DAC_OVERRIDE"))


def check(event: KernelValue, view: NodeView) -> Found:
    """Compare the value with the one before."""
    return judge_value(event, WALLS, view, _judge)


def _judge(event: KernelValue, after: bytes, view: NodeView) -> Found:
    if isinstance(event.before, Unknown) or after in {event.before, event.at_start}:
        return
    if not WALLS[event.name](event.before, after):
        return
    yield Finding(
        f"the setting {event.name} was lowered, by whom is not known",
        None,
        evidence=(
            ("value", event.name),
            ("file", event.where),
            ("before", event.before),
            ("after", after),
            ("containers_that_could", capable_containers(view, WRITERS)),
        ),
        severity=Severity.MEDIUM,
        confidence=Confidence.LIKELY,
    )


def _less(before: bytes, after: bytes) -> bool:
    """More is stronger."""
    numbers = _number(before), _number(after)
    return numbers[0] is not None and numbers[1] is not None and numbers[1] < numbers[0]


def _more(before: bytes, after: bytes) -> bool:
    """Less is stronger."""
    return _less(after, before)


def _opened(before: bytes, after: bytes) -> bool:
    """0 forbids, any other number allows; how many says nothing."""
    return _number(before) == 0 and _number(after) not in {0, None}


def _sysrq(before: bytes, after: bytes) -> bool:
    """More keys than before."""
    was, now = _number(before), _number(after)
    if was is None or now is None or was == ALL_SYSRQ:
        return False
    return now == ALL_SYSRQ or bool(now & ~was)


def _not_enforcing(before: bytes, after: bytes) -> bool:
    """``enforce`` and ``Y`` are the strong values of AppArmor's parameters."""
    return before in {b"enforce", b"kill", b"Y"} and after not in {b"enforce", b"kill", b"Y"}


def _unlocked(before: bytes, after: bytes) -> bool:
    """The bracketed word of ``none integrity confidentiality`` moved to the left."""
    levels = (b"[none]", b"[integrity]", b"[confidentiality]")
    was, now = ([level in value for level in levels] for value in (before, after))
    return True in was and True in now and now.index(True) < was.index(True)


def _number(value: bytes) -> int | None:
    text = value.strip()
    is_number = text.removeprefix(b"-").isdigit() and len(text) <= 20  # noqa: PLR2004 (digits of 64 bits)
    return int(text) if is_number else None


# Documentation/admin-guide/sysctl, LSM and sysrq.rst: which way is weaker
WALLS: dict[str, Callable[[bytes, bytes], bool]] = {
    "kernel.kptr_restrict": _less,
    "kernel.dmesg_restrict": _less,
    "kernel.yama.ptrace_scope": _less,
    "kernel.unprivileged_bpf_disabled": _less,
    "kernel.unprivileged_userns_clone": _opened,
    "kernel.apparmor_restrict_unprivileged_userns": _less,
    "kernel.perf_event_paranoid": _less,
    "kernel.randomize_va_space": _less,
    "kernel.io_uring_disabled": _less,
    "kernel.kexec_load_disabled": _less,
    "kernel.modules_disabled": _less,
    "kernel.sysrq": _sysrq,
    "kernel.ftrace_enabled": _less,
    "vm.mmap_min_addr": _less,
    "vm.unprivileged_userfaultfd": _opened,
    "fs.protected_symlinks": _less,
    "fs.protected_hardlinks": _less,
    "fs.protected_fifos": _less,
    "fs.protected_regular": _less,
    "fs.suid_dumpable": _more,
    "net.core.bpf_jit_harden": _less,
    "net.ipv4.conf.all.route_localnet": _opened,
    "user.max_user_namespaces": _opened,
    "selinux.enforce": _less,
    "apparmor.mode": _not_enforcing,
    "apparmor.enabled": _not_enforcing,
    "lockdown": _unlocked,
}


DETECTOR = Detector(
    id="HW-209",
    name="kernel_interface_written",
    family=Family.TECHNIQUE,
    severity=Severity.HIGH,
    techniques=(
        Technique("T1562.001", "Disable or Modify Tools", "TA0005", "Defense Evasion"),
        Technique("T1068", "Exploitation for Privilege Escalation", "TA0004", "Privilege Escalation"),
    ),
    wants=(KernelValue,),
    check=check,
    weakest=Tier.POLL,
    summary="A sysctl or a security module that hardens the node was made weaker.",
    benign=(
        "Administrators and tuning daemons lower kptr_restrict or perf_event_paranoid to profile: told as medium.",
        "kube-proxy and CNI plug-ins set route_localnet when they start: once for each start of theirs, if later.",
        "A value that goes back to what it was when the agent started, and every value that is made stronger: silent.",
        "Values of a network or user namespace of a container: only those of the host are read.",
    ),
    misses=(
        "Who wrote it: the ebpf tier sees the write; here the containers that could have are evidence.",
        "A value that is lowered and raised again between two sweeps.",
        "Writes that leave no value behind: sysrq-trigger, kprobe_events, PCI configuration (the ebpf tier).",
        "What was weak when the agent started (HW-351 tells of it).",
    ),
    advice=(
        "Ask who changes settings on this node; if nobody does, take it for the preparation of an exploit.",
        "Set it back (the evidence has the value before), and look at what the containers that could have done it do.",
        "Forbid it: no privileged containers, /proc/sys read-only, kernel lockdown.",
    ),
    references=(
        "https://docs.kernel.org/admin-guide/sysctl/kernel.html",
        "https://docs.kernel.org/admin-guide/sysctl/fs.html",
        "https://man7.org/linux/man-pages/man7/kernel_lockdown.7.html",
        "https://attack.mitre.org/techniques/T1562/001/",
    ),
)
