"""A container process opens a file by its handle, without a path.

open_by_handle_at(2) takes a number that the file system made of an inode, and asks for no path: whoever holds
CAP_DAC_READ_SEARCH and any file of a file system, /etc/hosts for instance, opens every file on it, also those that were
never mounted for him. The handle of a root directory is easily guessed ("shocker", 2014).

*Fires on:* a container process called open_by_handle_at. Critical when the file is on the file system of the host's
root, high when it is on another or the kernel had no such file, medium when the call was refused. File systems that
hold no files (pidfs, nsfs, cgroup) are left alone.
"""

from __future__ import annotations

from collectors.events import CallMade
from collectors.facts import Unknown
from detectors.base import (
    ESCAPE_TO_HOST,
    Detector,
    Family,
    Finding,
    Found,
    NodeView,
    Severity,
    Technique,
    Tier,
    actor,
)

CALL = "open_by_handle_at"
REFUSALS = frozenset({1, 13, 38})  # EPERM EACCES ENOSYS, asm-generic/errno.h
WITHOUT_FILES = frozenset({0x50494446, 0x6E736673, 0x27E0EB, 0x63677270})  # include/uapi/linux/magic.h


def check(event: CallMade, view: NodeView) -> Found:
    """Where the file is that was opened."""
    if event.call != CALL or event.file_system in WITHOUT_FILES:
        return
    member = yield from actor(event.process, view)
    if member is None:
        return
    if event.error in REFUSALS:
        what, severity = "was refused to open a file by its handle", Severity.MEDIUM
    elif event.error:
        what, severity = "tries handles of files that it was not given", Severity.HIGH
    else:
        root = view.host.root
        is_hosts = not isinstance(root, Unknown) and event.device == root.device
        what = "opened a file by its handle" + (", on the file system of the host's root" if is_hosts else "")
        severity = Severity.CRITICAL if is_hosts else Severity.HIGH
    yield Finding(
        what,
        member.container.id,
        event.process.key,
        evidence=(("error", event.error), ("file", event.path)),
        severity=severity,
        inherited=True,
    )


DETECTOR = Detector(
    id="HW-218",
    name="file_opened_by_handle",
    family=Family.TECHNIQUE,
    severity=Severity.HIGH,
    techniques=(
        ESCAPE_TO_HOST,
        Technique("T1006", "Direct Volume Access", "TA0005", "Defense Evasion"),
    ),
    wants=(CallMade,),
    check=check,
    weakest=Tier.EBPF,
    summary="A container process opened, or tried to open, a file by its handle.",
    benign=(
        "systemd and journald ask cgroups and pidfds by handle: silent.",
        "User-space NFS servers and backup tools open by handle what they were given: told; make an exception.",
        "fanotify listeners in a privileged pod turn events into files that way: told.",
    ),
    misses=(
        "Tiers below ebpf do not see the call; a file that is held is told by HW-104.",
        "name_to_handle_at, which only makes handles.",
        "The file system of the host's root by number: on btrfs the kernel's number is another one, then it is high.",
    ),
    advice=(
        "See which file it was, and what the process read or wrote next.",
        "Take CAP_DAC_READ_SEARCH from the workload; Docker's default set has not got it.",
    ),
    references=(
        "https://man7.org/linux/man-pages/man2/open_by_handle_at.2.html",
        "https://man7.org/linux/man-pages/man7/capabilities.7.html",
        "https://attack.mitre.org/techniques/T1006/",
    ),
)
