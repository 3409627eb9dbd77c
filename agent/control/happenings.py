"""What happens on the node, live, for those who watch: noted by the core's thread, put into plain values by the other.

While nobody watches, an event costs the core a test of an empty list. While somebody does, it is handed over with the
container and what was known before; the rest is the server's work. What a feed has no room for ends that feed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from agent import describe
from agent.control.answers import Feed
from agent.control.wanted import Wanted
from agent.formats.instant import timestamp
from agent.state import NodeState
from agent.text import arguments, clipped, to_text
from collectors.events import (
    CallMade,
    ContainerGone,
    ContainerSeen,
    CredentialChange,
    Event,
    Exec,
    Exit,
    FileTouched,
    Lost,
    MountMade,
    MountTable,
    NamespaceChange,
    ProcessEvent,
    ProcessReached,
    Ptrace,
    RawSocketHeld,
    Refused,
    RootChange,
    TcpConnected,
    UnixConnected,
)
from collectors.facts import NAMESPACE_KINDS, Confinement, Container, Executable, Mount, Process, ProcessKey, Unknown
from collectors.streamed import STREAM, Streamed

MAX_COMMAND = 4096
MAX_MOUNTS_SHOWN = 32
MAX_STREAMED = 1024

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Happening:
    """An event, whose it was, and what was known before it: of the process, or the mount table."""

    event: Event
    container: Container | None
    process: Process | None
    before: Process | tuple[Mount, ...] | Unknown | None


@dataclass(frozen=True, slots=True, eq=False)
class Watcher:
    """Who watches: what it wants, whether also of the host's own processes, and the way to it."""

    wanted: Wanted
    is_of_host: bool
    feed: Feed[Happening]


class Watch:
    """Called by the core's thread before and after each event; watchers come and go from the server's.

    ``on_watchers`` hears at each coming and going which containers are watched: their ids, or ``None`` for all.
    """

    def __init__(self, state: NodeState) -> None:
        self.on_watchers: Callable[[frozenset[str] | None], None] = lambda _: None
        self._state = state
        self._watchers: tuple[Watcher, ...] = ()
        self._streamed: dict[ProcessKey, Streamed] = {}  # the latest that executed something
        self._over: dict[ProcessKey, None] = {}  # the latest that ended

    def add(self, watcher: Watcher) -> None:
        """From now on it hears."""
        self._watchers = (*self._watchers, watcher)
        self._choose()

    def remove(self, watcher: Watcher) -> None:
        """It hears no more."""
        self._watchers = tuple(each for each in self._watchers if each is not watcher)
        self._choose()

    def _choose(self) -> None:
        chosen = {each.wanted.only_container for each in self._watchers}
        self.on_watchers(None if None in chosen else frozenset(each for each in chosen if each is not None))

    def streamed(self, event: Streamed) -> None:
        """What no detector hears of; called by the core's thread."""
        container = self._container(event.container_id)
        told, process = event.event, event.process
        if isinstance(told, Exec):
            self._streamed[told.process.key] = event
            if len(self._streamed) > MAX_STREAMED:
                del self._streamed[next(iter(self._streamed))]
        elif isinstance(told, Exit):  # who did not execute anything has nothing but its name now
            process = self._state.process(told.key) or self._streamed.get(told.key, event).process
            if self._is_over(told.key):
                return
        if container is not None or isinstance(told, Lost):
            self._offer(Happening(told, container, process, None))

    def _is_over(self, key: ProcessKey) -> bool:
        """The end of this process was told before; from now on it is."""
        is_over = key in self._over
        self._over[key] = None
        if len(self._over) > MAX_STREAMED:
            del self._over[next(iter(self._over))]
        return is_over

    def before(self, event: Event) -> Happening | None:  # noqa: PLR0911 (a kind of event each)
        """What is known before the event is taken into the state; ``None`` while nobody watches."""
        if not self._watchers:
            self._streamed.clear()
            self._over.clear()
            return None
        match event:
            case ProcessEvent(process=process):
                began = self._streamed.get(process.key)
                known = self._state.process(process.key) or (began.process if began is not None else None)
                return Happening(event, None, None, known)
            case Exit(key=key):
                gone, began = self._state.process(key), self._streamed.get(key)
                if self._is_over(key):  # a sweep misses what the stream has told the end of
                    return Happening(event, None, None, None)
                if gone is None and began is not None:
                    return Happening(event, self._container(began.container_id), began.process, None)
                return Happening(event, self._state.container_of(gone) if gone is not None else None, gone, None)
            case MountTable(mnt_namespace=namespace):
                return Happening(event, None, None, self._state.mounts(namespace))
            case ContainerGone(container_id=container_id):
                return Happening(event, self._container(container_id), None, None)
            case _:
                return Happening(event, None, None, None)

    def after(self, event: Event, before: Happening) -> None:
        """The event was taken into the state and judged."""
        container, process = before.container, before.process
        match event:
            case ProcessEvent(process=process):
                container = self._state.container_of(process)
            case Ptrace(tracer_pid=pid):
                process = self._state.process_by_pid(pid)
                container = self._state.container_of(process) if process is not None else None
            case ContainerSeen(container=seen):
                container = seen
            case MountTable(container_id=container_id) | UnixConnected(container_id=container_id):
                container = self._container(container_id)
            case TcpConnected(container_id=container_id) | RawSocketHeld(container_id=container_id):
                container = self._container(container_id)
            case _:
                pass
        self._offer(Happening(event, container, process, before.before))

    def _offer(self, happening: Happening) -> None:
        container = happening.container
        is_of_stream = isinstance(happening.event, Lost) and happening.event.source == STREAM
        for watcher in self._watchers:
            is_meant = (container is not None or watcher.is_of_host) and watcher.wanted.admits_container(container)
            if is_meant or is_of_stream:
                watcher.feed.offer(happening)

    def _container(self, container_id: str | None) -> Container | None:
        return self._state.container(container_id) if container_id is not None else None


def document(happening: Happening) -> Document | None:
    """The happening as plain values; ``None`` where there is nothing to tell."""
    told = _told(happening)
    if told is None:
        return None
    kind, details = told
    container, process = happening.container, happening.process
    pod = container.pod if container is not None else None
    found: Document = {
        "timestamp": timestamp(happening.event.at_ns),
        "kind": kind,
        "container": None
        if container is None
        else {
            "id": container.id,
            "name": (container.name or "").removeprefix("/") or None,
            "namespace": pod.namespace if pod is not None else None,
            "pod": pod.name if pod is not None else None,
        },
        "process": _process(process) if process is not None else None,
        **details,
    }
    return found


def _told(happening: Happening) -> tuple[str, Document] | None:  # noqa: C901, PLR0911, PLR0912 (a kind of event each)
    event, before = happening.event, happening.before
    match event:
        case Refused(call=call, error=error):
            return "refused", {"call": call, "errno": error}
        case CallMade(call=call, error=error, path=path):
            return "call", {"call": call, "errno": error, "path": to_text(path)}
        case FileTouched(touch=touch, path=path):
            return "file", {"touch": touch.value, "path": to_text(path)}
        case ProcessReached(call=call, error=error, target_pid=target, signal=number):
            return "reached", {"call": call, "errno": error, "target_pid": target, "signal": number}
        case MountMade(mount=mount):
            return "mounted", _mount(mount)
        case ProcessEvent(process=process):
            changed = list(_changes(before.confinement, process.confinement)) if isinstance(before, Process) else []
            kind = _KINDS.get(type(event))
            if kind is None:
                kind = "seen" if before is None else "change"
            return (kind, {"changed": changed}) if changed or kind in {"exec", "seen"} else None
        case Exit():
            return ("exit", {}) if happening.process is not None else None
        case Ptrace(target_pid=target):
            return "ptrace", {"target_pid": target}
        case MountTable(mounts=mounts):
            return _mounted(before, mounts)
        case ContainerSeen():
            return "container", {}
        case ContainerGone():
            return "container gone", {}
        case UnixConnected(path=path, server_executable=server):
            return "connected", {"to": to_text(path), "server": to_text(server)}
        case TcpConnected(connection=connection):
            return "connected", {"to": f"{connection.remote} port {connection.remote_port}", "server": None}
        case RawSocketHeld(kind=kind, protocol=protocol):
            return "raw socket", {"family": kind, "protocol": protocol}
        case Lost(source=source, reason=reason, count=count):
            return "lost", {"source": source, "reason": reason, "count": count}
        case _:
            return None


_KINDS: dict[type[Event], str] = {
    Exec: "exec",
    CredentialChange: "credentials",
    NamespaceChange: "namespaces",
    RootChange: "root",
}


def _mounted(before: object, now: tuple[Mount, ...]) -> tuple[str, Document] | None:
    if not isinstance(before, tuple):
        return None
    known = {mount.mnt_id for mount in before}
    left = {mount.mnt_id for mount in now}
    added = [_mount(each) for each in now if each.mnt_id not in known][:MAX_MOUNTS_SHOWN]
    removed = [_mount(each) for each in before if each.mnt_id not in left][:MAX_MOUNTS_SHOWN]
    return ("mounts", {"added": added, "removed": removed}) if added or removed else None


def _mount(mount: Mount) -> Document:
    return {"point": to_text(mount.point), "source": to_text(mount.source), "type": to_text(mount.fs_type)}


def _process(process: Process) -> Document:
    ids = process.confinement.uids
    return {
        "pid": process.key.pid,
        "parent_pid": process.parent_pid,
        "ns_pid": process.ns_pid,
        "name": to_text(process.name),
        "command_line": clipped(" ".join(arguments(process.arguments)), MAX_COMMAND),
        "executable": to_text(process.executable.path) if isinstance(process.executable, Executable) else None,
        "uid": None if isinstance(ids, Unknown) else ids.effective,
    }


def _changes(was: Confinement, now: Confinement) -> Iterator[Document]:
    """Each part of the confinement that is another one, in words."""
    for kind in NAMESPACE_KINDS:
        yield from _change(f"{kind} namespace", getattr(was.namespaces, kind), getattr(now.namespaces, kind))
    for name in ("root", "cwd", "uids", "gids", "no_new_privs", "seccomp", "lsm_label", "cgroups"):
        yield from _change(name, getattr(was, name), getattr(now, name))
    if isinstance(was.capabilities, Unknown) or isinstance(now.capabilities, Unknown):
        return
    for name in describe.CAPABILITY_SETS:
        before, after = getattr(was.capabilities, name), getattr(now.capabilities, name)
        if before != after:
            words = describe.capability_set(before), describe.capability_set(after)
            yield {"aspect": f"{name} capabilities", "was": words[0], "now": words[1]}


def _change(aspect: str, was: object, now: object) -> Iterator[Document]:
    if was != now and not isinstance(was, Unknown) and not isinstance(now, Unknown):
        yield {"aspect": aspect, "was": describe.value(was), "now": describe.value(now)}
