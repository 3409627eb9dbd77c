"""A container process holds a directory or file on a mount that its container was never given.

One directory of the host, held as working directory, root, executable or open descriptor, is a door: everything below
it, and through ``..`` everything above it, can be opened from there. CVE-2024-21626 (a descriptor leaked by runc),
``/proc/PID/cwd`` of a host process, descriptors passed over a socket and detached mounts all look like this.

*Fires on:* cwd, root, exe, or an open descriptor of a directory or regular file of a task that belongs to a container
stands on a mount (``mnt_id``) that is in no mount table of the container, now or before: neither in its own nor, for a
task in a mount namespace that the container made itself, in that one. The host's ``/`` as root is HW-103's matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from collectors.confinement import Dimension, Frame, Widening
from collectors.events import CredentialChange, Exec, ProcessEvent, Seen
from collectors.facts import DescriptorKind, FileId, Place, Process, Unknown
from detectors.base import (
    ESCAPE_TO_HOST,
    Blind,
    Confidence,
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

_STANDARD_STREAMS = 3  # descriptors 0 to 2, which a runtime may connect to files of the host
_FILES = frozenset({DescriptorKind.DIRECTORY, DescriptorKind.FILE})


def check(event: ProcessEvent, view: NodeView) -> Found:
    """Look up the mount of everything that the task holds in the tables of its container."""
    process = event.process
    member = yield from actor(process, view)
    if member is None:
        return
    if isinstance(member.first, Unknown):
        yield Blind(f"first process: {member.first.why}", process.key)
        return
    foreign: list[tuple[str, Place]] = []
    strange = [each for each in _held(member, view.host.internal_devices) if not _stands_on(each[1], member.frame)]
    is_plain = all(isinstance(place, Unknown) for _, place in strange)  # so it is for most events
    tables = _NO_TABLES if is_plain else _tables(member, view)
    for name, place in strange:
        answer = place if isinstance(place, Unknown) else tables.is_foreign(place)
        if isinstance(answer, Unknown):
            yield Blind(f"{name}: {answer.why}", process.key)
        elif answer and isinstance(place, Place):
            foreign.append((name, place))
    if foreign:
        kinds = tuple(dict.fromkeys(name.split("_")[0] for name, _ in foreign))
        on_host_root = any(_is_on(place, member.frame.root) for _, place in foreign)
        yield Finding(
            message=f"It holds what is on no mount of its container: {', '.join(name for name, _ in foreign[:8])}",
            container_id=member.container.id,
            subject=process.key,
            evidence=(
                ("held", kinds),
                ("devices", tuple(sorted({place.file.device for _, place in foreign}))),
                ("mount_ids", tuple(sorted({place.mnt_id for _, place in foreign}))),
            ),
            widened=tuple(Widening(Dimension.ROOT, name, _was(name, member.first), place) for name, place in foreign),
            severity=Severity.CRITICAL if on_host_root else Severity.HIGH,
            confidence=Confidence.LIKELY if tables.is_nested else Confidence.CERTAIN,
            inherited=True,
        )


@dataclass(frozen=True, slots=True)
class _Tables:
    """The mounts that count as given, and the host's; ``doubt`` says why the container's own may be incomplete."""

    given: frozenset[int]
    host: frozenset[int]
    gone: frozenset[int]
    devices: frozenset[int]
    doubt: Unknown | None
    is_nested: bool

    def is_foreign(self, place: Place) -> bool | Unknown:
        """The present tables come first, because the kernel gives ids of mounts that are gone to new ones."""
        if place.mnt_id in self.given:
            return False
        if place.mnt_id in self.host:
            return True
        if place.mnt_id in self.gone or place.file.device in self.devices:
            return False
        return True if self.doubt is None else self.doubt


_NO_TABLES = _Tables(frozenset(), frozenset(), frozenset(), frozenset(), None, is_nested=False)


def _stands_on(place: Place | Unknown, frame: Frame) -> bool:
    """It stands on a mount that the container was given."""
    if isinstance(place, Unknown) or isinstance(frame.given_mounts, Unknown):
        return False
    return place.mnt_id in frame.given_mounts


def _tables(member: Member, view: NodeView) -> _Tables:
    """The mount tables of the container and, in a mount namespace that it made itself, of the task.

    A detached mount of a file system that is the container's own anyway (its overlay, its tmpfs) opens no door, so
    devices count too: all but the node's disks, of which the container has single directories (``/etc/hosts``).
    """
    assert isinstance(member.first, Process)
    frame, own, home = member.frame, _mnt(member.process), _mnt(member.first)
    doubt = frame.given_mounts if isinstance(frame.given_mounts, Unknown) else None
    given = frozenset[int]() if isinstance(frame.given_mounts, Unknown) else frame.given_mounts
    host, _ = _mounts(frame.namespaces.mnt, view)
    known, devices = _mounts(home, view)
    gone = frozenset[int]() if isinstance(home, Unknown) else view.mount_ids_ever(home)
    given |= known
    nested = False
    if isinstance(own, Unknown) or isinstance(frame.namespaces.mnt, Unknown):
        doubt = doubt or Unknown("mount namespace not known")
    elif own not in (home, frame.namespaces.mnt) and not view.namespace_owners("mnt", own):
        nested = True
        table, more = _mounts(own, view)
        root = member.process.confinement.root
        # A chrooted reader sees only the mounts below its root (proc_pid_mountinfo(5)).
        if isinstance(root, Unknown) or root.mnt_id not in table:
            doubt = doubt or Unknown("mount table of its own namespace is missing, or cut by a chroot")
        given, devices, gone = given | table, devices | more, gone | view.mount_ids_ever(own)
    disks = view.host.block_devices
    if isinstance(frame.root, FileId):
        disks |= {frame.root.device}
    # `host - given`: a container that was started in the host's mount namespace was given all of it.
    return _Tables(given, host - given, gone, devices - disks, doubt, nested)


def _mounts(mnt_namespace: int | Unknown, view: NodeView) -> tuple[frozenset[int], frozenset[int]]:
    """The ids and devices in the present table of a mount namespace; nothing where it is not known."""
    table = () if isinstance(mnt_namespace, Unknown) else view.mounts(mnt_namespace)
    if isinstance(table, Unknown):
        return frozenset(), frozenset()
    return frozenset(mount.mnt_id for mount in table), frozenset(mount.device for mount in table)


def _held(member: Member, internal_devices: frozenset[int]) -> Iterator[tuple[str, Place | Unknown]]:
    """Everything that stands on a mount, by name; descriptors that are not read are one ``Unknown``."""
    process = member.process
    root, executable = process.confinement.root, process.executable
    if isinstance(root, Unknown) or root.file != member.frame.root:
        yield "root", root
    yield "cwd", process.confinement.cwd
    exe = executable if isinstance(executable, Unknown) else executable.place
    if isinstance(exe, Unknown) or exe.file.device not in internal_devices:
        yield "exe", exe
    if isinstance(process.descriptors, Unknown):
        yield "descriptors", process.descriptors
        return
    streams = _streams(member.entry)
    for each in process.descriptors:
        if each.kind not in _FILES or each.place.file.device in internal_devices:
            continue
        may_be_stream = each.kind is DescriptorKind.FILE and each.number < _STANDARD_STREAMS
        if isinstance(streams, Unknown) and may_be_stream and not _stands_on(each.place, member.frame):
            yield f"descriptor_{each.number}", streams
        elif isinstance(streams, Unknown) or each.place.file not in streams:
            yield f"descriptor_{each.number}", each.place


def _streams(entry: Process | Unknown) -> frozenset[FileId] | Unknown:
    """Regular files that the runtime connected to the standard streams: given, wherever they stand."""
    if isinstance(entry, Unknown) or isinstance(entry.descriptors, Unknown):
        return Unknown("standard streams of the entry process not known")
    return frozenset(
        each.place.file
        for each in entry.descriptors
        if each.kind is DescriptorKind.FILE and each.number < _STANDARD_STREAMS
    )


def _mnt(process: Process) -> int | Unknown:
    return process.confinement.namespaces.mnt


def _is_on(place: Place, host_root: FileId | Unknown) -> bool:
    return isinstance(host_root, FileId) and place.file.device == host_root.device


def _was(name: str, first: Process) -> object:
    return getattr(first.confinement, name, None)


DETECTOR = Detector(
    id="HW-104",
    name="foreign_directory_held",
    family=Family.DRIFT,
    severity=Severity.CRITICAL,
    techniques=(ESCAPE_TO_HOST,),
    wants=(Seen, Exec, CredentialChange),
    check=check,
    weakest=Tier.POLL,
    summary="cwd, root, exe or an open directory or file of a container process is on no mount of its container.",
    benign=(
        (
            "Sandboxes in a container (bubblewrap, browsers, rootless builders) make mount namespaces of their own and "
            "detach their old root: their own table, mounts seen before, and the container's own file systems "
            "count as given."
        ),
        "A file of the host on descriptors 0 to 2, which the runtime opened as log or input: the entry process has it.",
        "Descriptors of pipes, sockets, devices, memfds and namespaces stand on no mount.",
        "Reading a hostPath volume, / included: the mount was given (HW-305 tells of it).",
    ),
    misses=(
        "A descriptor that is closed again between two looks; descriptors that the sweep did not read (told as blind).",
        "A directory of a file system that the container has whole and that is no disk, through somebody else's mount.",
        "open_by_handle_at(2): the file opened is the host's, the mount is the container's (HW-218).",
        "Before the agent knew the table of a mount namespace that the container made itself (told as blind).",
    ),
    advice=(
        "exe, root or cwd on the host's disk: the container has the host's files; isolate the node.",
        (
            "A first process with a foreign cwd points at its image or its exec's working directory: "
            "CVE-2024-21626, update runc."
        ),
        "A descriptor that came over a socket: find the process of the host that passed it.",
    ),
    references=(
        "https://github.com/opencontainers/runc/security/advisories/GHSA-xr7r-f8xq-vfvv",
        "https://man7.org/linux/man-pages/man5/proc_pid_fdinfo.5.html",
        "https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html",
        "https://attack.mitre.org/techniques/T1611/",
    ),
)
