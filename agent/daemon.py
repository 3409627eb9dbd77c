"""The running agent: ``hullwatch run``.

The main thread owns the node's state, the pipeline and the outputs: it takes one event after the other from the inbox.
Sources have threads of their own (``agent.sources``). Signal handlers only set a flag and wake the main thread:
SIGTERM and SIGINT drain what is queued and end, SIGHUP reads the configuration again.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import FrameType

import psutil
import structlog

from agent import __version__
from agent.assembly import Collectors, assemble, new_state, tell_containers
from agent.config import load_config
from agent.config_schema import Config
from agent.errors import ConfigError, SinkError
from agent.host_facts import read_host_facts
from agent.inbox import Inbox
from agent.log import configure_log
from agent.pipeline import Pipeline
from agent.policy import Policy, load_warnings
from agent.report import Alert, AlertBuilder
from agent.sinks.catalog import Sink, open_sinks
from agent.sources import SensorChoice, Sources
from collectors.events import Event, Lost, SweepDone
from detectors.base import Detector
from detectors.catalog import DETECTORS

DRAIN_SECONDS = 3.0
IDLE_SECONDS = 1.0
EXIT_OK = 0
EXIT_SINK_LOST = 1


class Agent:
    """One run of the agent. ``config_path`` is what SIGHUP reads again; ``None`` for the embedded defaults."""

    def __init__(self, config: Config, config_path: str | None) -> None:
        self._config = config
        self._config_path = config_path
        self._log = structlog.get_logger("agent")
        self._inbox = Inbox(config.limits.queue_events, time.time_ns, self._lost)
        self._sources: Sources | None = None
        self._stopping = False
        self._reloading = False
        self._is_ready = False

    def run(self) -> int:
        """Run until a signal ends it; the exit status."""
        self._handle_signals()
        collectors = assemble(self._config, self._inbox.put, watch_mounts=True)
        self._sources = Sources(self._config, collectors, self._inbox.put)
        choice = self._sources.choose()
        state = new_state(self._config, collectors.host, choice.tier)
        policy = self._new_policy(self._config)
        builder = AlertBuilder(read_host_facts(Path(collectors.roots.host), os.environ), __version__)
        pipeline = Pipeline(
            state,
            self._enabled(self._config),
            policy,
            builder,
            collectors.host.boot_id,
            max_findings=self._config.limits.findings,
        )
        sinks = open_sinks(self._config)
        self._log.info(
            "starting", version=__version__, sensor=choice.tier, reason=choice.reason, baseline=collectors.host.source
        )
        tell_containers(collectors, self._inbox.put)
        self._sources.start()
        try:
            return self._loop(pipeline, sinks, choice, collectors)
        finally:
            self._sources.stop()
            self._log.info("stopped", events=self._inbox.taken, events_lost=self._inbox.dropped)

    def _loop(self, pipeline: Pipeline, sinks: tuple[Sink, ...], choice: SensorChoice, collectors: Collectors) -> int:
        deadline: float | None = None
        while True:
            if self._reloading:
                self._reload(pipeline)
            if self._stopping and deadline is None:
                assert self._sources is not None
                self._sources.stop()
                deadline = time.monotonic() + DRAIN_SECONDS
            if deadline is not None and (len(self._inbox) == 0 or time.monotonic() > deadline):
                return EXIT_OK
            event = self._inbox.take(IDLE_SECONDS)
            if event is None:
                continue
            for alert in pipeline.feed(event):
                if not self._write(alert, sinks):
                    return EXIT_SINK_LOST
            self._note(event, pipeline, choice, collectors)

    def _note(self, event: Event, pipeline: Pipeline, choice: SensorChoice, collectors: Collectors) -> None:
        """Log what the agent itself must tell: that it is ready, and what was lost."""
        if isinstance(event, Lost):
            self._log.warning("events_lost", source=event.source, reason=event.reason, count=event.count)
        if isinstance(event, SweepDone) and not self._is_ready:
            self._is_ready = True
            self._log.info(
                "ready",
                sensor=choice.tier,
                reason=choice.reason,
                **pipeline.state_counts(),
                detectors=len(pipeline.counts),
                sweep_cpu_ms=round(event.cpu_ns / 1e6, 1),
                rss_mib=round(psutil.Process().memory_info().rss / 2**20, 1),
                baseline=collectors.host.source,
            )

    def _write(self, alert: Alert, sinks: tuple[Sink, ...]) -> bool:
        """Hand an alert to every sink; ``False`` when one is gone for good (nobody reads stdout any more)."""
        for sink in sinks:
            try:
                sink.write(alert)
            except SinkError as error:
                self._log.error("sink_failed", sink=error.sink, error=error.detail, alert=alert.id)
                return False
        return True

    def _lost(self) -> None:
        if self._sources is not None:
            self._sources.request_sweep()

    def _new_policy(self, config: Config) -> Policy:
        """The exceptions, with a word on those that hide much."""
        for warning in load_warnings(config.exceptions, DETECTORS):
            self._log.warning("exception_hides_much", why=warning)
        return Policy(config.exceptions)

    def _enabled(self, config: Config) -> tuple[Detector, ...]:
        return tuple(each for each in DETECTORS if each.id not in config.detectors.disabled)

    # Signals -----------------------------------------------------------------------------------------------------

    def _handle_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True
        self._inbox.wake()

    def _on_reload(self, _number: int, _frame: FrameType | None) -> None:
        self._reloading = True
        self._inbox.wake()

    def _reload(self, pipeline: Pipeline) -> None:
        """Read the configuration again: what can change while running does, a faulty file changes nothing."""
        self._reloading = False
        if self._config_path is None:
            self._log.info("reload_ignored", reason="the agent runs on embedded defaults")
            return
        try:
            config = load_config(self._config_path)
        except ConfigError as error:
            self._log.error("reload_refused", error=str(error))
            return
        pipeline.policy = self._new_policy(config)
        pipeline.use(self._enabled(config))
        configure_log(config.log)
        self._log.info("reloaded", needs_restart=_needs_restart(self._config, config))


def _needs_restart(old: Config, new: Config) -> list[str]:
    """The parts of the configuration that differ and are read at start only."""
    parts = ("sensor", "sweep", "ebpf", "netlink", "containers", "output", "roots", "limits")
    return [part for part in parts if getattr(old, part) != getattr(new, part)]
