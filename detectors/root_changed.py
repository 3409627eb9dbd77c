"""A container process makes a directory of the host its root.

chroot(2) into a mounted host directory takes one capability that every container of Docker has, and after it every path
means the host's: its programs, its libraries, its configuration. pivot_root(2) does the same to a mount namespace.

*Fires on:* after a system call the root of a container process is the host's ``/``, or stands on a mount that is in no
table of the container while its file system is one of the host's, or on a mount of the container whose source is one of
the host's places that lead into it (``collectors.host_places``). Medium when the kernel refused chroot or pivot_root. A
chroot into the image, a tmpfs or a plain volume is silent.
"""

from __future__ import annotations

from collectors.events import Refused, RootChange
from collectors.facts import FileId, Place, Unknown
from detectors.base import (
    ESCAPE_TO_HOST,
    Blind,
    Detector,
    Family,
    Finding,
    Found,
    Member,
    NodeView,
    Severity,
    Tier,
    actor,
)

CALLS = frozenset({"chroot", "pivot_root"})


def check(event: RootChange | Refused, view: NodeView) -> Found:
    """A refused attempt, or whose directory the new root is."""
    if isinstance(event, Refused) and event.call not in CALLS:
        return
    member = yield from actor(event.process, view)
    if member is None:
        return
    if isinstance(event, Refused):
        evidence = (("call", event.call), ("error", event.error))
        what, severity = f"was refused {event.call}", Severity.MEDIUM
        yield Finding(what, member.container.id, event.process.key, evidence, severity=severity, inherited=True)
        return
    where = _whose(member, view)
    if isinstance(where, Blind):
        yield where
    elif where is not None:
        yield Finding(
            f"changed its root to {where}",
            member.container.id,
            event.process.key,
            evidence=(("root", where),),
            inherited=True,
        )


def _whose(member: Member, view: NodeView) -> str | Blind | None:
    """What of the host the root of a task is; ``None`` where it is nothing of it."""
    process, first = member.process, member.first
    root = process.confinement.root
    if isinstance(root, Unknown) or isinstance(first, Unknown):
        return Blind(root.why if isinstance(root, Unknown) else "first process not known", process.key)
    own = first.confinement.root
    if isinstance(own, Place) and (own.mnt_id == root.mnt_id or own.file == root.file):
        return None
    if root.file == view.host.root:
        return "the host's /"
    mnt = first.confinement.namespaces.mnt
    table = Unknown("not_read: the mount namespace") if isinstance(mnt, Unknown) else view.mounts(mnt)
    if isinstance(table, Unknown):
        return Blind(table.why, process.key)
    mount = next((each for each in table if each.mnt_id == root.mnt_id), None)
    if mount is None:
        is_foreign = isinstance(mnt, int) and root.mnt_id not in view.mount_ids_ever(mnt)
        is_own_file_system = isinstance(own, Place) and own.file.device == root.file.device
        return (
            "a directory of the host" if is_foreign and not is_own_file_system and _is_hosts(root.file, view) else None
        )
    return _place(member, mount.point)


def _place(member: Member, point: bytes) -> str | None:
    """The place of the host that a mount of the container leads to."""
    sources = member.container.sources
    for source in () if isinstance(sources, Unknown) else sources:
        if source.destination.encode("utf-8", "surrogateescape") == point and source.reached:
            return f"the host's {source.path}"
    return None


def _is_hosts(file: FileId, view: NodeView) -> bool:
    """It is on a file system that the host has mounted."""
    namespace = view.host.namespaces.mnt
    table = () if isinstance(namespace, Unknown) else view.mounts(namespace)
    return any(each.device == file.device for each in (() if isinstance(table, Unknown) else table))


DETECTOR = Detector(
    id="HW-202",
    name="root_changed",
    family=Family.TECHNIQUE,
    severity=Severity.HIGH,
    techniques=(ESCAPE_TO_HOST,),
    wants=(RootChange, Refused),
    check=check,
    weakest=Tier.EBPF,
    summary="A container process changed its root to a directory of the host, or was refused to.",
    benign=(
        "chroot by apt, sshd, postfix, debootstrap and builds: into the image, a tmpfs or a volume: silent.",
        "A container engine inside a container pivots to file systems of its own making: silent.",
        "A node agent that does chroot /host (kubectl debug node, machine-config daemons) by design: told.",
    ),
    misses=(
        "Tiers below ebpf tell of the root that is held (HW-103, HW-104), not of the call, and not of a refused one.",
        "A directory of the host that is none of the known places, mounted as a volume: it is taken for a volume.",
        "With a storage driver without overlay, host directories on the image's own file system by a foreign mount.",
    ),
    advice=(
        "Look for HW-103 beside it, and at what the process ran next: those were the host's programs and files.",
        "Mount less of the host, read-only, and drop CAP_SYS_CHROOT.",
    ),
    references=(
        "https://man7.org/linux/man-pages/man2/chroot.2.html",
        "https://man7.org/linux/man-pages/man2/pivot_root.2.html",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
