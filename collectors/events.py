"""What sensors tell: acts, observations and losses. Every sensor tier speaks these same events.

All are frozen values. ``at_ns`` is wall time in nanoseconds since the epoch: when it happened, as far as the
source knows, not when it was handled. Nothing here does I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from collectors.facts import NOT_READ, Connection, Container, FileId, HostBaseline, Mount, Process, ProcessKey, Unknown
from collectors.node_facts import NodeFacts


@dataclass(frozen=True, slots=True)
class Event:
    """Anything that reaches the owner of the node's state."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class ProcessEvent(Event):
    """An event that carries the task as the kernel now holds it."""

    process: Process


@dataclass(frozen=True, slots=True)
class Seen(ProcessEvent):
    """A sweep observed a task that is new, or differs from what the sweep saw before."""


@dataclass(frozen=True, slots=True)
class Exec(ProcessEvent):
    """A process executed a program; ``process`` was read at once afterwards."""


@dataclass(frozen=True, slots=True)
class CredentialChange(ProcessEvent):
    """A task changed its uids or gids by a system call (no exec); the kernel said so."""


@dataclass(frozen=True, slots=True)
class NamespaceChange(Seen):
    """A task is in other namespaces after setns(2), unshare(2) or a clone(2) with namespaces."""


@dataclass(frozen=True, slots=True)
class RootChange(Seen):
    """A task has another root, or its working directory is on another mount, after a system call that does so."""


@dataclass(frozen=True, slots=True)
class Refused(ProcessEvent):
    """A container process was refused a system call that only makes sense on the way out: its name, and the errno."""

    call: str
    error: int


@dataclass(frozen=True, slots=True)
class CallMade(ProcessEvent):
    """A container process made a system call that belongs to the ways out, or was refused it (``error`` is the errno).

    ``arguments`` are the four first, as numbers; what they point to was not looked at. ``file_system`` is the magic
    number of where a file that the call opened or made (memfd_create) lies, and ``path`` what it is called there; 0 and
    empty where there is none. ``device`` is that file system's, or, with ``mode``, the number of a device node that the
    call made.
    ``is_foreign`` says that it was a call as 32-bit programs make it, told once of each process.
    """

    call: str
    error: int
    arguments: tuple[int, ...]
    device: int = 0
    mode: int = 0
    file_system: int = 0
    path: bytes = b""
    is_foreign: bool = False


@dataclass(frozen=True, slots=True)
class ProcessReached(ProcessEvent):
    """A container process reached for one outside its container: to trace it, write into it, take from it, signal it.

    ``call`` is the system call, or ``signal``, of which ``signal`` is the number. ``error`` is 0 when it succeeded.
    ``is_agent`` says that the target is ourselves.
    """

    call: str
    error: int
    target_pid: int
    signal: int = 0
    is_agent: bool = False


class WatchKind(StrEnum):
    """What a watched object of the host is to whoever gets at it."""

    PERSISTENCE = "persistence"  # who writes it runs on the host, now or later
    SERVICED = "serviced"  # the same, and pods that were given exactly that place do so by design
    SECRET = "secret"  # noqa: S105  who reads it is somebody else; no password
    RUNTIME = "runtime"  # the executables that start containers
    AGENT = "agent"  # this agent's own: who writes it steers or blinds it


class Watched(NamedTuple):
    """A watched file or directory by the path that the host knows it by. ``pod_uid`` is the pod whose own it is."""

    path: str
    kind: WatchKind
    pod_uid: str = ""


class Touch(StrEnum):
    """How a file was touched."""

    READ = "read"  # opened for reading
    WRITTEN = "written"  # opened for writing
    ENTRY = "entry"  # opened for writing, in a watched directory
    CHANGED = "changed"  # the object itself, in content, name or mode, or the entries of a directory
    KERNEL = "kernel"  # opened for writing, and it is the kernel's own (proc, sysfs, ...)
    HOST_MOUNT = "host_mount"  # opened for writing, through a mount of the host's own mount namespace
    PRIVILEGED = "privileged"  # made set-uid or set-gid
    CAPABLE = "capable"  # given file capabilities
    DEVICE = "device"  # opened: a disk, or a character device that may lead into the kernel
    NAMESPACE = "namespace"  # opened: a namespace that is none of the task's own


@dataclass(frozen=True, slots=True)
class FileTouched(ProcessEvent):
    """A container process got at a file that is watched, by its identity, whatever path led there; or holds it open.

    ``watched`` is what the host knows the object by, once for each kind that it is; empty where ``touch`` alone makes
    it worth telling. ``path`` is as the process' mounts show it, or, for ``PRIVILEGED`` and ``CAPABLE`` by path, what
    the process wrote: evidence. ``file`` is ``None`` where only that path is known. ``file_system`` is its magic
    number, 0 where it was not asked for. Of a ``DEVICE`` node the device in ``file`` is the one that it stands for.
    """

    touch: Touch
    path: bytes
    file: FileId | None
    mode: int
    file_system: int
    watched: tuple[Watched, ...] = ()


class Standing(StrEnum):
    """Whether a mount that was made is in a mount table."""

    ATTACHED = "attached"  # in that of the process' namespace
    DETACHED = "detached"  # in none as yet: a descriptor leads to it
    LEFT = "left"  # in none a while later either


@dataclass(frozen=True, slots=True)
class MountMade(ProcessEvent):
    """A container process has made a mount, as the kernel held it when the call returned; it may be gone since.

    ``mount.point`` is empty unless it is ``ATTACHED``; options, peer groups and source are as far as the kernel's
    programs read them. ``container_id`` is whose it was, of one that is ``LEFT``: its process may have ended since.
    """

    mount: Mount
    standing: Standing = Standing.ATTACHED
    container_id: str | None = None


@dataclass(frozen=True, slots=True)
class Fork(Event):
    """A process was made. ``child.start_ticks`` is the kernel's where it could be read, else from the event's time."""

    parent: ProcessKey
    child: ProcessKey


@dataclass(frozen=True, slots=True)
class Exit(Event):
    """A process (its last thread) ended, or a sweep no longer found it."""

    key: ProcessKey


@dataclass(frozen=True, slots=True)
class Ptrace(Event):
    """``tracer`` attached to ``target`` (ptrace(2) ATTACH or SEIZE); both are pids of the host."""

    tracer_pid: int
    target_pid: int


@dataclass(frozen=True, slots=True)
class ContainerSeen(Event):
    """A container appeared, or something about it became known or changed (metadata arrives late)."""

    container: Container


@dataclass(frozen=True, slots=True)
class ContainerGone(Event):
    """A container ended: its cgroup is empty and its bundle is gone."""

    container_id: str


@dataclass(frozen=True, slots=True)
class MountTable(Event):
    """The mount table of one mount namespace, whole, as process ``seen_by`` shows it.

    ``container_id`` is the container in which the namespace was met, ``None`` for the host's own. ``is_building``: the
    runtime was still at work; every mount is there, but masks and read-only flags may be missing.
    """

    mnt_namespace: int
    container_id: str | None
    seen_by: ProcessKey
    mounts: tuple[Mount, ...]
    is_building: bool = False


@dataclass(frozen=True, slots=True)
class MountNamespaceGone(Event):
    """No task that we know of is in that mount namespace any more: the kernel may give its inode to another."""

    mnt_namespace: int


@dataclass(frozen=True, slots=True)
class HostSeen(Event):
    """The host's baseline changed in what its upkeep may change (``collectors.host.refresh_baseline``)."""

    host: HostBaseline


@dataclass(frozen=True, slots=True)
class KernelValue(Event):
    """A value that governs the kernel is met for the first time (``before`` is not read), or is no longer what it was.

    ``name`` is the value's in ``collectors.values``; ``where`` the file, which tells apart values of one name. Both
    values are without their last newline. ``at_start`` is what it was when it was first met. ``container_id`` is set
    for values of a container's own cgroup.
    """

    name: str
    before: bytes | Unknown
    after: bytes | Unknown
    where: bytes
    at_start: bytes | Unknown = NOT_READ
    container_id: str | None = None


@dataclass(frozen=True, slots=True)
class NodeSeen(Event):
    """How the node itself is configured: at start, and when that changed."""

    node: NodeFacts


@dataclass(frozen=True, slots=True)
class SocketHeld(Event):
    """A container has a socket open that leads out of it, told once. ``process`` holds it, where it was found."""

    container_id: str
    process: ProcessKey | None
    inode: int


@dataclass(frozen=True, slots=True)
class UnixConnected(SocketHeld):
    """It is connected to the unix socket of a host process that governs containers or the host.

    ``inode`` is that of the far end. ``path`` is the name that ``server`` gave it; ``@`` is the NUL of abstract ones.
    """

    path: bytes
    server: ProcessKey
    server_executable: bytes


@dataclass(frozen=True, slots=True)
class TcpConnected(SocketHeld):
    """It is connected, or connecting, to a service of nodes or of clouds; ``is_to_this_node`` by the address."""

    connection: Connection
    is_to_this_node: bool


@dataclass(frozen=True, slots=True)
class RawSocketHeld(SocketHeld):
    """It is a packet socket, or a raw one of an IP protocol."""

    kind: str  # packet, raw
    protocol: int


@dataclass(frozen=True, slots=True)
class Lost(Event):
    """Events that never reached us: how many (at least), from which source, and why."""

    source: str
    reason: str
    count: int


class TroubleKind(StrEnum):
    """What can go wrong with the agent itself."""

    SENSOR_LOST = "sensor_lost"  # a source ended with an error, or had to be opened anew
    ATTACKED = "attacked"  # somebody took hold of the agent's process
    AWAY = "away"  # nobody watched between the last heartbeat and the start
    SINK_UNREACHABLE = "sink_unreachable"
    DETECTOR_FAILED = "detector_failed"


@dataclass(frozen=True, slots=True)
class AgentTrouble(Event):
    """Something is wrong with the agent: which ``part`` of it, ``why``, and by whose ``pid`` where it is known."""

    kind: TroubleKind
    part: str
    why: str
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class SweepDone(Event):
    """A sweep of the whole node ended: what is not in the state now, is not there."""

    number: int
    processes: int
    cpu_ns: int


@dataclass(frozen=True, slots=True)
class AlertsNumbered(Event):
    """The next alert has this number. A capture of a running agent says so, that a replay gives alerts the same ids."""

    sequence: int
