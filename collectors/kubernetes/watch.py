"""The pods of this node from the API server: listed once, then watched, and laid over the containers that are in them.

Concurrency: ``run`` is a thread's body, which owns the connection; ``stop`` and ``status`` may be called from any
thread. It hands what it learns to the registry and calls ``emit`` with ``ContainerSeen``. Nothing waits for it: an
alert that is raised before its pod is known is told without. What goes wrong is a state, a count and a wait (``plan``);
only a fault of our own leaves ``run``.

Bounded: every answer in size and time (``client``), pods in the registry's table, every text (``answers``). The
server's answers are checked as a stranger's: nonsense is counted, pods of other nodes are not taken.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from collectors.containers.registry import ContainerRegistry
from collectors.errors import CollectorError, Malformed
from collectors.events import ContainerSeen, Event
from collectors.facts import Container
from collectors.kubernetes.answers import Change, ChangeKind, Refusal, parse_event, parse_list
from collectors.kubernetes.plan import SPREAD_SECONDS, List, Wait, Watch, WatchPlan
from collectors.pod_facts import PodSeen

STATUSES = frozenset({400, 401, 403, 404, 410, 429, 500, 502, 503, 504})  # counted each by itself
GONE = 410  # HTTP's word for a version that the server no longer remembers
MAX_ODD_IN_A_ROW = 16


class PodSourceState(StrEnum):
    """How the API server does as a source."""

    STARTING = "starting"  # within the random wait before the first list
    CONNECTED = "connected"
    FAILING = "failing"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class PodSourceStatus:
    """The state, why, and what was counted so far. ``contact_ns`` is when the server last said something."""

    state: PodSourceState = PodSourceState.STARTING
    why: str = ""
    pods: int = 0  # that the last list and the changes since say are there
    lists: int = 0
    watches: int = 0
    changes: int = 0
    merged: int = 0  # containers about which something was learnt
    odd_answers: int = 0
    strangers: int = 0  # pods of other nodes
    contact_ns: int | None = None
    failures: dict[str, int] = field(default_factory=dict)  # by kind of error; HTTP errors as http_NNN, http_other

    @property
    def relists(self) -> int:
        """How often everything was asked for again."""
        return max(0, self.lists - 1)


class PodsApi(Protocol):
    """What is wanted of ``client.PodsClient``."""

    def list_pods(self, version: str) -> bytes:
        """See ``PodsClient``."""

    def watch_pods(self, version: str, window_seconds: int) -> Iterator[bytes]:
        """See ``PodsClient``: returns when the server has accepted."""

    def stop(self) -> None:
        """See ``PodsClient``."""

    def close(self) -> None:
        """See ``PodsClient``."""


class PodWatch:
    """See the module. ``connect`` imports and makes the client; it may raise ``CollectorError`` or ``ImportError``."""

    def __init__(
        self,
        registry: ContainerRegistry,
        emit: Callable[[Event], None],
        connect: Callable[[], PodsApi],
        node: str,
        *,
        clock_ns: Callable[[], int],
        spread_seconds: float = SPREAD_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
        on_change: Callable[[PodSourceStatus], None] | None = None,
    ) -> None:
        self._registry = registry
        self._emit = emit
        self._connect = connect
        self._node = node
        self._clock_ns = clock_ns
        self._clock = clock
        self._plan = WatchPlan(uniform, spread_seconds=spread_seconds)
        self._on_change = on_change
        self._status = PodSourceStatus()
        self._present: set[str] = set()
        self._stopping = threading.Event()
        self._client: PodsApi | None = None
        self._began: float | None = None  # the watch that runs

    @property
    def status(self) -> PodSourceStatus:
        """How it is doing now."""
        return self._status

    def run(self) -> None:
        """Follow the server until told to stop."""
        try:
            while not self._stopping.is_set():
                step = self._plan.next()
                if isinstance(step, Wait):
                    self._stopping.wait(step.seconds)
                    continue
                self._take(step)
        finally:
            client, self._client = self._client, None
            if client is not None:
                client.close()
        self._become(PodSourceState.STOPPED, "")

    def stop(self) -> None:
        """End ``run`` soon."""
        self._stopping.set()
        client = self._client
        if client is not None:
            client.stop()

    def _take(self, step: List | Watch) -> None:
        """One request, and what the plan must know of it."""
        self._began = None
        try:
            if self._client is None:
                self._client = self._connect()
            if isinstance(step, List):
                self._list(self._client, step)
            else:
                self._watch(self._client, step)
        except CollectorError as error:
            if not self._stopping.is_set():
                self._failed(error)
        except ImportError as error:
            self._fail("import", f"the kubernetes package cannot be imported: {error}", None)

    def _list(self, client: PodsApi, step: List) -> None:
        listed = parse_list(client.list_pods(step.version))
        ours = self._ours(listed.pods)
        self._present = {seen.details.uid for seen in ours}
        self._heard(lists=1, odd_answers=listed.odd, strangers=len(listed.pods) - len(ours))
        self._tell(self._registry.merge_pods(ours, is_whole=True))
        self._plan.listed(listed.version)
        # The agent is a pod itself, where it asks with a service account.
        self._become(PodSourceState.CONNECTED, "" if ours else f"no pod is on node {self._node}: is that its name?")

    def _watch(self, client: PodsApi, step: Watch) -> None:
        self._began = self._clock()
        odd = 0
        lines = client.watch_pods(step.version, step.window_seconds)
        self._heard(watches=1)
        if self._status.state is PodSourceState.FAILING:
            self._become(PodSourceState.CONNECTED, "")
        for line in lines:
            if self._stopping.is_set():
                return
            try:
                change = parse_event(line)
            except Malformed:
                odd += 1
                self._heard(odd_answers=1)
                if odd >= MAX_ODD_IN_A_ROW:
                    raise
                continue
            odd = 0
            if isinstance(change, Refusal):
                self._refused(change)
                return
            self._changed(change)
            self._plan.progressed(change.version)
        if not self._stopping.is_set() and not self._plan.watched(self._lasted(), step.window_seconds):
            self._count("cut")
            self._become(PodSourceState.FAILING, "the server ended the watch before its time")

    def _lasted(self) -> float:
        return 0.0 if self._began is None else self._clock() - self._began

    def _changed(self, change: Change) -> None:
        seen = change.pod
        if change.kind is ChangeKind.BOOKMARK:
            self._heard()
            return
        if seen is None:
            self._heard(odd_answers=1)
            return
        # A pod that is deleted is told as it was, and one that was never bound to a node is nobody's.
        if not self._ours((seen,)):
            self._heard(strangers=1)
            return
        uid = seen.details.uid
        is_deleted = change.kind is ChangeKind.DELETED
        (self._present.discard if is_deleted else self._present.add)(uid)
        self._heard(changes=1)
        self._tell(self._registry.merge_pods((seen,), (uid,) if is_deleted else (), is_whole=False))

    def _ours(self, pods: tuple[PodSeen, ...]) -> tuple[PodSeen, ...]:
        return tuple(seen for seen in pods if seen.details.node == self._node)

    def _tell(self, containers: list[Container]) -> None:
        self._heard(merged=len(containers))
        for container in containers:
            self._emit(ContainerSeen(self._clock_ns(), container))

    def _refused(self, refusal: Refusal) -> None:
        self._fail(_kind(refusal.code), f"the server ended the watch: {refusal.code}", refusal)

    def _failed(self, error: CollectorError) -> None:
        status = getattr(error, "status", None)
        retry = getattr(error, "retry_after_seconds", None)
        refusal = Refusal(status or 0, retry)
        self._fail(_kind(status) if status else error.kind, f"{error.source}: {error.detail}", refusal)

    def _fail(self, kind: str, why: str, refusal: Refusal | None) -> None:
        self._count(kind)
        if refusal is not None and refusal.code == GONE:
            self._plan.expired()
        else:
            wait = refusal.retry_after_seconds if refusal is not None else None
            self._plan.failed(wait, lasted_seconds=self._lasted())
        self._become(PodSourceState.FAILING, why)

    def _heard(
        self,
        *,
        lists: int = 0,
        watches: int = 0,
        changes: int = 0,
        merged: int = 0,
        odd_answers: int = 0,
        strangers: int = 0,
    ) -> None:
        old = self._status
        self._status = replace(
            old,
            pods=len(self._present),
            lists=old.lists + lists,
            watches=old.watches + watches,
            changes=old.changes + changes,
            merged=old.merged + merged,
            odd_answers=old.odd_answers + odd_answers,
            strangers=old.strangers + strangers,
            contact_ns=self._clock_ns(),
        )

    def _count(self, kind: str) -> None:
        failures = self._status.failures
        self._status = replace(self._status, failures={**failures, kind: failures.get(kind, 0) + 1})

    def _become(self, state: PodSourceState, why: str) -> None:
        old = self._status
        if (old.state, old.why) == (state, why):
            return
        self._status = replace(old, state=state, why=why)
        if self._on_change is not None:
            self._on_change(self._status)


def _kind(status: int) -> str:
    return f"http_{status}" if status in STATUSES else "http_other"
