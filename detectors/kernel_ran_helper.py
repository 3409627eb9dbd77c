"""The kernel itself started a program that is none of its known helpers.

Every way to make the kernel run a file as root on the host ends here: release_agent, core_pattern, modprobe,
uevent_helper, poweroff_cmd, request-key. Whatever was overwritten and however it was written, what runs then is a user
program whose parent is a kernel thread.

*Fires on:* a process that is no kernel thread, whose parent at fork was one, and whose executable is, by device and
inode, not one of the helpers that the node was configured with when the agent started.
"""

from __future__ import annotations

from collectors.events import Exec, ProcessEvent, Seen
from collectors.facts import Executable, Process, Unknown
from detectors.base import ESCAPE_TO_HOST, Blind, Detector, Family, Finding, Found, Member, NodeView, Severity, Tier

KTHREADD_PID = 2  # kernel/kthread.c: the parent of all kernel threads, started right after init
ARGUMENTS = 8


def check(event: ProcessEvent, view: NodeView) -> Found:
    """Judge a program by who started it and by which file it is."""
    process, executable = event.process, event.process.executable
    if process.is_kernel_thread or process.thread_of is not None:
        return
    is_kernels = _is_kernels_child(process, view)
    if isinstance(is_kernels, Unknown):
        yield Blind(is_kernels.why, process.key)
        return
    if not is_kernels:
        return
    place = executable.place if isinstance(executable, Executable) else executable
    if isinstance(place, Unknown) or isinstance(executable, Unknown):
        yield Blind(place.why if isinstance(place, Unknown) else "not_read", process.key)
        return
    if place.file in view.host.known_helpers:
        return
    member = view.member(process)
    yield Finding(
        "was started by the kernel itself, and is none of the helpers that the kernel was configured to run",
        member.container.id if isinstance(member, Member) else None,
        process.key,
        evidence=(
            ("executable", executable.path),
            ("arguments", tuple(process.arguments.rstrip(b"\0").split(b"\0")[:ARGUMENTS])),
            ("owner_uid", executable.owner_uid),
        ),
    )


def _is_kernels_child(process: Process, view: NodeView) -> bool | Unknown:
    """Its parent is a kernel thread. Pid 1 and what a pid namespace hides have parent 0, and are not."""
    parent = view.parent(process)
    if parent is not None:
        return parent.is_kernel_thread
    if process.parent_pid == KTHREADD_PID:
        return True
    return False if process.parent_pid == 0 else Unknown("not_read: the parent was never seen")


DETECTOR = Detector(
    id="HW-208",
    name="kernel_ran_helper",
    family=Family.TECHNIQUE,
    severity=Severity.CRITICAL,
    techniques=(ESCAPE_TO_HOST,),
    wants=(Exec, Seen),
    check=check,
    weakest=Tier.NETLINK,
    summary="The kernel started a user program that is not one of the node's known helpers.",
    benign=(
        (
            "modprobe, request-key, systemd-coredump, cgroups-agent and whatever else the node was configured with: "
            "known by inode since the agent started."
        ),
        "A helper that a package upgrade replaced has a new inode, until the agent reads the node's helpers again.",
        "Drivers with a helper of their own (bridge-stp, nfs, drbd) that ran for the first time: make an exception.",
    ),
    misses=(
        "A helper that was replaced before the agent started.",
        "A known helper that is run with hostile arguments or configuration (modprobe.d).",
        "A program that ends before it is read, in the netlink and poll tiers: its exec is seen, its file is not.",
    ),
    advice=(
        (
            "Read /proc/sys/kernel/core_pattern, /proc/sys/kernel/modprobe, /sys/kernel/uevent_helper and every "
            "release_agent, before you reset them: one names this program."
        ),
        "The program ran as root on the host with nothing to confine it: isolate the node.",
        "Look for the container whose file it is (HW-114) or which wrote the value.",
    ),
    references=(
        "https://docs.kernel.org/admin-guide/sysctl/kernel.html",
        "https://man7.org/linux/man-pages/man5/core.5.html",
        "https://man7.org/linux/man-pages/man7/cgroups.7.html",
        "https://nvd.nist.gov/vuln/detail/CVE-2022-0492",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
