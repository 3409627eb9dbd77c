"""Puts the collectors together for one node: what the agent, ``scan``, ``ps`` and ``inspect`` share.

Nothing is started here. ``Collectors.sweep.run()`` once, and the state of the node is in the events that were emitted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.config_schema import Config
from agent.state import NodeState
from collectors.containers.registry import ContainerRegistry
from collectors.events import ContainerSeen, Event
from collectors.facts import HostBaseline
from collectors.governing_watch import GoverningWatch
from collectors.governors import Governors
from collectors.held_files import HeldFiles
from collectors.host import Roots, detect_roots, read_baseline
from collectors.mountwatch import MountWatch
from collectors.observer import Observer
from collectors.proc.mountinfo import parse_mountinfo
from collectors.proc.process import ProcessReader
from collectors.sockets import SocketWatch
from collectors.sweep import Sweep
from collectors.touchwatch import TouchWatch
from collectors.values import KernelValues
from collectors.watched_objects import WATCHED, Pattern, configured
from detectors.base import Detector, Tier


@dataclass(frozen=True, slots=True)
class Collectors:
    """Everything that reads one node, wired to one ``emit``."""

    roots: Roots
    host: HostBaseline
    reader: ProcessReader
    registry: ContainerRegistry
    mount_watch: MountWatch | None
    touch_watch: TouchWatch | None
    observer: Observer
    sweep: Sweep
    values: KernelValues
    governors: Governors
    governing: GoverningWatch
    sockets: SocketWatch


def assemble(config: Config, emit: Callable[[Event], None], *, watch_mounts: bool) -> Collectors:
    """Read the host's baseline and build the collectors. ``watch_mounts`` is for those who stay."""
    roots = configured_roots(config)
    host = read_baseline(roots, time.time_ns)
    reader = ProcessReader(roots, time.time_ns, nsfs_device=host.nsfs_device)
    registry = ContainerRegistry(
        roots, extra_state_directories=config.containers.state_directories, clock_ns=time.time_ns
    )
    observer = Observer(
        reader,
        registry,
        host,
        roots,
        emit,
        clock_ns=time.time_ns,
        uptime_ns=lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        descriptors=config.sweep.descriptors,
        limit=config.limits.processes,
    )
    mount_watch = touch_watch = None
    if watch_mounts:
        mount_watch = MountWatch(Path(roots.proc), observer.mounted, parse_mountinfo, time.time_ns)
        observer.watch_mounts_with(mount_watch)
        held_files = HeldFiles(roots.proc)
        observer.tell_held_files(held_files)
        touch_watch = TouchWatch(
            watched_patterns(config), roots, observer, held_files, descriptors=config.sweep.descriptors
        )
    sweep = Sweep(
        observer,
        roots,
        emit,
        clock_ns=time.time_ns,
        cpu_ns=time.thread_time_ns,
        full_every=config.sweep.full_every,
    )
    values = KernelValues(roots, host, emit, clock_ns=time.time_ns, containers=registry.containers)
    governors = Governors(roots, host)
    governing = GoverningWatch(roots, host, observer, registry, emit, governors=governors, clock_ns=time.time_ns)
    sockets = SocketWatch(roots, host, observer, emit, governors=governors, clock_ns=time.time_ns)
    return Collectors(
        roots, host, reader, registry, mount_watch, touch_watch, observer, sweep, values, governors, governing, sockets
    )


def watched_patterns(config: Config) -> tuple[Pattern, ...]:
    """The files of the host to watch: those that are known, and the configuration's."""
    return (*WATCHED, *(configured(each.path, each.kind, below=each.below) for each in config.watched_objects))


def configured_roots(config: Config) -> Roots:
    """The roots of /proc, /sys and / that the configuration names; what it leaves open is detected."""
    detected = detect_roots()
    return Roots(
        proc=config.roots.proc or detected.proc,
        sys=config.roots.sys or detected.sys,
        host=config.roots.host or detected.host,
    )


def new_state(config: Config, host: HostBaseline, tier: Tier) -> NodeState:
    """An empty state with the configured bounds."""
    return NodeState(host, tier, max_processes=config.limits.processes, max_containers=config.limits.containers)


def operators_rules(config: Config, timer_ns: Callable[[], int]) -> tuple[Detector, ...]:
    """The rules of the configuration as detectors; the library that they need is imported for them alone."""
    if not config.rules:
        return ()
    from agent.rules.rule import detectors_of

    return detectors_of(config.rules, timer_ns)


def tell_containers(collectors: Collectors, emit: Callable[[Event], None]) -> int:
    """Emit every container that is on the node already; before the first sweep, so that its processes find theirs."""
    containers = collectors.registry.discover()
    for container in containers:
        emit(ContainerSeen(time.time_ns(), container))
    return len(containers)
