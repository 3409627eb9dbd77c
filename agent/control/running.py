"""The control socket as a part of the running agent: what the main loop tells it, and where its server runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

import structlog

from agent import __version__
from agent.config_schema import Config
from agent.control.desk import Core, Desk, History
from agent.control.happenings import Happening, Watch
from agent.control.server import ControlServer
from agent.control.status import Facts
from agent.control_schema import socket_path
from agent.incidents import Incidents
from agent.state import NodeState
from agent.stored_alert import StoredAlert
from agent.telemetry import Telemetry
from collectors.events import Event

WatchOver = Callable[[str, Callable[[], None], Callable[[], None]], None]


class Control:
    """``lock`` is held by the main loop while it takes an event in; whoever looks at its state takes it for a slice."""

    def __init__(self, state: NodeState, incidents: Incidents) -> None:
        self.lock = threading.Lock()
        self._core = Core(self.lock, state, incidents)
        self._desk: Desk | None = None
        self._watch = Watch(state)

    def open(
        self,
        config: Config,
        config_path: str | None,
        telemetry: Telemetry,
        history: History,
        *,
        node: str,
        reason: str,
        detectors: int,
        watch_over: WatchOver,
        asked_by: Callable[[int], None],
    ) -> None:
        """Have the server run with the other threads of the agent, unless the configuration does without."""
        path = socket_path(config.control, config.state.directory)
        if path is None:
            return
        log = structlog.get_logger("control")
        facts = Facts(node, os.getpid(), reason, config_path, config.state.directory, path, detectors)
        desk = Desk(self._core, self._watch, telemetry.snapshot, history, facts, lambda: server.ring())  # noqa: PLW0108 (made below)
        server = ControlServer(
            path,
            config.control.group,
            desk.methods(),
            __version__,
            on_listening=lambda bound: log.info("control_listening", path=bound),
            on_trouble=lambda why: log.warning("control_unavailable", why=why),
            on_peer=asked_by,
        )
        self._desk = desk
        telemetry.watch_control(lambda: server.is_listening)
        watch_over("control", server.run, server.stop)

    def before(self, event: Event) -> Happening | None:
        """The main loop is about to take an event in; ``None`` while nobody watches events."""
        return self._watch.before(event)

    def after(self, event: Event, seen: Happening | None) -> None:
        """The event was taken in."""
        if seen is not None:
            self._watch.after(event, seen)

    def committed(self, alerts: Sequence[StoredAlert]) -> None:
        """Alerts are in the outbox."""
        if self._desk is not None:
            self._desk.committed(alerts)
