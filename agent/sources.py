"""Starts, watches and stops everything that reads the node, and chooses the sensor tier.

Each source has a thread of its own and emits into the inbox; none touches the state. A source that ends with an error
is counted, logged once for each kind of error, and started again after a pause that doubles up to a minute
(``agent.care``). A loss anywhere asks the sweep for an immediate pass.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from agent import tally
from agent.assembly import Collectors, watched_patterns
from agent.care import Pauses, keep_running
from agent.config_schema import Config
from agent.control_schema import socket_path
from agent.ebpf_assembly import new_ebpf_source, new_ebpf_sweep
from agent.errors import ConfigError
from agent.own_files import own_patterns
from agent.pod_source import new_pod_watch
from collectors.connector.source import ConnectorSource
from collectors.containers.docker import DockerMetadata, SourceState, SourceStatus
from collectors.ebpf.iterator import EbpfSweep
from collectors.ebpf.object_watch import ObjectWatch
from collectors.ebpf.sensor import EbpfSource
from collectors.errors import CollectorError
from collectors.events import AgentTrouble, Event, HostSeen, NodeSeen, TroubleKind
from collectors.host import refresh_baseline
from collectors.kubernetes.kubelet_disk import KubeletDisk
from collectors.kubernetes.watch import PodSourceState, PodSourceStatus
from collectors.node.kubelet import static_pod_paths
from collectors.node.reader import read_node
from collectors.node_facts import NodeFacts
from collectors.own_objects import CONTROL_SOCKET, OwnObjects
from collectors.proc.tracer import read_tracer
from collectors.sweep import Sweep
from collectors.touchwatch import TouchWatch
from collectors.watched_objects import Pattern, static_pods
from detectors.base import Tier

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
JOIN_SECONDS = 2.0
HOST_REFRESH_SECONDS = 30.0
PATIENCE = 10  # times as rarely, while memory is short
NODE_REFRESH_SECONDS = 300.0

_ASKED_FOR = "the configuration asks for it"
_BEST = "the best tier there is"


def rest_seconds(cpu_seconds: float, share: float) -> float:
    """How long who used so much CPU rests, to have used no more than its share of one."""
    return cpu_seconds * (1 / share - 1)


@dataclass(slots=True)
class SourceHealth:
    """How one source does: whether it runs now, and how often it ended with an error, by error."""

    is_up: bool = False
    failures: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SensorChoice:
    """The tier that was taken, and why not a better one."""

    tier: Tier
    reason: str


class Sources:
    """Owns the threads. ``start`` may raise ``ConfigError`` where a tier was demanded that the node refuses."""

    def __init__(
        self,
        config: Config,
        collectors: Collectors,
        emit: Callable[[Event], None],
        *,
        config_path: str | None = None,
    ) -> None:
        self.health: dict[str, SourceHealth] = {}
        self._config = config
        self._collectors = collectors
        self._emit = emit
        self._tracer = 0
        self._own_files = (config_path, config.state.directory, socket_path(config.control, config.state.directory))
        self._own = OwnObjects(collectors.roots.proc, config.state.directory, self._own_files[2], config_path)
        self._stopping = threading.Event()
        self._sweep_wanted = threading.Event()
        self._tells_again = False
        self._threads: list[threading.Thread] = []
        self._patience = 1
        self._host = collectors.host
        self._host_refreshed = time.monotonic()
        self._node: NodeFacts | None = None
        self._node_due = time.monotonic()
        self._connector: ConnectorSource | None = None
        self._ebpf: EbpfSource | None = None
        self._object_watch: ObjectWatch | TouchWatch | None = None
        self._own_patterns: tuple[Pattern, ...] = ()
        self._sweeper: Sweep | EbpfSweep = collectors.sweep
        self._docker: DockerMetadata | None = None
        self._kubelet_disk = KubeletDisk(
            collectors.roots,
            collectors.registry,
            emit,
            clock_ns=time.time_ns,
            directory=config.kubernetes.kubelet_directory,
        )
        self._pods = new_pod_watch(config.kubernetes, collectors.registry, emit, os.environ, self._pods_changed)
        self._others: list[tuple[str, Callable[[], None], Callable[[], None]]] = []
        self._log = structlog.get_logger("sources")

    def choose(self) -> SensorChoice:
        """Open the best sensor that configuration and node allow, and what stands in for what it does not see."""
        choice, watch = self._choose(), self._collectors.touch_watch
        if choice.tier is not Tier.EBPF and watch is not None:
            watch.open()
            self._object_watch = watch
            self.watch_over("touch_watch", watch.run, watch.stop)
        return choice

    def _choose(self) -> SensorChoice:
        wanted = self._config.sensor
        if wanted == "poll":
            return SensorChoice(Tier.POLL, _ASKED_FOR)
        refused: list[str] = []
        for tier, take in ((Tier.EBPF, self._take_ebpf), (Tier.NETLINK, self._take_netlink)):
            if wanted not in (tier, "auto"):
                continue
            try:
                detail = take()
            except CollectorError as error:
                if wanted == tier:
                    raise ConfigError("", None, "sensor", f"{tier} is not to be had here: {error}") from error
                refused.append(f"{tier} is not to be had here: {error}")
                continue
            why = _ASKED_FOR if wanted == tier else "; ".join(refused) or _BEST
            return SensorChoice(tier, f"{why}; {detail}" if detail else why)
        return SensorChoice(Tier.POLL, "; ".join(refused))

    def _take_ebpf(self) -> str:
        """Load the eBPF programs; the task iterator is the sweep then. How calls are watched; may raise."""
        namespace, root = self._collectors.host.namespaces.mnt, self._collectors.roots.host
        host_mnt = namespace if isinstance(namespace, int) else 0
        patterns = watched_patterns(self._config)
        object_watch = ObjectWatch(patterns, root, host_mnt, clock_ns=time.monotonic_ns)
        source = new_ebpf_source(
            self._collectors,
            self._emit,
            ring_bytes=self._config.ebpf.ring_bytes,
            request_sweep=self.request_sweep,
            object_watch=object_watch,
        )
        source.open()
        self._ebpf, self._object_watch = source, object_watch
        self._own_patterns = own_patterns(*self._own_files)  # now that the library is loaded
        object_watch.use(self._own_patterns)
        self._sweeper = new_ebpf_sweep(self._collectors, source, self._emit, full_every=self._config.sweep.full_every)
        return source.way

    def _take_netlink(self) -> str:
        """Open the process connector; nothing to say of it. May raise a ``CollectorError``."""
        connector = ConnectorSource(
            self._collectors.observer,
            self._emit,
            receive_buffer_bytes=self._config.netlink.receive_buffer_bytes,
            request_sweep=self.request_sweep,
        )
        connector.open()
        self._connector = connector
        asked = self._config.netlink.receive_buffer_bytes
        # The kernel doubles what it gives (socket(7)); without CAP_NET_ADMIN it gives no more than net.core.rmem_max.
        if connector.receive_buffer_bytes < 2 * asked:
            why = "a burst of processes may lose events: CAP_NET_ADMIN or net.core.rmem_max gives more"
            self._log.warning("receive_buffer_small", bytes=connector.receive_buffer_bytes, asked=asked, why=why)
        return ""

    def watch_over(self, name: str, run: Callable[[], None], stop: Callable[[], None]) -> None:
        """Run another thread of the agent under the same care, from ``start`` to ``stop``."""
        self._others.append((name, run, stop))

    def start(self) -> None:
        """Start every source. Events flow from now on."""
        for name, run, _ in self._others:
            self._run(name, run)
        if self._ebpf is not None:
            self._run("ebpf", self._ebpf.run)
        if self._connector is not None:
            self._run("netlink", self._connector.run)
        if self._collectors.mount_watch is not None:
            self._run("mount_watch", self._collectors.mount_watch.run)
        self._run("sweep", self._sweep)
        if self._pods is not None:
            self._run("kubernetes", self._pods.run)
        docker = self._config.containers.docker
        if docker.enabled is not False:
            self._docker = DockerMetadata(
                self._collectors.registry,
                self._emit,
                clock_ns=time.time_ns,
                socket_path=docker.socket,
                on_change=self._docker_changed,
            )
            self._run("docker", self._docker.run)

    @property
    def connector(self) -> ConnectorSource | None:
        """The process connector, where the tier has one."""
        return self._connector

    @property
    def ebpf(self) -> EbpfSource | None:
        """The eBPF sensor, where the tier has one and it has not been closed."""
        return self._ebpf

    @property
    def docker_status(self) -> SourceStatus | None:
        """How the Docker API does; ``None`` where it is not asked."""
        return self._docker.status if self._docker is not None else None

    @property
    def pods_status(self) -> PodSourceStatus | None:
        """How the Kubernetes API does; ``None`` where it is not asked."""
        return self._pods.status if self._pods is not None else None

    def stream(self, containers: frozenset[str] | None) -> None:
        """Tell ordinary work of these containers too, of all (``None``) or of none, where the tier leaves it out."""
        if self._ebpf is None:
            return
        try:
            self._ebpf.stream(containers)
        except CollectorError as error:
            self._log.warning("stream_refused", why=str(error))

    def enrich_rarely(self, *, is_rare: bool) -> None:
        """Look for what alerts are enriched with (kubelet, node, host's programs) ten times as rarely, or as before."""
        self._patience = PATIENCE if is_rare else 1

    def request_sweep(self) -> None:
        """Something was lost: sweep at once, and tell everything again."""
        # No lock: who tells holds the observer's (test_a_full_queue_holds_up_nobody_who_tells).
        self._tells_again = True
        self._sweep_wanted.set()

    def stop(self) -> None:
        """Ask every source to end, and wait a little for each."""
        self._stopping.set()
        self._sweep_wanted.set()
        for source in (self._ebpf, self._connector, self._collectors.mount_watch, self._docker, self._pods):
            if source is not None:
                source.stop()
        for _, _, stop in self._others:
            stop()
        deadline = time.monotonic() + JOIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._ebpf is not None and not any(thread.is_alive() for thread in self._threads):
            self._ebpf.close()  # else the kernel does it when the process ends
            self._ebpf = None

    def _sweep(self) -> None:
        """One pass after the other; a pass that takes longer than the interval is followed by the next at once."""
        while not self._stopping.is_set():
            started, cpu_ns = time.monotonic(), time.thread_time_ns()
            self._sweep_wanted.clear()
            if self._stopping.is_set():
                return  # else the wish that it end may just have been cleared
            if self._tells_again:
                self._tells_again = False
                self._collectors.observer.forget_what_was_told()
                self._collectors.values.tell_again_at_next_look()
            self._refresh_node()  # before the sweep: it is told when the agent says that it is ready
            if self._ebpf is not None:
                self._ebpf.watch_objects()
            self._sweeper.run()
            self._collectors.observer.refresh_containers()
            if self._sweeper.number % self._patience == 0:
                self._kubelet_disk.look()
            self._look_at_ourselves()
            self._collectors.values.look()
            self._collectors.governing.look()
            self._collectors.sockets.look()
            self._note_problems()
            self._refresh_host()
            if self._sweeper.number == 1:
                self._collectors.observer.watch_host_mounts()
            # Also after a loss: who floods the node must not make the agent spin.
            self._stopping.wait(rest_seconds((time.thread_time_ns() - cpu_ns) / 1e9, self._config.sweep.cpu_share))
            self._sweep_wanted.wait(max(0.0, self._config.sweep.interval_seconds - (time.monotonic() - started)))

    def _look_at_ourselves(self) -> None:
        """Whether somebody has taken hold of us since the last pass."""
        tracer = read_tracer(self._collectors.roots.proc)
        if tracer and tracer != self._tracer:
            self._emit(AgentTrouble(time.time_ns(), TroubleKind.ATTACKED, "agent", "TracerPid", tracer))
        self._tracer = tracer
        changes = tuple(self._own.changes())
        if self._stopping.is_set():  # asked after the look: an agent that ends takes its socket away itself
            return
        for part, why in changes:
            self._emit(AgentTrouble(time.time_ns(), TroubleKind.ATTACKED, part, why))

    def asked_by(self, pid: int) -> None:
        """A process has connected to the control socket: told of a container, other than the agent's own pod's."""
        observer = self._collectors.observer
        tracked, ourselves = observer.observe(pid), observer.tracked(os.getpid()) or observer.observe(os.getpid())
        if tracked is None or tracked.container_id is None:
            return
        if ourselves is None or ourselves.container_id != tracked.container_id:
            self._emit(AgentTrouble(time.time_ns(), TroubleKind.ATTACKED, CONTROL_SOCKET, "connected", pid))

    def _refresh_host(self) -> None:
        """Every half minute: programs that were upgraded, disks that came."""
        if time.monotonic() < self._host_refreshed + HOST_REFRESH_SECONDS * self._patience:
            return
        self._host_refreshed = time.monotonic()
        host = refresh_baseline(self._host, self._collectors.roots, time.time_ns)
        if host != self._host:
            self._host = host
            self._emit(HostSeen(time.time_ns(), host))

    def _refresh_node(self) -> None:
        """At start and every five minutes: how the node's daemons and its kernel are configured."""
        if time.monotonic() < self._node_due:
            return
        self._node_due = time.monotonic() + NODE_REFRESH_SECONDS * self._patience
        node = read_node(self._collectors.roots, self._host)
        self._kubelet_disk.use(node.kubelet)
        if self._object_watch is not None:
            self._object_watch.use((*self._own_patterns, *static_pods(static_pod_paths(node.kubelet))))
        if node != self._node:
            self._node = node
            self._emit(NodeSeen(time.time_ns(), node))

    def _docker_changed(self, status: SourceStatus) -> None:
        """Say how the Docker API does; that there is no engine is worth a line only where one was asked for."""
        is_expected = status.state is SourceState.ABSENT and self._config.containers.docker.enabled == "auto"
        log = self._log.warning if status.state is SourceState.FAILING else self._log.info
        (self._log.debug if is_expected else log)("docker_api", state=status.state, why=status.why)

    def _pods_changed(self, status: PodSourceStatus) -> None:
        log = self._log.warning if status.state is PodSourceState.FAILING or status.why else self._log.info
        log("kubernetes_api", state=status.state, why=status.why)

    def _note_problems(self) -> None:
        """Bundles and state files that could not be read or understood, once each."""
        for source, why in self._collectors.registry.take_problems():
            self._log.warning("container_problem", source=source, why=why)

    def _run(self, name: str, body: Callable[[], None]) -> None:
        self.health[name] = SourceHealth()
        thread = threading.Thread(target=self._loop, args=(name, body), name=f"hullwatch-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _loop(self, name: str, body: Callable[[], None]) -> None:
        """Run a source until it is told to stop, whatever happens to it."""
        pauses = Pauses(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        health = self.health[name]

        def go_on(error: Exception) -> bool:
            health.is_up, pause = False, pauses.take()
            self._failed(name, error, pause)
            self._stopping.wait(pause)
            health.is_up = not self._stopping.is_set()
            return health.is_up

        health.is_up = True
        keep_running(body, go_on)

    def _failed(self, name: str, error: Exception, pause: float) -> None:
        reason = f"{type(error).__name__}: {error}"[:200]
        is_new = tally.count(self.health[name].failures, reason) == 1
        self._emit(AgentTrouble(time.time_ns(), TroubleKind.SENSOR_LOST, name, reason))
        if is_new:
            self._log.error("source_failed", source=name, error=reason, again_in_seconds=pause, exc_info=error)
