"""The node itself: where its /proc, /sys and root file system are seen, bounded reads, and the host's baseline.

The baseline is the host end of every dimension of confinement. It is pid 1's where pid 1 can be read. Where it cannot
(a hardened node refuses even root), the initial namespaces have constant inodes (``include/linux/proc_ns.h``; for mnt
and net since kernel 6.17), kthreadd (pid 2) lives in them, and the agent's own view stands for the host's only where
it proves to be it. What none of these can tell is ``Unknown``.

Sources: namespaces(7), proc(5), ``Documentation/ABI/testing/procfs-*``, ``/sys/class/block/*/dev``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from collectors.bounded import read_bounded, unknown
from collectors.devices import device_of, find_internal_devices, read_block_devices
from collectors.errors import CollectorError, Malformed, from_os_error
from collectors.facts import NAMESPACE_KINDS, FileId, HostBaseline, Mount, Namespaces, Unknown
from collectors.hosttree import read_below
from collectors.proc.mountinfo import parse_mountinfo
from collectors.proc.ns import parse_ns_link
from collectors.proc.stat import parse_stat
from collectors.proc.status import parse_status
from collectors.programs import KERNEL_HELPERS, find_all_trusted, find_runtimes, parse_core_pattern, parse_program

# include/linux/proc_ns.h (include/uapi/linux/nsfs.h from 6.18 on): inodes of the initial namespaces
INITIAL_NAMESPACES = {
    "ipc": 0xEFFFFFFF,
    "uts": 0xEFFFFFFE,
    "user": 0xEFFFFFFD,
    "pid": 0xEFFFFFFC,
    "cgroup": 0xEFFFFFFB,
    "time": 0xEFFFFFFA,
}
INITIAL_NAMESPACES_SINCE_6_17 = {"net": 0xEFFFFFF9, "mnt": 0xEFFFFFF8}

REMOTE_TYPES = (b"nfs", b"cifs", b"smb", b"fuse", b"ceph", b"9p", b"afs", b"lustre", b"gpfs", b"glusterfs")
"""How types of file systems begin whose server may be dead, or a container: who touches one may wait for ever."""

_MAX_MOUNTINFO_BYTES = 8 << 20
_MAX_VALUE_BYTES = 4096
_CLOCK_SET_NS = 1_000_000_000  # what differs by less is drift, and no news
_NO_FACT = Unknown("not_read")


@dataclass(frozen=True, slots=True)
class Roots:
    """Where the node's /proc, /sys and root file system are seen from here."""

    proc: str = "/proc"
    sys: str = "/sys"
    host: str = "/"


def detect_roots(proc: str = "/proc", sys: str = "/sys") -> Roots:
    """The roots on this node: the host's files are at ``/proc/1/root`` when we stand in another mount namespace."""
    if _links(f"{proc}/self", "mnt") == _links(f"{proc}/1", "mnt"):
        return Roots(proc, sys, "/")
    through_pid1 = f"{proc}/1/root"
    try:
        os.close(os.open(through_pid1, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError:
        return Roots(proc, sys, "/")
    return Roots(proc, sys, through_pid1)


def read_baseline(roots: Roots, clock_ns: Callable[[], int]) -> HostBaseline:
    """The host's baseline, read once at start; ``clock_ns`` is wall time in nanoseconds since the epoch."""
    helper_paths = frozenset({*KERNEL_HELPERS, *_configured_helpers(roots)})
    namespaces, source = _read_host_namespaces(roots)
    memfd_device, internal_devices = find_internal_devices()
    nsfs_device = device_of(lambda: os.stat(f"{roots.proc}/self/ns/mnt").st_dev)
    return HostBaseline(
        namespaces=namespaces,
        root=_read_host_root(roots, namespaces),
        boot_id=read_boot_id(roots),
        boot_time_ns=_read_boot_time(clock_ns),
        ticks_per_second=os.sysconf("SC_CLK_TCK"),
        source=source,
        internal_devices=internal_devices | ({nsfs_device} if isinstance(nsfs_device, int) else frozenset()),
        memfd_device=memfd_device,
        nsfs_device=nsfs_device,
        block_devices=frozenset(read_block_devices(roots.sys)),
        known_helpers=find_all_trusted(roots.host, helper_paths),
        helper_paths=helper_paths,
        runtime_binaries=find_runtimes(roots.host),
        bounding=_read_bounding(roots),
        lsms=read_lsms(roots),
    )


def refresh_baseline(host: HostBaseline, roots: Roots, clock_ns: Callable[[], int]) -> HostBaseline:
    """The baseline with what a node's upkeep changes: disks that came and went, programs that were upgraded.

    Another time of boot too: it is the wall clock's, and somebody may have set that, at start as a rule.

    A value that the kernel was given since (another ``core_pattern``) makes its program no known helper.
    """
    boot_time_ns = _read_boot_time(clock_ns)
    return replace(
        host,
        block_devices=frozenset(read_block_devices(roots.sys)),
        known_helpers=find_all_trusted(roots.host, host.helper_paths),
        runtime_binaries=find_runtimes(roots.host),
        boot_time_ns=host.boot_time_ns if abs(boot_time_ns - host.boot_time_ns) < _CLOCK_SET_NS else boot_time_ns,
    )


def _read_boot_time(clock_ns: Callable[[], int]) -> int:
    return clock_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def read_lsms(roots: Roots) -> frozenset[str] | Unknown:
    """The active security modules (``Documentation/admin-guide/LSM/index.rst``).

    Without securityfs, what the modules themselves show: AppArmor's parameter, SELinux' file system.
    """
    source = "sys/kernel/security/lsm"
    listed = _read_value(f"{roots.sys}/kernel/security/lsm")
    if listed:
        return frozenset(listed.decode("ascii", "replace").split(","))
    if not os.path.isdir(f"{roots.sys}/kernel"):
        return Unknown(f"gone: {source}")
    has_apparmor = _read_value(f"{roots.sys}/module/apparmor/parameters/enabled") == b"Y"
    has_selinux = os.path.exists(f"{roots.sys}/fs/selinux/enforce")
    shown = (("apparmor", has_apparmor), ("selinux", has_selinux))
    return frozenset(name for name, is_there in shown if is_there)


def _read_bounding(roots: Roots) -> int | Unknown:
    """The bounding set of pid 1."""
    try:
        data = read_bounded(f"{roots.proc}/1/status", _MAX_VALUE_BYTES, source="proc/status")
        return parse_status(data).capabilities.bounding
    except CollectorError as error:
        return unknown(error)


def read_boot_id(roots: Roots) -> str:
    """The kernel's random id of this boot (random(4)); empty when it cannot be read."""
    return _read_value(f"{roots.proc}/sys/kernel/random/boot_id").decode("ascii", "replace")


def _read_host_namespaces(roots: Roots) -> tuple[Namespaces, str]:
    """The host's namespaces and how they were learnt: ``pid1`` or ``kernel``."""
    first = {kind: _links(f"{roots.proc}/1", kind) for kind in NAMESPACE_KINDS}
    if isinstance(first["mnt"], int):
        return Namespaces(**first), "pid1"
    own = {kind: _links(f"{roots.proc}/self", kind) for kind in NAMESPACE_KINDS}
    if own["pid"] != INITIAL_NAMESPACES["pid"]:
        # A nested "host" (a kind node): the kernel's constants are not this one's.
        return Namespaces(**first), "kernel"
    kthreadd = {kind: _links(f"{roots.proc}/2", kind) for kind in NAMESPACE_KINDS} if _is_kthreadd(roots) else {}
    return Namespaces(**{kind: _initial(kind, kthreadd, own, first[kind]) for kind in NAMESPACE_KINDS}), "kernel"


def _initial(
    kind: str, kthreadd: dict[str, int | Unknown], own: dict[str, int | Unknown], refused: int | Unknown
) -> int | Unknown:
    """The initial namespace of one kind, for an agent in the initial pid namespace: kthreadd's, else the constant."""
    seen = kthreadd.get(kind, _NO_FACT)
    if isinstance(seen, int):
        return seen
    if kind in INITIAL_NAMESPACES:
        return INITIAL_NAMESPACES[kind]
    constant = INITIAL_NAMESPACES_SINCE_6_17[kind]
    # Older kernels number these like any other, and the agent's own may be its pod's.
    return constant if own[kind] == constant else refused


def _is_kthreadd(roots: Roots) -> bool:
    """Pid 2 is the kernel's thread of that name, which nobody can be made to look like: it has no parent."""
    try:
        stat = parse_stat(read_bounded(f"{roots.proc}/2/stat", _MAX_VALUE_BYTES, source="proc/stat"))
    except CollectorError:
        return False
    return stat.is_kernel_thread and stat.parent_pid == 0


def _links(process: str, kind: str) -> int | Unknown:
    """The inode of one namespace of a process, given as its directory."""
    source = f"proc/ns/{kind}"
    try:
        return parse_ns_link(os.readlink(os.fsencode(f"{process}/ns/{kind}")), kind)
    except OSError as error:
        return unknown(from_os_error(source, error))
    except Malformed as error:
        return unknown(error)


def _read_host_root(roots: Roots, namespaces: Namespaces) -> FileId | Unknown:
    """The host's ``/``: pid 1's, else the agent's own if it stands in the host's mount namespace."""
    try:
        root = os.stat(f"{roots.proc}/1/root")
    except OSError as error:
        if namespaces.mnt != _links(f"{roots.proc}/self", "mnt") or isinstance(namespaces.mnt, Unknown):
            return unknown(from_os_error("proc/root", error))
        root = os.stat(roots.host)
    return FileId(root.st_dev, root.st_ino)


def _configured_helpers(roots: Roots) -> Iterator[bytes]:
    """The programs that the kernel is configured, now, to run by itself."""
    kernel = f"{roots.proc}/sys/kernel"
    found = [
        parse_program(_read_value(f"{kernel}/modprobe")),
        parse_program(_read_value(f"{kernel}/poweroff_cmd")),
        parse_program(_read_value(f"{roots.sys}/kernel/uevent_helper")),
        parse_program(_read_value(f"{roots.sys}/module/nfs/parameters/cache_getent")),
        parse_core_pattern(_read_value(f"{kernel}/core_pattern")),
        *(_read_release_agent(roots, mount) for mount in read_host_mounts(roots) if mount.fs_type == b"cgroup"),
    ]
    yield from (path for path in found if path is not None)


def read_host_mounts(roots: Roots) -> tuple[Mount, ...]:
    """The host's mount table: pid 1's, else our own; empty when neither can be read."""
    for process in ("1", "self"):
        try:
            data = read_bounded(f"{roots.proc}/{process}/mountinfo", _MAX_MOUNTINFO_BYTES, source="proc/mountinfo")
            if data:
                return parse_mountinfo(data)
        except CollectorError:
            continue
    return ()


def _read_release_agent(roots: Roots, mount: Mount) -> bytes | None:
    """The program that a cgroup v1 hierarchy runs when a cgroup empties (cgroups(7)); ``None`` when it has none."""
    try:
        return parse_program(read_below(roots.host, mount.point + b"/release_agent", _MAX_VALUE_BYTES))
    except CollectorError:
        return None


def _read_value(path: str) -> bytes:
    """One value of sysctl or sysfs without its newline; empty when there is none."""
    try:
        return read_bounded(path, _MAX_VALUE_BYTES, source=path).rstrip(b"\n")
    except CollectorError:
        return b""
