"""``process`` of the native document: who acted, and who stands above. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from msgspec import Raw

from agent.formats.ecs_confinement import CACHED, MAX_TEXT, Same, raw_json, thread_capabilities
from agent.formats.ecs_document import Ancestor, Id, Parent, RawBytes, Thread
from agent.formats.ecs_document import Process as ProcessPart
from agent.formats.instant import timestamp
from agent.report import Alert
from agent.text import arguments, clipped, raw_base64, to_text, valid
from collectors.facts import Executable, HostBaseline, Ids, Process, ProcessKey

MAX_ANCESTOR_COMMAND_LINE = 256


def process_part(alert: Alert) -> ProcessPart | None:
    """The acting process; ``None`` where there is none."""
    process = alert.process
    if process is None:
        return _absent(alert)
    leader = process.thread_of or process.key
    confinement = process.confinement
    uids = confinement.uids if isinstance(confinement.uids, Ids) else None
    gids = confinement.gids if isinstance(confinement.gids, Ids) else None
    args = arguments(process.arguments)
    return ProcessPart(
        pid=leader.pid,
        entity_id=entity_id(alert.node.boot_id, leader),
        name=to_text(process.name),
        executable=_executable(process),
        vpid=process.ns_pid,
        args=list(args) or None,
        command_line=clipped(" ".join(args), MAX_TEXT) or None,
        start=_start(alert.node, leader),
        parent=_parent(Same(alert.ancestors[0], alert.node)) if alert.ancestors else Parent(process.parent_pid),
        thread=Thread(process.key.pid, thread_capabilities(confinement)),
        user=None if uids is None else Id(str(uids.effective)),
        real_user=None if uids is None else Id(str(uids.real)),
        saved_user=None if uids is None else Id(str(uids.saved)),
        group=None if gids is None else Id(str(gids.effective)),
    )


def ancestors_part(alert: Alert) -> list[Raw]:
    """``hullwatch.ancestors``: from the parent upwards."""
    return [_ancestor(Same(each, alert.node)) for each in alert.ancestors]


def raw_part(alert: Alert) -> list[RawBytes]:
    """The bytes of every field that was not UTF-8, so that what U+FFFD stands for can be had."""
    return [RawBytes(field, text) for field, text in _raw(alert)]


def entity_id(boot_id: str, key: ProcessKey) -> str:
    """The identity of a process among all nodes and boots."""
    return f"{valid(boot_id)}:{key.pid}:{key.start_ticks}"


def _absent(alert: Alert) -> ProcessPart | None:
    """What is known of a process that ended before anybody looked."""
    if alert.subject is None:
        return None
    return ProcessPart(
        pid=alert.subject.pid,
        entity_id=entity_id(alert.node.boot_id, alert.subject),
        start=_start(alert.node, alert.subject),
    )


@lru_cache(CACHED)
def _parent(same: Same[Process, HostBaseline]) -> Raw:
    parent, node = same.value, same.beside
    leader = parent.thread_of or parent.key
    return raw_json(
        Parent(
            pid=leader.pid,
            entity_id=entity_id(node.boot_id, leader),
            name=to_text(parent.name),
            executable=_executable(parent),
            args=list(arguments(parent.arguments[:MAX_ANCESTOR_COMMAND_LINE])) or None,
            command_line=_short_command_line(parent),
            start=_start(node, leader),
        )
    )


@lru_cache(CACHED)
def _ancestor(same: Same[Process, HostBaseline]) -> Raw:
    process = same.value
    leader = process.thread_of or process.key
    return raw_json(
        Ancestor(
            pid=leader.pid,
            entity_id=entity_id(same.beside.boot_id, leader),
            name=to_text(process.name),
            executable=_executable(process),
            command_line=_short_command_line(process),
        )
    )


def _executable(process: Process) -> str | None:
    if not isinstance(process.executable, Executable):
        return None
    return clipped(to_text(process.executable.path), MAX_TEXT)


def _short_command_line(process: Process) -> str | None:
    return clipped(" ".join(arguments(process.arguments)), MAX_ANCESTOR_COMMAND_LINE) or None


def _start(node: HostBaseline, key: ProcessKey) -> str:
    ticks_per_second = max(node.ticks_per_second, 1)
    return timestamp(node.boot_time_ns + key.start_ticks * 1_000_000_000 // ticks_per_second)


def _raw(alert: Alert) -> Iterator[tuple[str, str]]:
    process = alert.process
    fields: list[tuple[str, bytes]] = []
    if process is not None:
        fields += [("process.name", process.name), ("process.args", process.arguments[:MAX_TEXT])]
        if isinstance(process.executable, Executable):
            fields.append(("process.executable", process.executable.path[:MAX_TEXT]))
    fields += [
        (f"hullwatch.evidence.{valid(name)}", value) for name, value in alert.evidence if isinstance(value, bytes)
    ]
    for field, raw in fields:
        encoded = raw_base64(raw[:MAX_TEXT])
        if encoded is not None:
            yield field, encoded
