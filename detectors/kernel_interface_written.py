"""A container wrote into the kernel, or a setting that hardens it was made weaker.

Kernel pointers, the log, ptrace, unprivileged bpf and user namespaces, Yama, SELinux, lockdown: each closes a way that
exploits take. Whoever lowers one prepares the next step, or clears the way for another container; few do it on a
running node.

*Fires on:* one of the values in ``WALLS`` is weaker than it was before, whoever wrote it (which a value does not tell:
so medium). A value that is back to what it was at the agent's start is silent, and so is one that was made stronger. Or
a container process opened a file of the kernel for writing: high for sysrq-trigger, tracing, debugfs, securityfs, EFI
variables, a device's configuration space and the settings in ``WALLS``; medium for the rest of sysfs, low for other
sysctls. What its own namespaces hold (network, hostname, System V and POSIX queues, user limits) is silent.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from collectors.capabilities import mask
from collectors.events import FileTouched, KernelValue, Touch
from collectors.facts import Namespaces, Unknown
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
    actor,
    capable_containers,
    judge_value,
)

ALL_SYSRQ = 1  # admin-guide/sysrq.rst: 1 allows everything, more is a mask of what is allowed
WRITERS = mask(("CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_MAC_ADMIN", "CAP_DAC_OVERRIDE"))


# include/uapi/linux/magic.h
PROC_MAGIC, SYSFS_MAGIC = 0x9FA0, 0x62656572
HARD_MAGICS = frozenset({0x73636673, 0xDE5E81E4, 0x74726163, 0x64626720})  # securityfs efivarfs tracefs debugfs
ELSEWHERE = (b"core_pattern", b"modprobe", b"poweroff_cmd", b"hotplug", b"uevent_helper")  # HW-205
HARMLESS = (b"/pressure/cpu", b"/pressure/io", b"/pressure/memory", b"/pressure/irq")  # accounting/psi.rst: a monitor

# Documentation/admin-guide/sysctl, namespaces(7): whose values these are
OWN = (
    (re.compile(rb"/sys/net/"), "net"),
    (re.compile(rb"/class/net/|/devices/.*/net/"), "net"),
    (re.compile(rb"/sys/kernel/(hostname|domainname)$"), "uts"),
    (re.compile(rb"/sys/(kernel/(sem|shm|msg)|fs/mqueue/)"), "ipc"),
    (re.compile(rb"/sys/kernel/ns_last_pid$"), "pid"),
    (re.compile(rb"/sys/user/"), "user"),
)
_SYSCTL = re.compile(rb"/sys/((?:kernel|vm|fs|dev|abi|debug|net|user)/.+)$")


def check(event: KernelValue | FileTouched, view: NodeView) -> Found:
    """A file that was opened for writing, or a value that is another one."""
    if isinstance(event, FileTouched):
        yield from _opened(event, view)
    else:
        yield from _compare(event, view)


def _opened(event: FileTouched, view: NodeView) -> Found:
    severity = _weight(event) if event.touch is Touch.KERNEL else None
    if severity is None or _is_own(event, view):
        return
    member = yield from actor(event.process, view)
    if member is None:
        return
    path = event.path.decode("utf-8", "backslashreplace")
    yield Finding(
        f"opened a file of the kernel for writing: {path}",
        member.container.id,
        event.process.key,
        evidence=(("path", event.path),),
        severity=severity,
        identity=(member.container.id, path),
        inherited=True,
    )


def _weight(event: FileTouched) -> Severity | None:
    """How bad it is to write there; ``None`` for what other detectors judge."""
    if event.file_system in HARD_MAGICS:
        return Severity.HIGH
    if event.file_system not in {PROC_MAGIC, SYSFS_MAGIC} or event.path.endswith(ELSEWHERE + HARMLESS):
        return None
    if event.file_system == SYSFS_MAGIC:
        is_hard = event.path.endswith((b"/config", b"/rom")) or b"/resource" in event.path
        return Severity.HIGH if is_hard else Severity.MEDIUM
    sysctl = _SYSCTL.search(event.path)
    if sysctl is None:
        return Severity.HIGH if event.path.endswith(b"/sysrq-trigger") else Severity.MEDIUM
    return Severity.HIGH if sysctl[1].replace(b"/", b".").decode("ascii", "replace") in WALLS else Severity.LOW


def _is_own(event: FileTouched, view: NodeView) -> bool:
    """The value belongs to a namespace that is not the host's."""
    own: Namespaces = event.process.confinement.namespaces
    kinds = {kind for pattern, kind in OWN if pattern.search(event.path)}
    return bool(kinds) and all(getattr(own, kind) != getattr(view.host.namespaces, kind) for kind in kinds)


def _compare(event: KernelValue, view: NodeView) -> Found:
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


def _allowed(before: bytes, after: bytes) -> bool:
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
    "kernel.unprivileged_userns_clone": _allowed,
    "kernel.apparmor_restrict_unprivileged_userns": _less,
    "kernel.perf_event_paranoid": _less,
    "kernel.randomize_va_space": _less,
    "kernel.io_uring_disabled": _less,
    "kernel.kexec_load_disabled": _less,
    "kernel.modules_disabled": _less,
    "kernel.sysrq": _sysrq,
    "kernel.ftrace_enabled": _less,
    "vm.mmap_min_addr": _less,
    "vm.unprivileged_userfaultfd": _allowed,
    "fs.protected_symlinks": _less,
    "fs.protected_hardlinks": _less,
    "fs.protected_fifos": _less,
    "fs.protected_regular": _less,
    "fs.suid_dumpable": _more,
    "net.core.bpf_jit_harden": _less,
    "net.ipv4.conf.all.route_localnet": _allowed,
    "user.max_user_namespaces": _allowed,
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
    wants=(KernelValue, FileTouched),
    check=check,
    weakest=Tier.POLL,
    summary="A container opened a file of the kernel for writing, or a value that hardens the node was made weaker.",
    benign=(
        "Administrators and tuning daemons lower kptr_restrict or perf_event_paranoid to profile: told as medium.",
        "kube-proxy and CNI plug-ins set route_localnet when they start: once for each start of theirs, if later.",
        "sysctl -w of a privileged init container (databases, search engines): low, or high for a wall.",
        "A value that goes back to what it was when the agent started, and every value that is made stronger: silent.",
        "Values of a network or user namespace of a container: only those of the host are read.",
    ),
    misses=(
        "Below the ebpf tier: who wrote it; the containers that could have are evidence.",
        "A value that is lowered and raised again between two sweeps.",
        "Below the ebpf tier: writes that leave no value behind: sysrq-trigger, kprobe_events, PCI configuration.",
        "A file that was opened before the container process got it.",
        "What was weak when the agent started (HW-351 tells of it).",
        "net.core.bpf_jit_harden: the kernel shows it to nobody without CAP_SYS_ADMIN (blind, as unsupported).",
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
