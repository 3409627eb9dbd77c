"""What an operator's rule may ask about: every field with its type, and which events have it.

A field is read when a rule names it, and never else. A fact that is ``Unknown`` is no value: a rule that cannot do
without it is blind, and says so. All text is valid UTF-8 (U+FFFD for the rest) and bounded by what the collectors read.
Pure. The page ``docs/reference/rules.md`` is made of these tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from agent.describe import shared_with_host
from agent.rules.events import EVENTS, kind_of
from agent.text import arguments, to_text, valid
from collectors.capabilities import names
from collectors.events import ContainerSeen, Event, KernelValue, ProcessEvent, SocketHeld, TcpConnected
from collectors.facts import Container, Declared, Executable, Process, Unknown
from detectors.base import NodeView

Value = str | int | bool | list[str] | dict[str, str]


class Kind(StrEnum):
    """The types of fields, in CEL's words."""

    STRING = "string"
    INT = "int"
    BOOL = "bool"
    LIST = "list(string)"
    MAP = "map(string, string)"


@dataclass(frozen=True, slots=True)
class Context:
    """One event, and whom it is about."""

    event: Event
    view: NodeView
    process: Process | Unknown
    container: Container | None


_Reader = Callable[[Context], Value | Unknown]


@dataclass(frozen=True, slots=True)
class Field:
    """Something that a rule may name. ``events`` are the kinds of events that have it, by their names in ``EVENTS``."""

    name: str
    kind: Kind
    meaning: str
    read: _Reader
    events: frozenset[str]


_PROCESS = frozenset({"exec", "seen", "credentials", "namespaces", "root", "refused"})
_SOCKET = frozenset({"tcp", "unix", "raw_socket"})
_OF_A_PROCESS = _PROCESS | _SOCKET
_OF_A_CONTAINER = _OF_A_PROCESS | {"container"}


def context_of(event: Event, view: NodeView) -> Context | Unknown:
    """Whom the event is about; ``Unknown`` when it is about a container, and nothing is known of that one."""
    process: Process | Unknown = Unknown("not_read: the event names no process")
    container: Container | Unknown | None = None
    match event:
        case ProcessEvent():
            process, member = event.process, view.member(event.process)
            container = member if member is None or isinstance(member, Unknown) else member.container
        case SocketHeld():
            held_by = view.process(event.process) if event.process is not None else None
            process = held_by or Unknown("gone: nobody was found to hold the socket")
            container = _container(event.container_id, view)
        case ContainerSeen():
            container = event.container
        case KernelValue(container_id=str() as container_id):
            container = _container(container_id, view)
        case _:
            pass
    return container if isinstance(container, Unknown) else Context(event, view, process, container)


def _container(container_id: str, view: NodeView) -> Container | Unknown:
    return view.container(container_id) or Unknown("not_read: the container is not known")


def _of_process(read: Callable[[Process, Context], Value | Unknown]) -> _Reader:
    def field(context: Context) -> Value | Unknown:
        process = context.process
        return process if isinstance(process, Unknown) else read(process, context)

    return field


def _of_parent(read: Callable[[Process], Value | Unknown]) -> _Reader:
    def field(process: Process, context: Context) -> Value | Unknown:
        parent = context.view.parent(process)
        return Unknown("not_read: the parent was not seen") if parent is None else read(parent)

    return _of_process(field)


def _of_container(read: Callable[[Container], Value | Unknown], empty: Value) -> _Reader:
    def field(context: Context) -> Value | Unknown:
        return empty if context.container is None else read(context.container)

    return field


def _of_declared(read: Callable[[Declared], Value], empty: Value) -> _Reader:
    def field(container: Container) -> Value | Unknown:
        declared = container.declared
        return declared if isinstance(declared, Unknown) else read(declared)

    return _of_container(field, empty)


def _executable(process: Process) -> Value | Unknown:
    found = process.executable
    return found if isinstance(found, Unknown) else to_text(found.path)


def _layer(process: Process, _: Context) -> Value | Unknown:
    found = process.executable
    layer = found if isinstance(found, Unknown) else found.layer
    return layer if isinstance(layer, Unknown) else layer.value


def _uid(kind: str) -> Callable[[Process, Context], Value | Unknown]:
    def field(process: Process, _: Context) -> Value | Unknown:
        ids = process.confinement.uids
        return ids if isinstance(ids, Unknown) else int(getattr(ids, kind))

    return field


def _gid(process: Process, _: Context) -> Value | Unknown:
    ids = process.confinement.gids
    return ids if isinstance(ids, Unknown) else ids.effective


def _capabilities(process: Process, _: Context) -> Value | Unknown:
    held = process.confinement.capabilities
    return held if isinstance(held, Unknown) else list(names(held.effective))


def _seccomp(process: Process, _: Context) -> Value | Unknown:
    seccomp = process.confinement.seccomp
    return seccomp if isinstance(seccomp, Unknown) else seccomp.mode.value


def _command_line(process: Process) -> str:
    return " ".join(arguments(process.arguments))


def _ancestors(process: Process, context: Context) -> Value | Unknown:
    found = (each.executable for each in context.view.ancestors(process))
    return [to_text(each.path) for each in found if isinstance(each, Executable)]


def _event_text(name: str) -> _Reader:
    def field(context: Context) -> Value | Unknown:
        found = getattr(context.event, name)
        return found if isinstance(found, Unknown | int) else to_text(found) if isinstance(found, bytes) else found

    return field


def _connection(name: str) -> _Reader:
    def field(context: Context) -> Value | Unknown:
        event = context.event
        assert isinstance(event, TcpConnected)
        found: str | int = getattr(event.connection, name)
        return found

    return field


def _text(found: str | None) -> str:
    return "" if found is None else valid(found)


def _fields(events: frozenset[str], *rows: tuple[str, Kind, str, _Reader]) -> Iterator[Field]:
    for name, kind, meaning, read in rows:
        yield Field(name, kind, meaning, read, events)


_EVERY = (
    *_fields(
        frozenset(EVENTS),
        (
            "event.kind",
            Kind.STRING,
            "The name of the event, as it stands in `events`.",
            lambda context: kind_of(context.event),
        ),
    ),
    *_fields(
        _OF_A_PROCESS,
        (
            "process.pid",
            Kind.INT,
            "The host's id of the process.",
            _of_process(lambda p, _: (p.thread_of or p.key).pid),
        ),
        (
            "process.name",
            Kind.STRING,
            "What the process calls itself (`comm`); whoever runs it chooses it.",
            _of_process(lambda p, _: to_text(p.name)),
        ),
        (
            "process.args",
            Kind.LIST,
            "Its arguments, the first 256 in 4 KiB; whoever runs it chooses them.",
            _of_process(lambda p, _: list(arguments(p.arguments))),
        ),
        (
            "process.command_line",
            Kind.STRING,
            "Its arguments with a blank between them.",
            _of_process(lambda p, _: _command_line(p)),
        ),
        (
            "process.executable",
            Kind.STRING,
            "The path of its program, as the kernel prints it for `/proc/PID/exe`.",
            _of_process(lambda p, _: _executable(p)),
        ),
        (
            "process.layer",
            Kind.STRING,
            "Its program is of: `image`, `upper`, `changed`, `tmpfs`, `volume`, `memfd`, `foreign`. Not the host's.",
            _of_process(_layer),
        ),
        ("process.uid", Kind.INT, "Its effective uid, on the host.", _of_process(_uid("effective"))),
        ("process.real_uid", Kind.INT, "Its real uid, on the host.", _of_process(_uid("real"))),
        ("process.gid", Kind.INT, "Its effective gid, on the host.", _of_process(_gid)),
        (
            "process.capabilities",
            Kind.LIST,
            "Its effective capabilities: `CAP_SYS_ADMIN`, ...",
            _of_process(_capabilities),
        ),
        ("process.seccomp", Kind.STRING, "`disabled`, `strict` or `filter`.", _of_process(_seccomp)),
        (
            "process.no_new_privs",
            Kind.BOOL,
            "Whether no program gives it more privileges.",
            _of_process(lambda p, _: p.confinement.no_new_privs),
        ),
        (
            "process.host_namespaces",
            Kind.LIST,
            "The namespaces that are the host's: `mnt`, `pid`, `net`, `ipc`, `uts`, `user`, `cgroup`, `time`.",
            _of_process(lambda p, context: list(shared_with_host(p.confinement, context.view.host))),
        ),
        (
            "process.has_terminal",
            Kind.BOOL,
            "Whether it has a controlling terminal.",
            _of_process(lambda p, _: p.tty != 0),
        ),
        (
            "parent.name",
            Kind.STRING,
            "What its parent called itself at the fork.",
            _of_parent(lambda p: to_text(p.name)),
        ),
        ("parent.executable", Kind.STRING, "The path of its parent's program.", _of_parent(_executable)),
        (
            "parent.command_line",
            Kind.STRING,
            "Its parent's arguments with a blank between them.",
            _of_parent(_command_line),
        ),
        (
            "ancestors.executables",
            Kind.LIST,
            "The programs of its parent, its parent's parent, ...: at most 16.",
            _of_process(_ancestors),
        ),
    ),
    *_fields(
        _OF_A_CONTAINER,
        (
            "container.id",
            Kind.STRING,
            "The container's id; empty for a process of the host, as all texts of `container`.",
            _of_container(lambda c: valid(c.id), ""),
        ),
        (
            "container.name",
            Kind.STRING,
            "The runtime's name of the container; empty while it is not known.",
            _of_container(lambda c: _text(c.name).removeprefix("/"), ""),
        ),
        (
            "container.image",
            Kind.STRING,
            "The name of its image, as the runtime knows it; empty while it is not known.",
            _of_container(lambda c: _text(c.image), ""),
        ),
        ("container.runtime", Kind.STRING, "`docker`, `containerd`, ...", _of_container(lambda c: c.runtime, "")),
        (
            "container.labels",
            Kind.MAP,
            "Its labels. Ask `'name' in container.labels` before `container.labels['name']`.",
            _of_container(lambda c: {valid(name): valid(text) for name, text in c.labels}, {}),
        ),
        (
            "container.namespace",
            Kind.STRING,
            "The Kubernetes namespace of its pod; empty where it has none.",
            _of_container(lambda c: _text(c.pod.namespace if c.pod is not None else None), ""),
        ),
        (
            "container.pod",
            Kind.STRING,
            "The name of its pod; empty where it has none.",
            _of_container(lambda c: _text(c.pod.name if c.pod is not None else None), ""),
        ),
        (
            "declared.args",
            Kind.LIST,
            "The arguments that its bundle asks for.",
            _of_declared(lambda d: [valid(each) for each in d.arguments], []),
        ),
        ("declared.uid", Kind.INT, "The uid that its bundle asks for.", _of_declared(lambda d: d.uid, 0)),
        (
            "declared.capabilities",
            Kind.LIST,
            "The capabilities that its bundle asks for.",
            _of_declared(lambda d: list(names(d.capabilities.bounding)), []),
        ),
        (
            "declared.mounts",
            Kind.MAP,
            "The sources of its mounts, by their destination.",
            _of_declared(lambda d: {valid(each.destination): valid(each.source) for each in d.mounts}, {}),
        ),
        (
            "declared.seccomp",
            Kind.BOOL,
            "Whether its bundle asks for a seccomp filter.",
            _of_declared(lambda d: d.seccomp, False),  # noqa: FBT003 (the value of a field)
        ),
    ),
    *_fields(
        frozenset({"refused"}),
        ("call.name", Kind.STRING, "The system call that was refused.", _event_text("call")),
        ("call.error", Kind.INT, "The errno with which it was.", _event_text("error")),
    ),
    *_fields(
        frozenset({"tcp"}),
        ("connection.remote_ip", Kind.STRING, "The far end's address.", _connection("remote")),
        ("connection.remote_port", Kind.INT, "The far end's port.", _connection("remote_port")),
        (
            "connection.to_this_node",
            Kind.BOOL,
            "Whether the address is one of this node's.",
            _event_text("is_to_this_node"),
        ),
    ),
    *_fields(
        frozenset({"unix"}),
        (
            "socket.path",
            Kind.STRING,
            "The name that the server gave it; `@` is the NUL of abstract ones.",
            _event_text("path"),
        ),
        ("socket.server", Kind.STRING, "The path of the program that listens.", _event_text("server_executable")),
    ),
    *_fields(
        frozenset({"kernel_value"}),
        ("value.name", Kind.STRING, "Which value: `core_pattern`, ...", _event_text("name")),
        (
            "value.before",
            Kind.STRING,
            "What it was; not known when it is met for the first time.",
            _event_text("before"),
        ),
        ("value.after", Kind.STRING, "What it is.", _event_text("after")),
        ("value.path", Kind.STRING, "The file that holds it.", _event_text("where")),
    ),
)

FIELDS: Mapping[str, Field] = {field.name: field for field in _EVERY}
"""Every field, by its name."""
