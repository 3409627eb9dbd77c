"""What sensors tell: acts, observations and losses. Every sensor tier speaks these same events.

All are frozen values. ``at_ns`` is wall time in nanoseconds since the epoch: when it happened, as far as the
source knows, not when it was handled. Nothing here does I/O.
"""

from __future__ import annotations

from dataclasses import dataclass

from collectors.facts import Container, HostBaseline, Mount, Process, ProcessKey


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

    ``container_id`` is the container in which the namespace was met, ``None`` for the host's own.
    """

    mnt_namespace: int
    container_id: str | None
    seen_by: ProcessKey
    mounts: tuple[Mount, ...]


@dataclass(frozen=True, slots=True)
class MountNamespaceGone(Event):
    """No task that we know of is in that mount namespace any more: the kernel may give its inode to another."""

    mnt_namespace: int


@dataclass(frozen=True, slots=True)
class HostSeen(Event):
    """The host's baseline changed in what its upkeep may change (``collectors.host.refresh_baseline``)."""

    host: HostBaseline


@dataclass(frozen=True, slots=True)
class Lost(Event):
    """Events that never reached us: how many (at least), from which source, and why."""

    source: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class SweepDone(Event):
    """A sweep of the whole node ended: what is not in the state now, is not there."""

    number: int
    processes: int
    cpu_ns: int
