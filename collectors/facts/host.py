"""The host: its end of every dimension."""

from __future__ import annotations

from dataclasses import dataclass

from collectors.facts.confinement import Namespaces
from collectors.facts.identity import NOT_READ, FileId, Unknown


@dataclass(frozen=True, slots=True)
class HostBaseline:
    """The host end of every dimension, as the agent could learn it.

    ``source`` says how: ``pid1`` when it could be read, else ``kernel`` (the initial namespaces' constant inodes,
    ``include/linux/proc_ns.h``, checked against what host processes show) and the agent's own view.
    ``internal_devices`` are ``st_dev`` numbers of file systems inside the kernel (memfd, pipefs, nsfs, pidfs, ...).
    ``block_devices`` are the ``st_rdev`` (and, once mounted, ``st_dev``) numbers of the node's disks and partitions.
    ``known_helpers`` are the programs that the kernel was configured to run at start (modprobe, core_pattern's, ...),
    ``helper_paths`` their paths: an upgrade replaces the file, and only that is followed.
    ``runtime_binaries`` are the executables of container runtimes and the kubelet. ``bounding`` is the bounding set of
    pid 1: no container gets more. ``lsms`` are the active security modules (``/sys/kernel/security/lsm``).
    """

    namespaces: Namespaces
    root: FileId | Unknown
    boot_id: str
    boot_time_ns: int
    ticks_per_second: int
    source: str
    internal_devices: frozenset[int]
    memfd_device: int | Unknown
    nsfs_device: int | Unknown
    block_devices: frozenset[int]
    known_helpers: frozenset[FileId]
    helper_paths: frozenset[bytes]
    runtime_binaries: frozenset[FileId]
    bounding: int | Unknown = NOT_READ
    lsms: frozenset[str] | Unknown = NOT_READ
