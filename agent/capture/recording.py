"""A capture without an agent: sensors of its own, the core, and every event that it applies into the file.

The main thread does what the agent's does, and writes; a disk that is slow fills the inbox, and what that loses is an
event in the capture. The alerts that the core raises meanwhile are counted, and told to whoever wants to hear.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from agent import __version__
from agent.assembly import assemble, new_state, tell_containers
from agent.capture.file import CaptureWriter, Header
from agent.capture.replay import new_core
from agent.capture.tap import Wanted, of_container
from agent.config_schema import Config
from agent.host_facts import read_host_facts
from agent.inbox import Inbox
from agent.report import Alert, AlertBuilder
from agent.sources import SensorChoice, Sources
from collectors.events import SweepDone

TURN_SECONDS = 0.2
FLUSH_SECONDS = 1.0
DRAIN_SECONDS = 3.0


@dataclass(slots=True)
class Recorded:
    """What came of it."""

    events: int = 0
    lost: int = 0
    alerts: int = 0
    size_bytes: int = 0


def record(
    config: Config,
    stream: BinaryIO,
    *,
    is_over: Callable[[], bool],
    container: str | None = None,
    on_ready: Callable[[SensorChoice], None] = lambda _: None,
    on_alert: Callable[[Alert], None] = lambda _: None,
) -> Recorded:
    """Record until ``is_over``; ``on_ready`` says that a sweep is done. Raises ``ConfigError`` and ``OSError``."""
    sources: Sources | None = None

    def lost() -> None:
        if sources is not None:
            sources.request_sweep()

    inbox = Inbox(config.limits.queue_events, time.time_ns, lost)
    collectors = assemble(config, inbox.put, watch_mounts=True)
    sources = Sources(config, collectors, inbox.put)
    choice = sources.choose()
    state = new_state(config, collectors.host, choice.tier)
    facts = read_host_facts(Path(collectors.roots.host), os.environ)
    pipeline = new_core(config, state, AlertBuilder(facts, __version__), collectors.host.boot_id)
    writer = CaptureWriter(
        stream,
        Header(
            hullwatch=__version__,
            started_ns=time.time_ns(),
            tier=choice.tier,
            host=collectors.host,
            facts=facts,
            container=container,
        ),
    )
    wanted: Wanted = (lambda _: True) if container is None else of_container(state, container)
    done = Recorded()
    tell_containers(collectors, inbox.put)
    sources.start()
    deadline: float | None = None
    is_ready = False
    flush_at = time.monotonic() + FLUSH_SECONDS
    try:
        while deadline is None or (len(inbox) and time.monotonic() < deadline):
            if deadline is None and is_over():
                sources.stop()
                deadline = time.monotonic() + DRAIN_SECONDS
            if time.monotonic() >= flush_at:
                flush_at = time.monotonic() + FLUSH_SECONDS
                writer.flush()
            event = inbox.take(TURN_SECONDS)
            if event is None:
                continue
            for alert in pipeline.feed(event):
                done.alerts += 1
                on_alert(alert)
            if wanted(event):
                writer.add(event)
            if isinstance(event, SweepDone) and not is_ready:
                is_ready = True
                on_ready(choice)
    finally:
        sources.stop()
        writer.finish()
        done.events, done.lost, done.size_bytes = writer.events, writer.lost, writer.size_bytes
    return done
