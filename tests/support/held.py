"""Descriptors of the kinds that ``collectors.notable`` keeps, and who holds them."""

from __future__ import annotations

import os
from typing import Any

from collectors.facts import Connection, Descriptor, DescriptorKind, FileId, Place, Process
from detectors.base import Blind, Detector, Finding, Member
from tests.support import build
from tests.support.view import judge

ANONYMOUS = Place(FileId(0x0F, 1), 15)


def namespace(kind: str, inode: int, number: int = 7) -> Descriptor:
    """A namespace."""
    place = Place(FileId(build.NSFS_DEVICE, inode), 4)
    return Descriptor(number, DescriptorKind.NAMESPACE, place, f"{kind}:[{inode}]".encode())


def device(kind: DescriptorKind, major: int, minor: int, target: bytes = b"/dev/x", number: int = 7) -> Descriptor:
    """A device node in the container's own /dev."""
    place = Place(FileId(0x201, 33), build.root_mount() + 2)
    return Descriptor(number, kind, place, target, os.makedev(major, minor))


def block(major: int, minor: int, **overrides: Any) -> Descriptor:
    """A block device."""
    return device(DescriptorKind.BLOCK_DEVICE, major, minor, **overrides)


def character(major: int, minor: int, **overrides: Any) -> Descriptor:
    """A character device."""
    return device(DescriptorKind.CHARACTER_DEVICE, major, minor, **overrides)


def anonymous(name: bytes, number: int = 7) -> Descriptor:
    """An inode without a file system, by the kernel's name for it."""
    return Descriptor(number, DescriptorKind.ANONYMOUS, ANONYMOUS, b"anon_inode:" + name)


def file(place: Place, target: bytes = b"/usr/bin/runc", number: int = 7) -> Descriptor:
    """A regular file."""
    return Descriptor(number, DescriptorKind.FILE, place, target)


def proc_file(target: bytes, mnt_id: int | None = None) -> Descriptor:
    """A file on a proc file system, by default the container's own."""
    place = Place(FileId(0x101, 4026532000), build.root_mount() + 1 if mnt_id is None else mnt_id)
    return file(place, target)


def stream(number: int, *, is_incoming: bool = False) -> Descriptor:
    """A standard stream that is a TCP connection."""
    connection = Connection("tcp", "172.17.0.2", 40000, "203.0.113.5", 4444, is_incoming)
    place = Place(FileId(build.SOCKFS_DEVICE, 555), 8)
    return Descriptor(number, DescriptorKind.SOCKET, place, b"socket:[555]", connection=connection)


def holding(*descriptors: Descriptor, **overrides: Any) -> Process:
    """A process of container 1 that holds these."""
    return build.process(descriptors=descriptors, **overrides)


def found(detector: Detector, *descriptors: Descriptor, member: Member | None = None, **facts: Any) -> Any:
    """What the detector says of a process of container 1 that holds these."""
    known = member or build.member(holding(*descriptors))
    return judge(detector, known, **facts)


def one(detector: Detector, *descriptors: Descriptor, member: Member | None = None, **facts: Any) -> Finding:
    """The one finding on a process of container 1 that holds these."""
    (finding,) = found(detector, *descriptors, member=member, **facts)
    assert isinstance(finding, Finding)
    return finding


def blind_cases(detector: Detector) -> list[Finding | Blind]:
    """What the detector says where descriptors, container and first process are not known, one after the other."""
    from collectors.facts import NOT_READ, Unknown
    from tests.support.view import FakeView, run, seen

    task = build.process(descriptors=NOT_READ)
    nobody = FakeView(members={task.key: Unknown("no container")})
    firstless = build.member(holding(block(8, 0)), first=Unknown("no first"), entry=Unknown("no first"))
    return [*judge(detector, build.member(task)), *run(detector, seen(task), nobody), *judge(detector, firstless)]


def blind_answers() -> list[Finding | Blind]:
    """What every detector of held descriptors must say in ``blind_cases``."""
    key = build.process().key
    return [Blind("descriptors: not_read", key), Blind("no container", key), Blind("first process: no first", key)]
