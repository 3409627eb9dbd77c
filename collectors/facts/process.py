"""One task as it was observed: what it runs, what confines it, what it holds open."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from collectors.facts.confinement import Confinement
from collectors.facts.identity import NOT_READ, Place, ProcessKey, Unknown


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
