"""A look at the node without an agent: what is there, what detectors say of it, and what could not be seen.

``scan``, ``ps`` and ``inspect`` share it. Collectors emit into a plain list; Docker's names come from a thread of their
own. A look that is to be judged takes two passes: only the second one knows whose descriptors are worth reading.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from agent import __version__
from agent.cli import agent_link
from agent.cli.output import Refused
from agent.config_schema import Config
from agent.errors import ConfigError
from agent.state import NodeState
from collectors.errors import CollectorError
from collectors.events import (
    ContainerSeen,
    Event,
    MountTable,
    NodeSeen,
    ProcessEvent,
    Seen,
    TcpConnected,
    UnixConnected,
)
from collectors.facts import Confinement, Process, Unknown
from detectors.base import Tier

if TYPE_CHECKING:  # what a look of our own needs, and an answer of the agent does not, is imported where it is used
    from agent.assembly import Collectors
    from agent.pipeline import DetectorCounts, Pipeline
    from agent.report import Alert
    from collectors.governing import GoverningSocket

NEEDED_CAPABILITIES = ("CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH")
"""What a look needs beyond uid 0: ``/proc/PID/{exe,root,cwd,ns}`` of others, and files that belong to other users."""

DOCKER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The node at one moment. ``unseen`` are lines for a person: what could not be seen, and why.

    ``connections`` are those of containers to who governs them or the node; a look that judges knows them.
    ``read_governing`` looks for the sockets behind them, and may raise a ``CollectorError`` kind.
    """

    state: NodeState
    alerts: tuple[Alert, ...]
    unseen: tuple[str, ...]
    connections: tuple[UnixConnected | TcpConnected, ...] = ()
    read_governing: Callable[[], tuple[GoverningSocket, ...]] = tuple


Look = Callable[[Config, bool], Snapshot]
"""Takes the configuration, and whether detectors are to judge. Tests put one of their own into click's ``obj``."""


def look_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--config``, and what says whether and where the agent is asked (see ``agent_link``)."""
    return config_option(agent_link.no_agent_option(agent_link.socket_option(command)))


config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The agent's configuration; its defaults where none is given.",
)


def read(config_path: Path | None) -> Config:
    """The configuration in the file, the defaults without one; raises ``Refused``."""
    if config_path is None:
        return Config()
    from agent.config import load_config  # with PyYAML

    try:
        return load_config(config_path)
    except ConfigError as error:
        raise Refused(str(error)) from error


def look(config: Config, judge: bool) -> Snapshot:  # noqa: FBT001 (a ``Look``, which tests replace)
    """What the running agent knows of this node; without one, what a look of our own shows. Says which it was.

    Where detectors are to judge, a look of our own comes on top of what the agent remembers, if we may. Raises
    ``Refused`` without the permission or the file systems that a look needs.
    """
    known = agent_link.picture(config)
    if known is not None and not judge:
        return Snapshot(known, (), ())
    if known is not None and os.geteuid() != 0:
        return _judged_from_memory(config, known)
    return _looked(config, known, judge=judge)


def look_here(config: Config, judge: bool) -> Snapshot:  # noqa: FBT001 (a ``Look``)
    """What a look of our own shows, now, whether there is an agent or not; says nothing. Raises ``Refused``."""
    return _looked(config, None, judge=judge)


def _looked(config: Config, known: NodeState | None, *, judge: bool) -> Snapshot:
    if os.geteuid() != 0:
        raise Refused("only root sees what other users' processes hold: run it as root")
    try:
        return _look(config, known, judge=judge)
    except (OSError, CollectorError) as error:
        raise Refused(f"this node can't be looked at: {error}") from error


def _judged_from_memory(config: Config, state: NodeState) -> Snapshot:
    """Have detectors judge what the agent remembers, and nothing else."""
    from agent.host_facts import read_host_facts
    from agent.pipeline import Pipeline
    from agent.policy import Policy
    from agent.report import AlertBuilder
    from detectors.catalog import DETECTORS

    detectors = [each for each in DETECTORS if each.id not in config.detectors.disabled]
    builder = AlertBuilder(read_host_facts(Path("/"), os.environ), __version__)
    pipeline = Pipeline(state, detectors, Policy(config.exceptions), builder, state.host.boot_id)
    events: list[Event] = [ContainerSeen(time.time_ns(), each) for each in state.containers()]
    events += (each.event for each in state.remembered()[2])
    events += (Seen(each.observed_ns, each) for each in state.processes())
    alerts = tuple(alert for event in events for alert in pipeline.feed(event))
    here = "judged by what the agent remembers alone: only root can look at kernel values and sockets besides"
    return Snapshot(state, alerts, (here, *undecided(pipeline.counts)))


def _look(config: Config, known: NodeState | None, *, judge: bool) -> Snapshot:
    from agent.assembly import assemble, new_state, operators_rules, tell_containers
    from agent.host_facts import read_host_facts
    from agent.pipeline import Pipeline
    from agent.policy import Policy
    from agent.report import AlertBuilder
    from collectors.governing import read_governing
    from collectors.node.reader import read_node
    from detectors.catalog import DETECTORS

    events: list[Event] = []
    every_pass = msgspec.structs.replace(config, sweep=msgspec.structs.replace(config.sweep, full_every=1))
    collectors = assemble(every_pass, events.append, watch_mounts=False)
    state = known if known is not None else new_state(config, collectors.host, Tier.POLL)
    host = read_host_facts(Path(collectors.roots.host), os.environ)
    every = (*DETECTORS, *operators_rules(config, time.thread_time_ns)) if judge else ()
    detectors = [each for each in every if each.id not in config.detectors.disabled]
    pipeline = Pipeline(
        state, detectors, Policy(config.exceptions), AlertBuilder(host, __version__), collectors.host.boot_id
    )
    if judge:
        events.append(NodeSeen(time.time_ns(), read_node(collectors.roots, collectors.host)))
    tell_containers(collectors, events.append)
    names_known = _ask_docker(config, collectors, events.append)
    collectors.sweep.run()
    _tell_host_mounts(collectors, events)
    nameless = names_known()
    alerts = _judged(collectors, state, pipeline, events) if judge else _known(state, events)
    return Snapshot(
        state,
        alerts,
        (*nameless, *_unseen(collectors, state, pipeline.counts)),
        tuple(event for event in events if isinstance(event, UnixConnected | TcpConnected)),
        lambda: read_governing(collectors.roots, collectors.host, collectors.governors, _of_host(state)),
    )


def _of_host(state: NodeState) -> Iterator[Process]:
    return (each for each in state.processes() if state.container_of(each) is None)


def _ask_docker(config: Config, collectors: Collectors, emit: Callable[[Event], None]) -> Callable[[], tuple[str, ...]]:
    """Ask Docker for names while the node is swept; the answer waits for it a little, and says what went wrong."""
    from collectors.containers.docker import DockerMetadata, SourceState, SourceStatus

    docker = config.containers.docker
    answered = threading.Event()

    def changed(_: SourceStatus) -> None:
        answered.set()

    source = DockerMetadata(
        collectors.registry,
        emit,
        clock_ns=time.time_ns,
        socket_path=docker.socket,
        on_change=changed,
        timeout_seconds=DOCKER_SECONDS,
    )
    if docker.enabled is False or not os.path.exists(docker.socket):
        return tuple
    # A daemon, as the command must not wait for an engine that hangs.
    threading.Thread(target=source.run, name="docker", daemon=True).start()

    def finish() -> tuple[str, ...]:
        is_in_time = answered.wait(DOCKER_SECONDS)
        status = source.status
        source.stop()
        if not is_in_time:
            return (f"names of Docker's containers are not known: no answer within {DOCKER_SECONDS} seconds",)
        if status.state is SourceState.FAILING:
            return (f"names of Docker's containers are not known: {status.why}",)
        return ()

    return finish


def _tell_host_mounts(collectors: Collectors, events: list[Event]) -> None:
    """The host's own mount table, from the first process that is seen in its mount namespace."""
    host = collectors.host.namespaces.mnt
    if isinstance(host, Unknown):
        return
    for event in events:
        if isinstance(event, ProcessEvent) and event.process.confinement.namespaces.mnt == host:
            try:
                mounts = collectors.reader.read_mounts(event.process.key, host)
            except CollectorError:
                continue
            events.append(MountTable(event.at_ns, host, None, event.process.key, mounts))
            return


def _known(state: NodeState, events: Iterable[Event]) -> tuple[Alert, ...]:
    """Take the events into the state, and judge nothing."""
    for event in events:
        state.apply(event)
    state.take_pending()
    return ()


def _judged(collectors: Collectors, state: NodeState, pipeline: Pipeline, events: list[Event]) -> tuple[Alert, ...]:
    """First know everybody, then look at members of containers again, closely, and judge all that was seen.

    So no detector is asked about a process whose container, first process or descriptors are yet to come.
    """
    collectors.governing.look_now()
    _known(state, events)
    seen = [event for event in events if not _is_member(state, event) and not _is_old(state, event)]
    events.clear()
    collectors.observer.forget_what_was_told()
    collectors.sweep.run()
    collectors.values.look()
    collectors.sockets.look_now()
    return tuple(alert for event in (*seen, *events) for alert in pipeline.feed(event))


def _is_member(state: NodeState, event: Event) -> bool:
    return isinstance(event, ProcessEvent) and state.container_of(event.process) is not None


def _is_old(state: NodeState, event: Event) -> bool:
    """A container was told again since, with its name: a finding of it should bear that."""
    return isinstance(event, ContainerSeen) and state.container(event.container.id) not in {None, event.container}


def _unseen(collectors: Collectors, state: NodeState, counts: Mapping[str, DetectorCounts]) -> Iterator[str]:
    """What this look could not see, a line each."""
    yield from _missing_capabilities()
    yield from (f"containers: {source}: {problem}" for source, problem in collectors.registry.problems())
    yield from unknown_facts(state.processes())
    yield from undecided(counts)
    for table, dropped in state.overflow.items():
        if dropped:
            yield f"the table of {table} is full, {dropped} were left out: raise limits.{table}"


def _missing_capabilities() -> Iterator[str]:
    from collectors.capabilities import mask, names
    from collectors.proc.status import parse_status

    try:
        held = parse_status(Path("/proc/self/status").read_bytes()).capabilities
    except (OSError, CollectorError):
        return
    missing = mask(NEEDED_CAPABILITIES) & ~held.effective
    if missing:
        yield f"without {' and '.join(names(missing))} much of other users' processes is out of sight"


def unknown_facts(processes: Iterable[Process]) -> Iterator[str]:
    """Which facts could not be read, why, and of how many processes: a line for each combination."""
    found: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for process in processes:
        if not process.is_kernel_thread:
            found.update(_unknown_in(process.confinement))
    for (kind, facts), count in sorted(found.items()):
        yield f"not known of {count} process{'' if count == 1 else 'es'} ({kind}): {', '.join(facts)}"


def _unknown_in(confinement: Confinement) -> list[tuple[str, tuple[str, ...]]]:
    """The facts that are ``Unknown``, by the kind of the reason."""
    by_kind: dict[str, list[str]] = {}
    for holder, suffix in ((confinement.namespaces, " namespace"), (confinement, "")):
        for each in fields(holder):
            value = getattr(holder, each.name)
            if isinstance(value, Unknown):
                by_kind.setdefault(value.why.split(":")[0], []).append(f"{each.name}{suffix}")
    return [(kind, tuple(facts)) for kind, facts in by_kind.items()]


def undecided(counts: Mapping[str, DetectorCounts]) -> Iterator[str]:
    """What detectors could not tell, or failed at; one line for each reason."""
    blind: dict[str, list[str]] = {}
    for rule_id, each in counts.items():
        for why, count in each.blind.items():
            blind.setdefault(why, []).append(f"{rule_id} ({count})")
        for why, count in each.failures.items():
            yield f"{rule_id} failed {count} times: {why}"
    for why, rules in blind.items():
        yield f"could not tell: {', '.join(rules)}: {why}"
