"""The kinds of events that an operator's rule may want, by the names that stand in ``events``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from collectors.events import (
    ContainerSeen,
    CredentialChange,
    Event,
    Exec,
    KernelValue,
    NamespaceChange,
    RawSocketHeld,
    Refused,
    RootChange,
    Seen,
    TcpConnected,
    UnixConnected,
)
from detectors.base import Tier


@dataclass(frozen=True, slots=True)
class EventKind:
    """A kind of event that a rule may want: ``weakest`` is the least sensor tier that tells of it."""

    events: tuple[type[Event], ...]
    weakest: Tier
    meaning: str


EVENTS: Mapping[str, EventKind] = {
    "exec": EventKind((Exec,), Tier.NETLINK, "A process executed a program."),
    "seen": EventKind(
        (Seen,), Tier.POLL, "A sweep met a process that is new, or that changed; in the `poll` tier all that is seen."
    ),
    "credentials": EventKind((CredentialChange,), Tier.NETLINK, "A process changed its uids or gids."),
    "namespaces": EventKind((NamespaceChange,), Tier.EBPF, "A process is in other namespaces."),
    "root": EventKind((RootChange,), Tier.EBPF, "A process has another root, or works on another mount."),
    "refused": EventKind((Refused,), Tier.EBPF, "The kernel refused a call that makes sense on the way out only."),
    "container": EventKind((ContainerSeen,), Tier.POLL, "A container started, or more became known about it."),
    "tcp": EventKind((TcpConnected,), Tier.POLL, "A container is connected to a service of nodes or of clouds."),
    "unix": EventKind((UnixConnected,), Tier.POLL, "A container is connected to a governing socket of the host."),
    "raw_socket": EventKind((RawSocketHeld,), Tier.POLL, "A container has a packet socket or a raw one."),
    "kernel_value": EventKind((KernelValue,), Tier.POLL, "A value that governs the kernel was met, or has changed."),
}
"""Every kind of event that a rule may want, by the name that stands in ``events``."""


def kind_of(event: Event) -> str:
    """The event's name in ``EVENTS``; of those that fit, the nearest: a change of namespaces was seen, too."""
    return next(
        (name for name, kind in EVENTS.items() if type(event) in kind.events),
        next(name for name, kind in EVENTS.items() if isinstance(event, kind.events)),
    )
