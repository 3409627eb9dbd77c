"""The root directory of a container process is the host's ``/``.

Every path that the process opens from then on is a path of the host. chroot(2) into a mounted host root,
pivot_root(2), setns(2) into the host's mount namespace and ``/proc/1/root`` all end in this one state.

*Fires on:* (device, inode) of the root of a task that belongs to a container is the host's ``/``, and that of the
container's first process is not. Judged by identity, so through any bind mount; a chroot into a directory of the
container's own image is another inode and silent.
"""

from __future__ import annotations

from collectors.confinement import Dimension, Widening
from collectors.events import CredentialChange, Exec, ProcessEvent, Seen
from collectors.facts import Unknown
from detectors.base import ESCAPE_TO_HOST, Blind, Detector, Family, Finding, Found, NodeView, Severity, Tier, actor


def check(event: ProcessEvent, view: NodeView) -> Found:
    """Compare the root of the task with the host's and with the first process'."""
    process = event.process
    member = yield from actor(process, view)
    if member is None:
        return
    if isinstance(member.first, Unknown):
        yield Blind(f"first process: {member.first.why}", process.key)
        return
    now, was, host = process.confinement.root, member.first.confinement.root, member.frame.root
    if isinstance(now, Unknown) or isinstance(was, Unknown) or isinstance(host, Unknown):
        missing = next(fact for fact in (now, was, host) if isinstance(fact, Unknown))
        yield Blind(f"root: {missing.why}", process.key)
    elif now.file == host != was.file:
        yield Finding(
            message="Its root directory is the host's /",
            container_id=member.container.id,
            subject=process.key,
            evidence=(
                ("root_device", now.file.device),
                ("root_inode", now.file.inode),
                ("through_given_mount", _is_given(now.mnt_id, member.frame.given_mounts)),
            ),
            widened=(Widening(Dimension.ROOT, "root", was, now),),
            inherited=True,
        )


def _is_given(mnt_id: int, given: frozenset[int] | Unknown) -> str:
    """Whether the container was given the mount that leads there: then the way out was declared."""
    if isinstance(given, Unknown):
        return "unknown"
    return "yes" if mnt_id in given else "no"


DETECTOR = Detector(
    id="HW-103",
    name="host_root_entered",
    family=Family.DRIFT,
    severity=Severity.CRITICAL,
    techniques=(ESCAPE_TO_HOST,),
    wants=(Seen, Exec, CredentialChange),
    check=check,
    compares=True,
    weakest=Tier.POLL,
    summary="The root directory of a container process is the host's /, and that of the container's first is not.",
    benign=(
        "apt, sshd, postfix, debootstrap and image builds chroot into directories of their own image: another inode.",
        "Containers that mount the host's root and only read below it (node-exporter) keep their own root.",
        (
            "Node agents that chroot into the mounted host root by design (system-upgrade-controller, "
            "node-problem-detector, "
            "some CSI drivers) do just what this rule is about: give them an exception by image, with a reason."
        ),
    ),
    misses=(
        (
            "A chroot into a directory below the host's /, such as a mounted /usr: nothing of it says host if "
            "the mount was "
            "given; HW-104 sees it when it was not, and HW-305 tells of the mount."
        ),
        "Another file system of the host that is not its root (a second disk): HW-104, HW-112.",
        "In the poll and netlink tiers, a process that enters and ends between two looks.",
    ),
    advice=(
        (
            "Treat the node's files as read and, unless the process was unprivileged, as changed: check "
            "persistence points."
        ),
        "through_given_mount says how: `yes` is a host root mounted by declaration, `no` is a way that nobody gave it.",
        "If the workload needs host files, mount the single directory, read-only, instead of /.",
    ),
    references=(
        "https://man7.org/linux/man-pages/man2/chroot.2.html",
        "https://man7.org/linux/man-pages/man2/pivot_root.2.html",
        "https://man7.org/linux/man-pages/man5/proc_pid_root.5.html",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
