"""The running agent: ``hullwatch run``.

The main thread owns the node's state and the pipeline: it takes one event after the other from the inbox, and commits
the alerts to the outbox. Sources have threads of their own (``agent.sources``), and so have sinks
(``agent.delivery``), so that no receiver ever makes the main thread wait. Signal handlers only set a flag and
wake the main thread: SIGTERM and SIGINT drain what is queued and end, SIGHUP reads the configuration again.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from types import FrameType

import psutil
import structlog

from agent import __version__
from agent.assembly import Collectors, assemble, new_state, operators_rules, tell_containers
from agent.config import load_config
from agent.config_schema import Config
from agent.control.running import Control
from agent.errors import ConfigError
from agent.host_facts import read_host_facts
from agent.inbox import Inbox
from agent.incident_memory import IncidentMemory
from agent.incidents import INCIDENT
from agent.log import configure_log
from agent.memory import MemoryGuard, Step, keep_large_blocks_apart, read_resident, soft_limit
from agent.own_rights import give_up
from agent.pipeline import Pipeline
from agent.policy import Policy, load_warnings
from agent.report import AlertBuilder
from agent.sources import SensorChoice, Sources
from agent.state import NodeState
from agent.telemetry import Telemetry
from agent.way_out import WayOut
from collectors.events import Event, Lost, SweepDone
from collectors.streamed import Streamed
from detectors.base import Detector, Tier
from detectors.catalog import DETECTORS

DRAIN_SECONDS = 3.0
DELIVER_SECONDS = 5.0  # from the signal on, DRAIN_SECONDS included
LEAST_DELIVER_SECONDS = 1.0
IDLE_SECONDS = 1.0
EXIT_OK = 0
EXIT_SINK_LOST = 1


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the main loop works with, once it is all there."""

    pipeline: Pipeline
    way_out: WayOut
    choice: SensorChoice
    collectors: Collectors
    telemetry: Telemetry
    control: Control
    memory: MemoryGuard
    stories: IncidentMemory


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
        self._deliver_until = 0.0

    def run(self) -> int:
        """Run until a signal ends it; the exit status."""
        keep_large_blocks_apart()
        self._handle_signals()
        way_out = WayOut(self._config, on_gone=self._inbox.wake, emit=self._inbox.put)
        collectors = assemble(self._config, self._inbox.put, watch_mounts=True)
        self._sources = Sources(self._config, collectors, self._inbox.put, config_path=self._config_path)
        choice = self._sources.choose()
        self._inbox.gathers_bursts = choice.tier is not Tier.EBPF
        state = new_state(self._config, collectors.host, choice.tier)
        policy = self._new_policy(self._config)
        host = read_host_facts(Path(collectors.roots.host), os.environ)
        builder = AlertBuilder(host, __version__, way_out.first_sequence)
        pipeline = Pipeline(
            state,
            self._enabled(self._config),
            policy,
            builder,
            collectors.host.boot_id,
            tells_incidents=_tells_incidents(self._config),
            max_findings=self._config.limits.findings,
            timer_ns=time.perf_counter_ns,
        )
        directory = self._config.state.directory
        stories = IncidentMemory(None if directory is None else Path(directory))
        stories.restore(pipeline.incidents)
        telemetry = Telemetry(
            self._config,
            choice,
            collectors,
            self._sources,
            self._inbox,
            state,
            pipeline,
            way_out.delivery,
            held_back=way_out.held_back,
        )
        self._log.info(
            "starting", version=__version__, sensor=choice.tier, reason=choice.reason, baseline=collectors.host.source
        )
        control = Control(self._config, state, pipeline)
        memory = self._guard_memory(pipeline, way_out, state, collectors, control.lock)
        telemetry.watch_memory(memory.status)
        control.open(
            self._config_path,
            telemetry,
            way_out.history,
            host=host,
            reason=choice.reason,
            detectors=len(pipeline.counts),
            watch_over=self._sources.watch_over,
            stream=self._sources.stream,
            asked_by=self._sources.asked_by,
        )
        self._give_up_rights(choice, collectors)
        way_out.start(builder, control.committed)
        tell_containers(collectors, self._inbox.put)
        self._sources.start()
        try:
            return self._loop(_Parts(pipeline, way_out, choice, collectors, telemetry, control, memory, stories))
        finally:
            stories.keep(pipeline.incidents, time.time_ns(), is_last=True)
            self._sources.stop()
            way_out.stop(max(LEAST_DELIVER_SECONDS, self._deliver_until - time.monotonic()))
            self._log.info("stopped", events=self._inbox.taken, events_lost=self._inbox.dropped)

    def _loop(self, parts: _Parts) -> int:
        deadline: float | None = None
        while True:
            parts.telemetry.turned()
            if self._reloading:
                parts.way_out.reopen()
                parts.telemetry.reloaded(is_taken=self._reload(parts.pipeline))
            if self._stopping and deadline is None:
                assert self._sources is not None
                parts.telemetry.stopping()
                self._sources.stop()
                deadline = time.monotonic() + DRAIN_SECONDS
                self._deliver_until = time.monotonic() + DELIVER_SECONDS
            if deadline is not None and (len(self._inbox) == 0 or time.monotonic() > deadline):
                return EXIT_OK
            if parts.way_out.is_gone:
                self._log.error("sinks_gone", why="nobody takes alerts any more")
                return EXIT_SINK_LOST
            parts.memory.turned()
            event = self._inbox.take(IDLE_SECONDS)
            if isinstance(event, Streamed):
                parts.control.streamed(event)
                parts.way_out.turned(is_idle=len(self._inbox) == 0)
            elif event is not None:
                self._take(event, parts)

    def _take(self, event: Event, parts: _Parts) -> None:
        with parts.control.lock:
            seen = parts.control.before(event)
            for alert in parts.pipeline.feed(event):
                parts.way_out.take(alert)
                parts.telemetry.raised(alert)
            parts.control.after(event, seen)
        if isinstance(event, SweepDone):
            parts.way_out.swept(event.at_ns)
            parts.stories.keep(parts.pipeline.incidents, event.at_ns)
        parts.way_out.turned(is_idle=len(self._inbox) == 0)
        parts.telemetry.handled(event)
        self._note(event, parts.pipeline, parts.choice, parts.collectors)

    def _guard_memory(
        self, pipeline: Pipeline, way_out: WayOut, state: NodeState, collectors: Collectors, lock: Lock
    ) -> MemoryGuard:
        """The steps by which memory is saved, in their order (docs/threat-model.md)."""
        assert self._sources is not None
        rarely = self._sources.enrich_rarely

        def shorten(*, is_short: bool) -> None:
            with lock:
                pipeline.incidents.shorten(is_short=is_short)
            way_out.spare_memory(is_sparing=is_short)

        def refuse(*, is_refusing: bool) -> None:
            state.refuses_host_processes = is_refusing

        steps = (
            Step("caches", _nothing, _nothing),  # dropped with every step
            Step("histories", partial(shorten, is_short=True), partial(shorten, is_short=False)),
            Step("enrichment", partial(rarely, is_rare=True), partial(rarely, is_rare=False)),
            Step("processes", partial(refuse, is_refusing=True), partial(refuse, is_refusing=False)),
        )
        roots = collectors.roots
        return MemoryGuard(
            soft_limit(self._config.limits.memory_bytes, os.environ, roots.proc, roots.sys),
            steps,
            read_bytes=read_resident,
            monotonic=time.monotonic,
            refused=lambda: state.refused_host_processes,
        )

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

    def _give_up_rights(self, choice: SensorChoice, collectors: Collectors) -> None:
        """Before any thread is started: rights are a thread's, and the others inherit these."""
        hardening = self._config.hardening
        rights = give_up(
            choice.tier,
            collectors.roots.proc,
            drop_capabilities=hardening.drop_capabilities,
            filter_calls=hardening.syscall_filter,
            keep=frozenset({"CAP_CHOWN"} if self._config.control.group is not None else ()),  # of the control socket
        )
        self._log.info("rights", kept=rights.kept, dropped=len(rights.dropped), refused_calls=rights.refused_calls)
        for trouble in rights.trouble:
            self._log.warning("rights_kept", why=trouble)

    def _lost(self) -> None:
        if self._sources is not None:
            self._sources.request_sweep()

    def _new_policy(self, config: Config) -> Policy:
        """The exceptions, with a word on those that hide much."""
        for warning in load_warnings(config.exceptions, DETECTORS):
            self._log.warning("exception_hides_much", why=warning)
        return Policy(config.exceptions)

    def _enabled(self, config: Config) -> tuple[Detector, ...]:
        every = (*DETECTORS, *operators_rules(config, time.thread_time_ns))
        return tuple(each for each in every if each.id not in config.detectors.disabled)

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

    def _reload(self, pipeline: Pipeline) -> bool:
        """Read the configuration again: what can change while running does, a faulty file (``False``) nothing."""
        self._reloading = False
        if self._config_path is None:
            self._log.info("reload_ignored", reason="the agent runs on embedded defaults")
            return False
        try:
            config = load_config(self._config_path)
        except ConfigError as error:
            self._log.error("reload_refused", error=str(error))
            return False
        pipeline.policy = self._new_policy(config)
        pipeline.use(self._enabled(config), tells_incidents=_tells_incidents(config))
        configure_log(config.log)
        self._log.info("reloaded", needs_restart=_needs_restart(self._config, config))
        return True


def _nothing() -> None:
    """A step that does nothing of its own."""


def _tells_incidents(config: Config) -> bool:
    return INCIDENT.id not in config.detectors.disabled


def _needs_restart(old: Config, new: Config) -> list[str]:
    """The parts of the configuration that differ and are read at start only."""
    parts = (
        "sensor",
        "sweep",
        "ebpf",
        "netlink",
        "containers",
        "kubernetes",
        "state",
        "output",
        "metrics",
        "control",
        "roots",
        "limits",
        "hardening",
    )
    return [part for part in parts if getattr(old, part) != getattr(new, part)]
