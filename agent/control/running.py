"""The control socket as a part of the running agent: what the main loop tells it, and where its server runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from agent import __version__
from agent.capture.beginning import Before
from agent.capture.history import History
from agent.capture.tap import Taps
from agent.config_schema import Config
from agent.control.desk import Core, Desk
from agent.control.desk import History as AlertHistory
from agent.control.happenings import Happening, Watch
from agent.control.recorder import Recorder
from agent.control.server import ControlServer
from agent.control.status import Facts
from agent.control_schema import socket_path
from agent.pipeline import Pipeline
from agent.report import HostFacts
from agent.state import NodeState
from agent.stored_alert import StoredAlert
from agent.telemetry import Telemetry
from collectors.events import Event
from collectors.streamed import Streamed

Stream = Callable[[frozenset[str] | None], None]
WatchOver = Callable[[str, Callable[[], None], Callable[[], None]], None]


@dataclass(frozen=True, slots=True)
class Seen:
    """What was the case before an event: for who watches, and for captures that begin in the past."""

    happening: Happening | None
    was: Before
    sequence: int


class Control:
    """``lock`` is held by the main loop while it takes an event in; whoever looks at its state takes it for a slice."""

    def __init__(self, config: Config, state: NodeState, pipeline: Pipeline) -> None:
        self.lock = threading.Lock()
        self._path = socket_path(config.control, config.state.directory)
        self._config = config
        self._state = state
        self._pipeline = pipeline
        self._desk: Desk | None = None
        self._watch = Watch(state)
        self._history = History(
            state,
            max_seconds=config.control.history_seconds,
            max_bytes=config.control.history_bytes if self._path is not None else 0,
        )
        self._taps = Taps()

    def open(
        self,
        config_path: str | None,
        telemetry: Telemetry,
        history: AlertHistory,
        *,
        host: HostFacts,
        reason: str,
        detectors: int,
        watch_over: WatchOver,
        stream: Stream,
        asked_by: Callable[[int], None],
    ) -> None:
        """Have the server run with the other threads of the agent, unless the configuration does without."""
        path, config = self._path, self._config
        if path is None:
            return
        log = structlog.get_logger("control")
        facts = Facts(host.name, os.getpid(), reason, config_path, config.state.directory, path, detectors)

        def ring() -> None:
            server.ring()

        self._watch.on_watchers = stream

        desk = Desk(
            Core(self.lock, self._state, self._pipeline.incidents),
            self._watch,
            telemetry.snapshot,
            history,
            facts,
            ring,
        )
        recorder = Recorder(self.lock, self._state, self._pipeline, self._history, self._taps, host, ring)
        server = ControlServer(
            path,
            config.control.group,
            {**desk.methods(), **recorder.methods()},
            __version__,
            on_listening=lambda bound: log.info("control_listening", path=bound),
            on_trouble=lambda why: log.warning("control_unavailable", why=why),
            on_peer=asked_by,
        )
        self._desk = desk
        telemetry.watch_control(lambda: server.is_listening)
        watch_over("control", server.run, server.stop)

    def before(self, event: Event) -> Seen | None:
        """The main loop is about to take an event in."""
        if self._path is None:
            return None
        return Seen(self._watch.before(event), self._history.before(event), self._pipeline.upcoming)

    def after(self, event: Event, seen: Seen | None) -> None:
        """The event was taken in."""
        if seen is None:
            return
        if seen.happening is not None:
            self._watch.after(event, seen.happening)
        self._history.note(event, seen.was, seen.sequence)
        self._taps.note(event, seen.sequence)

    def streamed(self, event: Streamed) -> None:
        """Something happened that is for who watches alone."""
        self._watch.streamed(event)

    def committed(self, alerts: Sequence[StoredAlert]) -> None:
        """Alerts are in the outbox."""
        if self._desk is not None:
            self._desk.committed(alerts)
