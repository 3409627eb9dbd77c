"""Looks at made-up nodes, for the tests of commands: the real state and pipeline, fed with made-up facts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from click.testing import CliRunner, Result

from agent.cli import main
from agent.cli.node import Look, Snapshot
from agent.config_schema import Config
from agent.pipeline import Pipeline
from agent.policy import Policy
from agent.report import AlertBuilder
from agent.state import NodeState
from collectors.events import ContainerSeen, Event, Exec, MountTable, Seen
from collectors.facts import Container, FileId, Place, Process
from detectors.base import Tier
from detectors.catalog import DETECTORS
from tests.agent.alerts import HOST
from tests.support import build

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\x08a\nb\t\u202e\u2028\ud800<&\"'{}: #"
"""Everything that a terminal obeys or hides: escapes of both sorts, carriage return, bidi, a lone surrogate."""

FOREIGN_MOUNT = 9


def sleeping(number: int, **facts: Any) -> tuple[Event, ...]:
    """Container ``number`` with its first process."""
    container = build.container(number, **facts)
    first = build.first_process(number)
    mnt = first.confinement.namespaces.mnt
    assert isinstance(mnt, int)
    return (
        ContainerSeen(build.NOW_NS, container),
        MountTable(build.NOW_NS, mnt, container.id, first.key, build.mount_table(number)),
        Exec(build.NOW_NS, first),
    )


def escaped(number: int = 1, pid: int = 4242, **facts: Any) -> Process:
    """A process of a container that joined the host's mnt namespace and holds every capability."""
    confinement = build.confinement(
        number,
        namespaces=build.namespaces(number, mnt=build.HOST_MNT),
        root=build.HOST_ROOT_PLACE,
        cwd=build.HOST_ROOT_PLACE,
        capabilities=build.capabilities(build.FULL_CAPABILITIES),
        seccomp=build.seccomp(0),
    )
    return build.process(
        pid, number, **{"name": b"sh", "arguments": b"sh\0-c\0id\0", "confinement": confinement, **facts}
    )


def look_at(*events: Event, unseen: tuple[str, ...] = ()) -> Look:
    """A look at a node on which these events happened."""

    def look(config: Config, judge: bool) -> Snapshot:  # a ``Look``
        state = NodeState(build.host_baseline(), Tier.POLL, max_processes=1000, max_containers=100)
        detectors = DETECTORS if judge else ()
        pipeline = Pipeline(state, detectors, Policy(config.exceptions), AlertBuilder(HOST, "0.1.0"), "boot")
        host = Seen(build.NOW_NS, build.host_process(900))
        alerts = tuple(alert for event in (host, *events) for alert in pipeline.feed(event))
        return Snapshot(state, alerts, unseen)

    return look


def clean() -> Look:
    """Two honest containers."""
    return look_at(*sleeping(1), *sleeping(2))


def broken_out() -> Look:
    """Two containers, a process of the first one is out."""
    return look_at(*sleeping(1), *sleeping(2), Seen(build.NOW_NS, escaped()), unseen=("root of 3 is not known",))


def hostile() -> Look:
    """A node on which everything that can be named is named to hurt, and something is found about each."""
    return look_at(*hostile_events(), unseen=(f"problem with {HOSTILE}",))


def hostile_events() -> tuple[Event, ...]:
    """What happens on that node."""
    raw = HOSTILE.encode("utf-8", "surrogatepass") + b"\xff\xfe"
    container: Container = build.container(
        name=HOSTILE,
        image=HOSTILE,
        labels=((HOSTILE, HOSTILE),),
        runtime=HOSTILE,
        bundle_path=HOSTILE,
        declared=build.declared(
            root_path=HOSTILE,
            working_directory=HOSTILE,
            apparmor_profile=HOSTILE,
            cgroups_path=HOSTILE,
            namespaces=(),
        ),
    )
    first = build.first_process(name=raw, arguments=raw + b"\0" + raw)
    mnt = first.confinement.namespaces.mnt
    assert isinstance(mnt, int)
    table = (
        *build.mount_table(),
        build.mount(FOREIGN_MOUNT, raw, root=raw, fs_type=raw, source=raw),
    )
    inside = escaped(
        name=raw,
        arguments=raw,
        executable=build.executable(raw, place=Place(FileId(build.HOST_DEVICE, 5), build.HOST_ROOT_MOUNT)),
    )
    inside = replace(inside, confinement=replace(inside.confinement, lsm_label=raw))
    return (
        ContainerSeen(build.NOW_NS, container),
        MountTable(build.NOW_NS, mnt, container.id, first.key, table),
        Exec(build.NOW_NS, first),
        Seen(build.NOW_NS, inside),
    )


def invoke(look: Look | None, *arguments: str, **options: Any) -> Result:
    """Run ``hullwatch`` with these arguments on that node."""
    return CliRunner().invoke(main, arguments, obj=look, **options)
