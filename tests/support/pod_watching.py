"""A ``PodWatch`` that runs against ``ApiServer``, for tests: what it learnt, and how to wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from collectors.containers.registry import ContainerRegistry
from collectors.events import Event
from collectors.facts import CgroupMembership, Container
from collectors.host import Roots
from collectors.kubernetes.watch import PodsApi, PodSourceStatus, PodWatch
from tests.support.api_server import ApiServer, Asked

UID = "11111111-2222-4333-8444-555555555555"
OTHER_UID = "22222222-2222-4333-8444-555555555555"
ID = "a1" * 32


@dataclass
class Watching:
    """A ``PodWatch`` that runs, with the registry that it feeds and the events that it emitted."""

    watch: PodWatch
    registry: ContainerRegistry
    events: list[Event]
    changes: list[PodSourceStatus]
    thread: threading.Thread

    @property
    def status(self) -> PodSourceStatus:
        return self.watch.status

    def notice(self, uid: str = UID, container_id: str = ID) -> Container:
        """A process of a container in that pod."""
        path = f"/kubepods/burstable/pod{uid}/{container_id}".encode()
        self.registry.notice((CgroupMembership(0, b"", path),), 7)
        found = self.registry.get(container_id)
        assert found is not None
        return found

    def container(self) -> Container:
        found = self.registry.get(ID)
        assert found is not None
        return found

    def labels(self) -> dict[str, str]:
        details = self.container().pod_details
        return {} if details is None else dict(details.labels)

    def until(self, holds: Callable[[], object]) -> None:
        ends = time.monotonic() + 10
        while not holds():
            assert time.monotonic() < ends, self.status
            assert self.thread.is_alive()
            time.sleep(0.005)

    def stop(self) -> float:
        began = time.monotonic()
        self.watch.stop()
        self.thread.join(5)
        assert not self.thread.is_alive()
        return time.monotonic() - began


def hasty(low: float, high: float) -> float:
    """Chance, for tests: pauses of 20 ms, the shortest windows."""
    return max(low, min(high, 0.02))


def begin(directory: Path, connect: Callable[[], PodsApi], node: str) -> Watching:
    """Start one on a node without any file."""
    for name in ("proc", "host"):
        (directory / name).mkdir(exist_ok=True)
    roots = Roots(proc=str(directory / "proc"), sys=str(directory / "sys"), host=str(directory / "host"))
    registry = ContainerRegistry(roots, clock_ns=time.time_ns)
    events: list[Event] = []
    changes: list[PodSourceStatus] = []
    watch = PodWatch(
        registry,
        events.append,
        connect,
        node,
        clock_ns=time.time_ns,
        spread_seconds=0.0,
        uniform=hasty,
        on_change=changes.append,
    )
    thread = threading.Thread(target=watch.run, daemon=True)
    thread.start()
    return Watching(watch, registry, events, changes, thread)


def watches(server: ApiServer) -> list[Asked]:
    return [each for each in server.asked if each.is_watch]


def lists(server: ApiServer) -> list[Asked]:
    return [each for each in server.asked if not each.is_watch]
