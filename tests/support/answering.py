"""An agent that answers, without its sensors: real state, detectors, outbox and control server on made-up events.

Concurrency: the server runs in a thread of its own, as in the agent; the test's thread is the core's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent import __version__
from agent.capture.history import History
from agent.capture.tap import Taps
from agent.control.desk import Core, Desk
from agent.control.happenings import Watch
from agent.control.recorder import Recorder
from agent.control.server import ControlServer
from agent.control.status import Facts
from agent.outbox import Outbox
from agent.pipeline import Pipeline
from agent.policy import Policy
from agent.report import AlertBuilder
from agent.snapshot import Snapshot
from agent.state import NodeState
from agent.stored_alert import stored
from collectors.events import Event, Seen
from detectors.base import Tier
from detectors.catalog import DETECTORS
from tests.agent.alerts import HOST
from tests.agent.readings import snapshot
from tests.support import build
from tests.support.patience import patient

START_SECONDS = patient(10.0)


@dataclass
class Answering:
    """The agent's parts, and where it listens. ``feed`` is the core's work on one event."""

    path: str
    server: ControlServer
    state: NodeState
    pipeline: Pipeline
    outbox: Outbox
    desk: Desk
    watch: Watch
    lock: threading.Lock
    history: History
    taps: Taps

    def feed(self, *events: Event) -> None:
        """Take events in, as the main loop does."""
        for event in events:
            with self.lock:
                before, was = self.watch.before(event), self.history.before(event)
                sequence = self.pipeline.upcoming
                alerts = [stored(each) for each in self.pipeline.feed(event)]
                if before is not None:
                    self.watch.after(event, before)
                self.history.note(event, was, sequence)
                self.taps.note(event, sequence)
            self.outbox.append(alerts)
            self.desk.committed(alerts)


def facts(path: str = "/nowhere") -> Facts:
    """What an agent knows of itself."""
    return Facts("node-1", 1234, "the best that is ready", None, "/var/lib/hullwatch", path, len(DETECTORS))


@contextmanager
def answering(directory: Path, *events: Event, shown: Snapshot | None = None, limit: int = 32) -> Iterator[Answering]:
    """An agent that has seen these events, until the block ends."""
    path = str(directory / "control.sock")
    state = NodeState(build.host_baseline(), Tier.NETLINK, max_processes=10_000, max_containers=1000)
    pipeline = Pipeline(state, DETECTORS, Policy(()), AlertBuilder(HOST, __version__), state.host.boot_id)
    outbox = Outbox(None, max_bytes=1 << 24, max_age_seconds=3600, clock_ns=time.time_ns)
    watch, lock, taps = Watch(state), threading.Lock(), Taps()
    history = History(state, max_seconds=600, max_bytes=1 << 20)

    def ring() -> None:
        server.ring()

    recorder = Recorder(lock, state, pipeline, history, taps, HOST, ring)
    desk = Desk(
        Core(lock, state, pipeline.incidents),
        watch,
        lambda: snapshot() if shown is None else shown,
        outbox.query,
        facts(path),
        ring,
    )
    listening = threading.Event()
    server = ControlServer(
        path,
        None,
        {**desk.methods(), **recorder.methods()},
        "0.1.0",
        on_listening=lambda _: listening.set(),
        on_trouble=lambda _: None,
        limit=limit,
        stall_seconds=1.0,
    )
    agent = Answering(path, server, state, pipeline, outbox, desk, watch, lock, history, taps)
    agent.feed(Seen(build.NOW_NS, build.host_process(900)), *events)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert listening.wait(START_SECONDS)
    try:
        yield agent
    finally:
        server.stop()
        thread.join(START_SECONDS)
        outbox.close()
        assert not thread.is_alive()
