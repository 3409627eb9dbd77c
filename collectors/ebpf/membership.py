"""Which entry into a container each task descends from, as user space decided and the kernel remembers.

A *session* is what came into a container from outside: its first process, or the root of an exec. User space meets it
once, gives it a number, and marks the task in the kernel; fork inherits the mark, and nothing takes it away. So a
task that user space never heard of is known by its mark when it does something worth telling, also when its parents
have ended and its cgroup is another one.

Concurrency: the sensor's thread and the sweep's thread; one lock. Bounded by the tasks that live: a session is
forgotten when a sweep finds no task that bears its mark.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass

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

    def enter(self, key: ProcessKey, container_id: str, parent: ProcessKey | None) -> tuple[Session, bool]:
        """The session of a task of a container: its parent's, or a new one; and whether the container is new."""
        with self._lock:
            known = self._of_task.get(key)
            if known is None and parent is not None:
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
            self._of_task[key] = known
            return known, is_new_scope

    def remember(self, key: ProcessKey, number: int) -> None:
        """The kernel says that a task bears this mark."""
        with self._lock:
            session = self._sessions.get(number)
            if session is not None:
                self._of_task[key] = session

    def must_linger(self, key: ProcessKey) -> bool:
        """A task ended. The root of a session stays known as long as descendants may live: their entry is its."""
        with self._lock:
            self._of_task.pop(key, None)
            session = self._of_root.get(key)
            if session is None:
                return False
            session.has_ended = True
            return True

    def begin_sweep(self) -> None:
        """What is new from here on may be missing in the rows."""
        with self._lock:
            for session in self._sessions.values():
                session.is_new = False

    def release(self, living: Collection[int]) -> tuple[ProcessKey, ...]:
        """After a sweep that saw these marks: forgets the other sessions; their roots, where they lingered."""
        with self._lock:
            over = [each for each in self._sessions.values() if each.number not in living and not each.is_new]
            for session in over:
                del self._sessions[session.number]
            used = {each.container_id for each in self._sessions.values()}
            self._scopes = {name: scope for name, scope in self._scopes.items() if name in used}
            return tuple(each.root for each in over if each.has_ended)
