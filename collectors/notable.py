"""Which open descriptors of a container process are worth telling; a busy server's own are nobody's business.

Told are those that stand on no mount of the task's table, and whatever could lead out wherever it stands: namespaces,
block devices, dangerous character devices, consoles, bpf and other anonymous inodes, the runtimes' executables, and on
a proc file system the kernel's memory and that of processes. Pure: what they mean is the detectors' business.
"""

from __future__ import annotations

import re

from collectors.device_numbers import dangerous, is_console, is_pseudo_terminal
from collectors.facts import Descriptor, DescriptorKind, HostBaseline, Unknown

ANONYMOUS_PREFIX = b"anon_inode:"
ANONYMOUS = frozenset(
    {
        b"[fscontext]",  # fs/fsopen.c
        b"[io_uring]",  # io_uring/io_uring.c
        b"[perf_event]",  # kernel/events/core.c
        b"[userfaultfd]",  # fs/userfaultfd.c
        b"bpf-map",  # kernel/bpf/syscall.c, as all that follow
        b"bpf-prog",
        b"bpf-token",
        b"bpf_iter",
        b"bpf_link",
        b"btf",
    }
)
"""What the kernel calls inodes without a file system (``anon_inode_getfd``); the link's text is the kernel's own."""

MEMORY_FILE = re.compile(rb"/(kcore|(\d{1,10})(?:/task/\d{1,10})?/mem)\Z")
"""Names on a proc file system, which only the kernel gives: its own memory, and that of a process."""

_STANDARD_STREAMS = 3


def is_notable(
    descriptor: Descriptor, host: HostBaseline, *, mnt_ids: frozenset[int], proc_mnt_ids: frozenset[int]
) -> bool:
    """The descriptor is one to tell, for a task whose mount table has these mounts."""
    place = descriptor.place
    notable = False
    match descriptor.kind:
        case DescriptorKind.NAMESPACE | DescriptorKind.BLOCK_DEVICE:
            notable = True
        case DescriptorKind.CHARACTER_DEVICE if is_pseudo_terminal(descriptor.rdev):
            notable = place.mnt_id not in mnt_ids
        case DescriptorKind.CHARACTER_DEVICE:
            notable = dangerous(descriptor.rdev) is not None or is_console(descriptor.rdev)
        case DescriptorKind.ANONYMOUS:
            notable = anonymous_name(descriptor) in ANONYMOUS
        case DescriptorKind.FILE if place.file in host.runtime_binaries:
            notable = True
        case DescriptorKind.FILE if place.mnt_id in proc_mnt_ids:
            notable = MEMORY_FILE.search(descriptor.target) is not None
        case DescriptorKind.FILE | DescriptorKind.DIRECTORY:
            notable = place.mnt_id not in mnt_ids and place.file.device not in host.internal_devices
        case DescriptorKind.SOCKET:
            pass
    return notable


def anonymous_name(descriptor: Descriptor) -> bytes:
    """What the kernel calls an inode without a file system; empty for everything else."""
    is_anonymous = descriptor.kind is DescriptorKind.ANONYMOUS and descriptor.target.startswith(ANONYMOUS_PREFIX)
    return descriptor.target[len(ANONYMOUS_PREFIX) :] if is_anonymous else b""


def shared_streams(descriptors: tuple[Descriptor, ...] | Unknown) -> tuple[Descriptor, ...]:
    """The standard streams when input and an output are one socket: what somebody was given to talk through."""
    if isinstance(descriptors, Unknown):
        return ()
    streams = {each.number: each for each in descriptors if each.number < _STANDARD_STREAMS}
    first = streams.get(0)
    if first is None or first.kind is not DescriptorKind.SOCKET:
        return ()
    same = tuple(each for each in streams.values() if each.place.file == first.place.file)
    return same if len(same) > 1 else ()
