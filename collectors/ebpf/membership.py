"""Which entry into a container each task descends from, as user space decided and the kernel remembers.

A *session* is what came into a container from outside: its first process, or the root of an exec. User space meets it
once, gives it a number, and marks the task in the kernel; fork inherits the mark, and nothing takes it away. So a
task that user space never heard of is known by its mark when it does something worth telling, also when its parents
have ended and its cgroup is another one.

Concurrency: the sensor's thread and the sweep's thread; one lock. Bounded by the tasks that live: a session is
forgotten when the kernel, which counts who bears its mark, says that nobody is left. Where that word was lost, a sweep
that finds no bearer says it.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass, field

from collectors.facts import ProcessKey


@dataclass(slots=True, eq=False)
class Session:
    """One entry: its root, its container, and whether the root has ended (then the node's state still needs it)."""

    number: int
    root: ProcessKey
    container_id: str
    scope: int
    has_ended: bool = False
    is_new: bool = True  # made since the last sweep began: that sweep may not have seen it
    tasks: set[ProcessKey] = field(default_factory=set)  # those that user space knows


class Memberships:
    """The sessions, by number and by the tasks that user space knows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[int, Session] = {}
        self._of_task: dict[ProcessKey, Session] = {}
        self._of_root: dict[ProcessKey, Session] = {}
        self._scopes: dict[str, int] = {}
        self._last = 0
        self._last_scope = 0

    def session(self, number: int) -> Session | None:
        """The session of a mark."""
        return self._sessions.get(number)

    def scope(self, container_id: str) -> int | None:
        """How the kernel knows a container of which somebody lives."""
        return self._scopes.get(container_id)

    def enter(
        self, key: ProcessKey, container_id: str, parent: ProcessKey | None, *, is_sent_in: bool = False
    ) -> tuple[Session, bool]:
        """The session of a task of a container: its parent's, or a new one; and whether the container is new.

        A task that is sent in begins one of its own, whatever it had: that was the runtime's on its way in.
        """
        with self._lock:
            known = None if is_sent_in else self._of_task.get(key)
            if known is None and parent is not None and not is_sent_in:
                known = self._of_task.get(parent)
                if known is not None and known.container_id != container_id:
                    known = None
            is_new_scope = container_id not in self._scopes
            if is_new_scope:
                self._last_scope += 1
                self._scopes[container_id] = self._last_scope
            if known is None:
                self._last += 1
                known = Session(self._last, key, container_id, self._scopes[container_id])
                self._sessions[known.number] = self._of_root[key] = known
            self._bear(key, known)
            return known, is_new_scope

    def remember(self, key: ProcessKey, number: int) -> None:
        """The kernel says that a task bears this mark."""
        with self._lock:
            session = self._sessions.get(number)
            if session is not None:
                self._bear(key, session)

    def ended(self, key: ProcessKey) -> Session | None:
        """A task ended; the session whose root it was, which stays known while descendants live: their entry is its."""
        with self._lock:
            of = self._of_task.pop(key, None)
            if of is not None:
                of.tasks.discard(key)
            session = self._of_root.get(key)
            if session is not None:
                session.has_ended = True
            return session

    def forget(self, number: int) -> ProcessKey | None:
        """Nobody bears this mark any more; the root of the session, if it lingered."""
        with self._lock:
            session = self._sessions.get(number)
            return self._forget(session) if session is not None else None

    def begin_sweep(self) -> None:
        """What is new from here on may be missing in the rows."""
        with self._lock:
            for session in self._sessions.values():
                session.is_new = False

    def unseen(self, living: Collection[int]) -> tuple[int, ...]:
        """After a sweep that saw these marks: the other sessions that were there when it began."""
        with self._lock:
            return tuple(
                each.number for each in self._sessions.values() if each.number not in living and not each.is_new
            )

    def _bear(self, key: ProcessKey, session: Session) -> None:
        before = self._of_task.get(key)
        if before is not None:
            before.tasks.discard(key)
        self._of_task[key] = session
        session.tasks.add(key)

    def _forget(self, session: Session) -> ProcessKey | None:
        del self._sessions[session.number]
        if self._of_root.get(session.root) is session:
            del self._of_root[session.root]
        for key in session.tasks:
            del self._of_task[key]
        if not any(each.container_id == session.container_id for each in self._sessions.values()):
            del self._scopes[session.container_id]
        return session.root if session.has_ended else None
