"""The values everything else speaks in: processes, files, mounts, containers, pods, and what we could not tell.

All are frozen and hashable. Nothing here does I/O. Names are the kernel's, the OCI runtime
specification's and Kubernetes' own. Bytes stay bytes: whatever a container can name is hostile, and text
is made of it only at the edge (``agent.text``). The order of confinements lives in ``collectors.confinement``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from collectors.pod_facts import PodDetails


@dataclass(frozen=True, slots=True)
class Unknown:
    """A fact that could not be had, with the reason; never equal to a fact, never wider or narrower than one.

    ``why`` starts with the kind of the error (``denied``, ``gone``, ``malformed``, ``too_large``,
    ``unsupported``) or with ``not_read`` where nobody looked.
    """

    why: str


NOT_READ = Unknown("not_read")


class ProcessKey(NamedTuple):
    """The identity of a task: its thread id in the host's pid namespace and its start, in clock ticks since boot.

    A pid alone is never an identity. For a process this is the thread group leader's id.
    """

    pid: int
    start_ticks: int


class FileId(NamedTuple):
    """The identity of a file: ``st_dev`` and ``st_ino``. A path is only evidence."""

    device: int
    inode: int


class Place(NamedTuple):
    """Where a directory or file descriptor stands: which file, and on which mount (``mnt_id``)."""

    file: FileId
    mnt_id: int


@dataclass(frozen=True, slots=True)
class Namespaces:
    """The inode of each namespace of a task (``/proc/PID/ns/*``, namespaces(7))."""

    mnt: int | Unknown
    pid: int | Unknown
    net: int | Unknown
    ipc: int | Unknown
    uts: int | Unknown
    user: int | Unknown
    cgroup: int | Unknown
    time: int | Unknown


NAMESPACE_KINDS = ("mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time")


@dataclass(frozen=True, slots=True)
class Ids:
    """Real, effective, saved and file-system id, as ``/proc/PID/status`` gives them (host's user namespace)."""

    real: int
    effective: int
    saved: int
    fs: int


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The five capability sets as bit masks (capabilities(7)); they mean something only in their user namespace."""

    inheritable: int
    permitted: int
    effective: int
    bounding: int
    ambient: int


class SeccompMode(StrEnum):
    """``Seccomp:`` of ``/proc/PID/status`` (seccomp(2))."""

    DISABLED = "disabled"
    STRICT = "strict"
    FILTER = "filter"


@dataclass(frozen=True, slots=True)
class Seccomp:
    """Seccomp mode and number of filters (``Seccomp_filters``, kernel 5.9 and later)."""

    mode: SeccompMode
    filters: int | Unknown


@dataclass(frozen=True, slots=True)
class CgroupMembership:
    """One line of ``/proc/PID/cgroup``: ``hierarchy`` 0 with no controllers is cgroup v2."""

    hierarchy: int
    controllers: bytes
    path: bytes


@dataclass(frozen=True, slots=True)
class Confinement:
    """What confines one task: the vector that the whole program compares (see ``collectors.confinement``).

    ``lsm_label`` is ``None`` where the kernel labels no tasks (no AppArmor, no SELinux).
    """

    namespaces: Namespaces
    root: Place | Unknown
    cwd: Place | Unknown
    uids: Ids | Unknown
    gids: Ids | Unknown
    capabilities: Capabilities | Unknown
    no_new_privs: bool | Unknown
    seccomp: Seccomp | Unknown
    lsm_label: bytes | Unknown | None
    cgroups: tuple[CgroupMembership, ...] | Unknown


class Layer(StrEnum):
    """Where an executable comes from, seen from its container."""

    IMAGE = "image"
    UPPER = "upper"  # overlay's upper directory: written after the container was created
    CHANGED = "changed"  # no overlay to ask, but the inode changed after the container started
    TMPFS = "tmpfs"
    VOLUME = "volume"
    MEMFD = "memfd"
    FOREIGN = "foreign"  # on a mount that the container was never given


@dataclass(frozen=True, slots=True)
class Executable:
    """The file a process runs. ``path`` is what the kernel prints for ``/proc/PID/exe``: evidence, not identity.

    ``layer`` is judged against the container's mount table, and ``NOT_READ`` for processes of the host.
    """

    path: bytes
    place: Place | Unknown
    mode: int
    owner_uid: int
    links: int
    changed_ns: int
    layer: Layer | Unknown = NOT_READ

    @property
    def is_unlinked(self) -> bool:
        """No directory names the file any more (``st_nlink`` 0): deleted, or a memfd."""
        return self.links == 0


class DescriptorKind(StrEnum):
    """What an open descriptor is, as far as the detectors care."""

    DIRECTORY = "directory"
    FILE = "file"
    NAMESPACE = "namespace"
    BLOCK_DEVICE = "block_device"
    CHARACTER_DEVICE = "character_device"
    SOCKET = "socket"
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Connection:
    """A network connection: ``is_incoming`` when the local port is one that somebody in the same namespace serves."""

    protocol: str  # tcp, udp
    local: str
    local_port: int
    remote: str
    remote_port: int
    is_incoming: bool


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One open descriptor of a process; ``rdev`` is ``st_rdev`` for device nodes, ``target`` the link text.

    ``connection`` is known of a network socket that stands on several of the standard streams.
    """

    number: int
    kind: DescriptorKind
    place: Place
    target: bytes
    rdev: int = 0
    connection: Connection | None = None


@dataclass(frozen=True, slots=True)
class Process:
    """One task as it was observed at one moment; a thread has ``thread_of`` set and is reported only when it differs.

    ``start_ticks`` (in ``key``) is field 22 of ``/proc/PID/stat``. ``image_mark`` changes at every exec and at nothing
    else (fields 26-28 of stat, in one number). ``observed_ns`` is wall time, nanoseconds since the epoch. ``arguments``
    is the raw, NUL-separated ``/proc/PID/cmdline``, cut at 4 KiB. ``tty`` is the device number of its controlling
    terminal, 0 where it has none.
    """

    key: ProcessKey
    parent_pid: int
    name: bytes
    arguments: bytes
    executable: Executable | Unknown
    confinement: Confinement
    ns_pid: int
    is_kernel_thread: bool
    image_mark: int | Unknown
    observed_ns: int
    thread_of: ProcessKey | None = None
    descriptors: tuple[Descriptor, ...] | Unknown = NOT_READ
    tty: int = 0


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of ``/proc/PID/mountinfo`` (proc_pid_mountinfo(5)); octal escapes are undone, bytes stay bytes."""

    mnt_id: int
    parent_id: int
    device: int  # major:minor as st_dev encodes it
    root: bytes
    point: bytes
    options: tuple[bytes, ...]
    shared: int | None  # peer group it propagates in
    master: int | None  # peer group it receives from
    fs_type: bytes
    source: bytes
    super_options: tuple[bytes, ...]

    @property
    def is_read_only(self) -> bool:
        """The mount refuses writes (the per-mount flag; the file system below may still be written elsewhere)."""
        return b"ro" in self.options


@dataclass(frozen=True, slots=True)
class Pod:
    """The Kubernetes pod that a container belongs to: from its bundle's annotations, else the kubelet's or the API's.

    ``container_name`` is empty where only the pod is known.
    """

    namespace: str
    name: str
    uid: str
    container_name: str
    is_sandbox: bool


@dataclass(frozen=True, slots=True)
class DeclaredMount:
    """One entry of ``mounts`` in the OCI bundle."""

    destination: str
    source: str
    fs_type: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeclaredNamespace:
    """One entry of ``linux.namespaces``; ``path`` is set when the container joins an existing namespace."""

    kind: str  # as in NAMESPACE_KINDS
    path: str | None


@dataclass(frozen=True, slots=True)
class DeviceRule:
    """One entry of ``linux.resources.devices``: what the device cgroup allows or denies; ``None`` is any number."""

    allow: bool
    kind: str  # a, b, c
    major: int | None
    minor: int | None
    access: str


@dataclass(frozen=True, slots=True)
class Declared:
    """The declared confinement: what the OCI bundle (``config.json``) told the runtime to build.

    A namespace kind that ``namespaces`` does not name is shared with the runtime, so with the host.
    ``seccomp`` says whether a filter is asked for. ``root_path`` is the root file system on the host.
    ``container_hooks`` are those of ``hooks`` that run in the container's namespaces (``createContainer``).
    """

    namespaces: tuple[DeclaredNamespace, ...]
    capabilities: Capabilities
    no_new_privs: bool
    seccomp: bool
    apparmor_profile: str | None
    selinux_label: str | None
    mounts: tuple[DeclaredMount, ...]
    masked_paths: tuple[str, ...]
    readonly_paths: tuple[str, ...]
    device_rules: tuple[DeviceRule, ...]
    uid: int
    gid: int
    arguments: tuple[str, ...]
    environment: tuple[str, ...]
    working_directory: str
    root_path: str
    root_readonly: bool
    terminal: bool
    cgroups_path: str
    hooks: tuple[str, ...]
    sysctls: tuple[tuple[str, str], ...]
    annotations: tuple[tuple[str, str], ...]
    container_hooks: tuple[str, ...] = ()

    def namespace(self, kind: str) -> DeclaredNamespace | None:
        """The declared namespace of that kind, ``None`` when it is shared with the host."""
        return next((each for each in self.namespaces if each.kind == kind), None)


class Reach(StrEnum):
    """How the source of a mount stands to a place of the host."""

    IS = "is"
    ABOVE = "above"  # a directory above it: the place comes with it
    BELOW = "below"  # something in it


@dataclass(frozen=True, slots=True)
class Reached:
    """A place of the host that comes with a mount, and how: an entry of ``collectors.host_places``, or a socket.

    ``server`` is who listens on a governing socket (``collectors.governors``), empty where nobody was found.
    """

    place: str
    reach: Reach
    server: str = ""


class FileKind(StrEnum):
    """What a file is."""

    DIRECTORY = "directory"
    REGULAR = "regular"
    SOCKET = "socket"
    BLOCK_DEVICE = "block_device"
    CHARACTER_DEVICE = "character_device"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class MountSource:
    """The source of one declared bind mount, found on the host's side when the bundle was read.

    ``path`` is its real path on the host. Where ``file`` is ``Unknown`` it is the declared one, and ``reached`` is told
    by the path alone.
    """

    destination: str
    path: str
    is_read_only: bool
    file: FileId | Unknown
    kind: FileKind | Unknown
    reached: tuple[Reached, ...]


@dataclass(frozen=True, slots=True)
class Container:
    """A container as the node shows it: identity, what was declared, which process is its first.

    ``declared`` is ``Unknown`` when no bundle was found or could be read: ``Unknown("no_bundle")`` when every state
    directory of a runtime that we can see was searched in vain. ``cgroup_paths`` are the container's own cgroups, up to
    and including the component that bears its id, one for each hierarchy that was seen. ``first_pid`` and
    ``first_start_ticks`` come from the runtime's state where there is one. ``pid`` is the host's. ``sources`` are the
    host's files behind the declared bind mounts. ``has_linked_dev`` says that ``/dev`` of its image is a symbolic link.
    ``kubelet_has_pod`` says whether the kubelet of this node keeps a directory for the pod whose cgroup this is.
    """

    id: str
    runtime: str  # docker, containerd, cri-o, podman, runc, crun, ...
    declared: Declared | Unknown
    cgroup_paths: frozenset[bytes]
    first_pid: int | None = None
    first_start_ticks: int | None = None
    created_ns: int | None = None
    bundle_path: str | None = None
    name: str | None = None
    image: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    pod: Pod | None = None
    pod_uid: str | None = None  # from the cgroup path, known before any annotation is
    pod_details: PodDetails | None = None
    kubelet_has_pod: bool | Unknown = NOT_READ
    sources: tuple[MountSource, ...] | Unknown = NOT_READ
    has_linked_dev: bool | Unknown = NOT_READ


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
