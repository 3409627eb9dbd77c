"""Names, images and labels of containers from the Docker API, and changes of them from its event stream.

Concurrency: whoever calls ``run`` gives it a thread, which owns the connection. It hands what it learns to the registry
and calls ``emit`` with ``ContainerSeen``; both must be safe to call from a thread. ``status`` may be read by any.
Nothing waits for it and nothing is lost without it: a container is known by its cgroup and bundle, this adds to it.

The stream is asked for in windows (``since`` one instant ``until`` another): what happens between two belongs to the
second, and a read that outlasts its window shows a dead engine. Any failure closes the connection; the next one begins
with a list of all containers. It tries for ever, with a delay that doubles up to a bound and is jittered.

What is bounded: every answer by a timeout, an event by its size. The engine itself runs as root and is believed; what
it passes on (names, labels) is of strangers, and the registry cuts it.
"""

from __future__ import annotations

import json
import os
import random
import re
import socket
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from collectors.containers.registry import ContainerRegistry
from collectors.events import ContainerSeen, Event
from collectors.importing import IMPORTING

MAX_EVENT_BYTES = 1 << 20
MAX_LISTED = 8192

_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NANOSECONDS = 1_000_000_000
_LASTING_NS = 10 * _NANOSECONDS  # a connection that lasted so long was good: the next failure is a first one
_EVENTS = ("create", "start", "rename")  # the rest changes nothing that is kept here


_T = TypeVar("_T")


class SourceState(StrEnum):
    """How a metadata source is doing."""

    ABSENT = "absent"  # there is no socket: looked for again, quietly
    CONNECTED = "connected"
    FAILING = "failing"  # a socket, but no use: tried again
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """The state of a metadata source, why, and how often it changed something, failed, or met an odd answer."""

    state: SourceState
    why: str = ""
    merged: int = 0
    failures: int = 0
    odd_answers: int = 0


class _Listed(msgspec.Struct, rename="pascal"):
    id: str
    names: tuple[str, ...] | None = None
    image: str | None = None
    labels: dict[str, str] | None = None


class _InspectedConfig(msgspec.Struct, rename="pascal"):
    image: str | None = None
    labels: dict[str, str] | None = None


class _Inspected(msgspec.Struct, rename="pascal"):
    id: str
    name: str | None = None
    config: _InspectedConfig | None = None


class _Actor(msgspec.Struct):
    id: str = msgspec.field(name="ID")


class _Happened(msgspec.Struct, rename="pascal"):
    action: str
    actor: _Actor


class Disconnected(OSError):
    """The engine ended its event stream before the window was over."""


class DockerMetadata:
    """Feeds a registry from one Docker engine, as long as it runs."""

    def __init__(
        self,
        registry: ContainerRegistry,
        emit: Callable[[Event], None],
        *,
        clock_ns: Callable[[], int],
        socket_path: str = "/run/docker.sock",
        on_change: Callable[[SourceStatus], None] | None = None,
        timeout_seconds: float = 10.0,
        window_seconds: int = 60,
        absent_seconds: float = 10.0,
        first_delay_seconds: float = 0.5,
        last_delay_seconds: float = 60.0,
    ) -> None:
        self._registry = registry
        self._emit = emit
        self._clock_ns = clock_ns
        self._socket_path = socket_path
        self._on_change = on_change
        self._timeout_seconds = timeout_seconds
        self._window_seconds = window_seconds
        self._absent_seconds = absent_seconds
        self._first_delay_seconds = first_delay_seconds
        self._last_delay_seconds = last_delay_seconds
        self._status = SourceStatus(SourceState.ABSENT, "not looked for yet")
        self._stopping = threading.Event()
        self._stream: Any = None

    @property
    def status(self) -> SourceStatus:
        """How it is doing now."""
        return self._status

    def stop(self) -> None:
        """Ends ``run`` soon: at once where it waits for events, within a timeout where it waits for an answer."""
        self._stopping.set()
        self._close_stream()

    def run(self) -> None:
        """Feed the registry until it is told to stop; may be run again after an error that nobody foresaw."""
        delay = self._first_delay_seconds
        while not self._stopping.is_set():
            if not self._has_socket():
                self._become(SourceState.ABSENT, f"no socket at {self._socket_path}")
                self._stopping.wait(self._absent_seconds)
                continue
            began_ns = self._clock_ns()
            failure = self._connect_and_follow()
            if self._stopping.is_set():
                break
            if self._clock_ns() - began_ns > _LASTING_NS:
                delay = self._first_delay_seconds
            self._become(SourceState.FAILING, failure, failures=1)
            # Not for secrets: so that a thousand nodes do not call at once.
            self._stopping.wait(delay * random.uniform(0.5, 1.0))  # noqa: S311
            delay = min(self._last_delay_seconds, delay * 2)
        self._become(SourceState.STOPPED, "")

    def _has_socket(self) -> bool:
        try:
            return stat.S_ISSOCK(os.stat(self._socket_path).st_mode)
        except (OSError, ValueError):
            return False

    def _connect_and_follow(self) -> str:
        """Connects, lists, follows events until that fails; why it did."""
        try:
            # Before the SDK: a dead socket should not cost its import, and the SDK leaks a socket that is refused.
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.settimeout(self._timeout_seconds)
                probe.connect(self._socket_path)
        except OSError as error:
            return f"{type(error).__name__}: {error}"
        try:
            with IMPORTING:
                from collectors.containers import docker_client
        except ImportError as error:
            return f"the docker package cannot be imported: {error}"
        try:
            client = docker_client.connect(
                self._socket_path,
                timeout_seconds=self._timeout_seconds,
                stream_timeout_seconds=self._window_seconds + self._timeout_seconds,
            )
            try:
                since = self._clock_ns() // _NANOSECONDS
                self._list(client)
                self._become(SourceState.CONNECTED, "")
                while not self._stopping.is_set():
                    since = self._follow(client, since, docker_client.NOT_FOUND)
            finally:
                client.close()
        except docker_client.ERRORS as error:
            return f"{type(error).__name__}: {error}"[:500]
        return "stopping"

    def _list(self, client: Any) -> None:
        listed = client.containers(all=True)
        if not isinstance(listed, list):
            raise ValueError(f"expected a list of containers, got {listed!r:.80}")  # noqa: TRY004 (one of ERRORS)
        for each in listed[:MAX_LISTED]:
            told = self._convert(each, _Listed)
            if told is not None:
                self._merge(told.id, _own_name(told.names or ()), told.image, told.labels)

    def _follow(self, client: Any, since: int, not_found: type[Exception]) -> int:
        """Handles the events of one window; its end, where the next begins."""
        until = max(self._clock_ns() // _NANOSECONDS, since) + self._window_seconds
        stream = client.events(since=since, until=until, filters={"type": ["container"], "event": list(_EVENTS)})
        self._stream = stream
        try:
            if self._stopping.is_set():  # before the stream could be closed for us
                return until
            for line in _lines(stream):
                if self._stopping.is_set():
                    return until
                self._handle(line, client, not_found)
        finally:
            self._stream = None
            client.end_stream()
        # The SDK ends the iteration in silence when the connection breaks.
        if self._clock_ns() // _NANOSECONDS < until - 1 and not self._stopping.is_set():
            raise Disconnected("the engine ended the event stream")
        return until

    def _handle(self, line: bytes, client: Any, not_found: type[Exception]) -> None:
        happened = self._convert(json.loads(line), _Happened)
        if happened is None or happened.action not in _EVENTS or _ID.fullmatch(happened.actor.id) is None:
            return
        try:
            inspected = self._convert(client.inspect_container(happened.actor.id), _Inspected)
        except not_found:
            return  # it is gone already; so is what it was called
        if inspected is not None:
            config = inspected.config or _InspectedConfig()
            self._merge(inspected.id, _own_name((inspected.name or "",)), config.image, config.labels)

    def _merge(self, container_id: str, name: str | None, image: str | None, labels: dict[str, str] | None) -> None:
        if _ID.fullmatch(container_id) is None:
            self._count(odd_answers=1)
            return
        container = self._registry.merge(container_id, name=name, image=image, labels=labels)
        if container is not None:
            self._count(merged=1)
            self._emit(ContainerSeen(self._clock_ns(), container))

    def _convert(self, answer: object, kind: type[_T]) -> _T | None:
        try:
            return msgspec.convert(answer, kind)
        except (msgspec.ValidationError, RecursionError):
            self._count(odd_answers=1)
            return None

    def _close_stream(self) -> None:
        """Wakes whoever reads the stream; the SDK reaches for its socket through layers that may be gone."""
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                stream.close()
            except (OSError, AttributeError):
                return

    def _become(self, state: SourceState, why: str, *, failures: int = 0) -> None:
        old = self._status
        self._status = SourceStatus(state, why, old.merged, old.failures + failures, old.odd_answers)
        if self._on_change is not None and (old.state, old.why) != (state, why):
            self._on_change(self._status)

    def _count(self, *, merged: int = 0, odd_answers: int = 0) -> None:
        old = self._status
        self._status = SourceStatus(
            old.state, old.why, old.merged + merged, old.failures, old.odd_answers + odd_answers
        )


def _own_name(names: Iterable[str]) -> str | None:
    """A container's own name among ``/name`` and the ``/other/alias`` that links give it."""
    own = (name.removeprefix("/") for name in names)
    return next((name for name in own if name and "/" not in name), None)


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of the event stream; raises ``ValueError`` for one that does not end."""
    rest = b""
    for chunk in chunks:
        if not isinstance(chunk, bytes):
            raise ValueError(f"expected a stream of events, got {chunk!r:.80}")  # noqa: TRY004 (one of ERRORS)
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line for line in lines if line.strip())
        if len(rest) > MAX_EVENT_BYTES:
            raise ValueError(f"an event of more than {MAX_EVENT_BYTES} bytes")
