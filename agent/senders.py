"""Who has sent processes into containers without being in one: shims, and runtimes at work.

Owned by the node's state. Bounded: the oldest sender is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.records import Record

MAX_SENDERS = 4096


class Senders:
    """By the sender's pid: whoever asks forgets it when the process ends."""

    def __init__(self) -> None:
        self._into: dict[int, set[str]] = {}

    def note(self, sender: Record | None, container_id: str) -> None:
        """It has a child in that container; who is in a container itself is no sender."""
        if sender is None or sender.container_id is not None:
            return
        self._into.setdefault(sender.process.key.pid, set()).add(container_id)
        if len(self._into) > MAX_SENDERS:
            del self._into[next(iter(self._into))]

    def sent_by(self, sender: Record | None) -> Iterable[str]:
        """The containers that it has sent others into; none for pid 1, which has everybody in the end."""
        pid = sender.process.key.pid if sender is not None else 1
        return self._into.get(pid, ()) if pid != 1 else ()

    def forget(self, pid: int) -> None:
        """It has ended."""
        self._into.pop(pid, None)

    def forget_container(self, container_id: str) -> None:
        """It is gone: a shim may outlive thousands."""
        for into in self._into.values():
            into.discard(container_id)
