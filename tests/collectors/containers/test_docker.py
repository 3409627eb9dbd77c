from __future__ import annotations

import gc
import json
import os
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typing_extensions import override

from collectors.containers.docker import (
    DockerMetadata,
    SourceState,
    SourceStatus,
    _lines,
    _own_name,
)
from collectors.containers.registry import ContainerRegistry
from collectors.events import ContainerSeen, Event
from collectors.facts import CgroupMembership
from collectors.host import Roots

# The SDK forgets to close a socket whose connect(2) is refused; it goes when the exception does. That nothing piles up
# is what test_keeps_no_descriptor_of_broken_connections is for.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

A = "a1" * 32
B = "b2" * 32

Answer = Callable[["Handler"], None]


class Engine(socketserver.ThreadingUnixStreamServer):
    """A little HTTP server on a unix socket; ``answers`` says what it does for each path, version prefix removed."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), Handler)
        self.asked: list[str] = []
        self.answers: dict[str, Answer] = {
            "/version": _answer({"ApiVersion": "1.41"}),
            "/containers/json": _answer([]),
            "/events": _events(),
        }
        self.over = threading.Event()

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """The client hangs up on us as it likes."""


class Handler(BaseHTTPRequestHandler):
    server: Engine
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path = "/" + url.path.split("/", 2)[2] if url.path.startswith("/v1.") else url.path
        self.query = parse_qs(url.query)
        self.server.asked.append(path)
        answer = self.server.answers.get(path)
        if answer is None:
            _raw(b'{"message":"no such thing"}', status=404)(self)
        else:
            answer(self)

    @override
    def log_message(self, *arguments: object) -> None:
        """Says nothing."""

    @override
    def address_string(self) -> str:
        return "unix"

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()


def _raw(data: bytes, status: int = 200) -> Answer:
    def answer(handler: Handler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def _answer(value: object) -> Answer:
    return _raw(json.dumps(value).encode())


def _events(*chunks: bytes, then: str = "wait") -> Answer:
    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for chunk in chunks:
            handler.chunk(chunk)
        match then:
            case "wait":
                handler.server.over.wait(30)
            case "window":  # as an engine does: until the time that it was given
                handler.server.over.wait(max(0.0, float(handler.query["until"][0]) - time.time()))
                handler.wfile.write(b"0\r\n\r\n")
            case "truncate":
                handler.wfile.write(b"ffff\r\n{")
                handler.wfile.flush()
            case _:  # close
                pass
        handler.close_connection = True

    return answer


def _event(action: str, container_id: str = A) -> bytes:
    return (
        json.dumps({"Type": "container", "Action": action, "Actor": {"ID": container_id}, "time": 1}).encode() + b"\n"
    )


def _inspected(name: str) -> Answer:
    return _answer({"Id": A, "Name": f"/{name}", "Config": {"Image": "nginx:1", "Labels": {"name": "a-label"}}})


class Rig:
    def __init__(self, directory: Path) -> None:
        self.path = directory / "docker.sock"
        (directory / "host").mkdir()
        roots = Roots(proc=str(directory), sys=str(directory), host=str(directory / "host"))
        self.registry = ContainerRegistry(roots, clock_ns=time.time_ns)
        for each in (A, B):
            self.registry.notice((CgroupMembership(0, b"", b"/docker/" + each.encode()),), 1)
        self.events: list[Event] = []
        self.states: list[SourceStatus] = []
        self.engine: Engine | None = None
        self.source: DockerMetadata | None = None
        self.thread: threading.Thread | None = None

    def listen(self, **answers: Answer) -> Engine:
        self.path.unlink(missing_ok=True)
        self.engine = Engine(self.path)
        self.engine.answers |= {"/" + path.replace("__", "/"): answer for path, answer in answers.items()}
        threading.Thread(target=self.engine.serve_forever, args=(0.02,), daemon=True).start()
        return self.engine

    def hang_up(self) -> None:
        assert self.engine is not None
        self.engine.over.set()
        self.engine.shutdown()
        self.engine.server_close()

    def start(self, **options: Any) -> DockerMetadata:
        settings: dict[str, Any] = {
            "absent_seconds": 0.02,
            "first_delay_seconds": 0.02,
            "last_delay_seconds": 0.1,
            "timeout_seconds": 2.0,
        }
        self.source = DockerMetadata(
            self.registry,
            self.events.append,
            clock_ns=time.time_ns,
            socket_path=str(self.path),
            on_change=self.states.append,
            **(settings | options),
        )
        self.thread = threading.Thread(target=self.source.run, daemon=True)
        self.thread.start()
        return self.source

    def stop(self) -> bool:
        """Whether the source has ended."""
        if self.source is None or self.thread is None:
            return True
        self.source.stop()
        self.thread.join(5.0)
        return not self.thread.is_alive()

    def names(self) -> list[str | None]:
        return [each.container.name for each in self.events if isinstance(each, ContainerSeen)]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    if rig.engine is not None:
        rig.hang_up()
    assert rig.stop()
    if rig.source is not None:
        assert rig.source.status.state is SourceState.STOPPED
    gc.collect()


def _wait(claim: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not claim():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def test_merges_what_is_listed_and_what_happens(rig: Rig) -> None:
    rig.listen(
        containers__json=_answer([{"Id": B, "Names": ["/web/alias", "/db"], "Image": "pg", "Labels": {"k": "v"}}]),
        events=_events(_event("create")[:20], _event("create")[20:] + _event("die")),
        **{f"containers__{A}__json": _inspected("web")},
    )
    source = rig.start()
    _wait(lambda: len(rig.events) == 2)
    first, second = rig.events
    assert isinstance(first, ContainerSeen)
    assert isinstance(second, ContainerSeen)
    assert (first.container.id, first.container.name, first.container.image) == (B, "db", "pg")
    assert first.container.labels == (("k", "v"),)
    assert (second.container.id, second.container.name, second.container.image) == (A, "web", "nginx:1")
    assert second.container.labels == (("name", "a-label"),)
    assert source.status == SourceStatus(SourceState.CONNECTED, merged=2)


def test_asks_for_one_window_after_the_other(rig: Rig) -> None:
    engine = rig.listen(events=_events(then="window"))
    source = rig.start(window_seconds=1)
    _wait(lambda: engine.asked.count("/events") >= 3)
    assert engine.asked.count("/containers/json") == 1
    assert source.status.failures == 0


def test_is_absent_without_a_socket_and_connects_when_there_is_one(rig: Rig) -> None:
    source = rig.start()
    _wait(lambda: source.status.why != "not looked for yet")
    assert source.status == SourceStatus(SourceState.ABSENT, f"no socket at {rig.path}")
    rig.path.write_text("no socket either")
    rig.listen()
    _wait(lambda: source.status.state is SourceState.CONNECTED)


def test_reconnects_when_the_engine_is_restarted(rig: Rig) -> None:
    rig.listen()
    source = rig.start()
    _wait(lambda: source.status.state is SourceState.CONNECTED)
    rig.hang_up()
    _wait(lambda: source.status.state is SourceState.FAILING)
    rig.listen(containers__json=_answer([{"Id": A, "Names": ["/back"]}]))
    _wait(lambda: rig.names() == ["back"])
    assert source.status.state is SourceState.CONNECTED


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param({"version": _raw(b"\x00\xff nonsense")}, id="version-is-not-json"),
        pytest.param({"version": _answer([1])}, id="version-is-a-list"),
        pytest.param({"version": _answer({"ApiVersion": 5})}, id="version-is-a-number"),
        pytest.param({"version": _answer({"ApiVersion": "../x"})}, id="version-is-a-path"),
        pytest.param({"version": _answer({"ApiVersion": "1.2"})}, id="version-is-too-old"),
        pytest.param({"version": _raw(b"{}", status=500)}, id="version-fails"),
        pytest.param({"version": _raw(b"[]", status=500)}, id="version-fails-with-a-list"),
        pytest.param({"version": _raw(b"[" * 100_000)}, id="version-nests-deeply"),
        pytest.param({"containers__json": _answer({"a": 1})}, id="list-is-an-object"),
        pytest.param({"containers__json": _raw(b"[{")}, id="list-is-truncated"),
        pytest.param({"containers__json": _raw(b"oops", status=500)}, id="list-fails"),
        pytest.param({"events": _events(b"nonsense\n")}, id="event-is-not-json"),
        pytest.param({"events": _events(b"x" * 700_000, b"x" * 700_000)}, id="event-never-ends"),
        pytest.param({"events": _events(b"[" * 100_000 + b"\n")}, id="event-nests-deeply"),
        pytest.param({"events": _events(then="close")}, id="stream-closes-at-once"),
        pytest.param({"events": _events(_event("die"), then="truncate")}, id="chunk-is-truncated"),
        pytest.param({"events": _answer({"message": "no stream"})}, id="events-is-no-stream"),
        pytest.param({"events": _raw(b"", status=400)}, id="events-fails"),
        pytest.param({"version": lambda handler: handler.connection.close()}, id="engine-hangs-up"),
        pytest.param({"version": lambda handler: handler.server.over.wait(5)}, id="engine-is-silent"),
    ],
)
def test_fails_with_a_reason_and_recovers_from_nonsense(rig: Rig, answers: dict[str, Answer]) -> None:
    engine = rig.listen(**answers)
    source = rig.start(timeout_seconds=0.3)
    _wait(lambda: source.status.failures >= 2)
    failing = [each for each in rig.states if each.state is SourceState.FAILING]
    assert failing
    assert all(each.why for each in failing)
    engine.answers |= {
        "/version": _answer({"ApiVersion": "1.41"}),
        "/containers/json": _answer([{"Id": A, "Names": ["/web"]}]),
        "/events": _events(),
    }
    _wait(lambda: rig.names() == ["web"] and source.status.state is SourceState.CONNECTED)


def test_skips_one_odd_container_and_counts_it(rig: Rig) -> None:
    rig.listen(
        containers__json=_answer(
            ["x", {}, {"Id": 5}, {"Id": "short"}, {"Id": B, "Labels": {"a": 1}}, {"Id": A, "Names": None, "Image": "i"}]
        ),
        events=_events(b"{}\n", b"[]\n", _event("create", "../../etc"), _event("create", B)),
    )
    source = rig.start()
    _wait(lambda: source.status.odd_answers == 7)
    assert [each.container.image for each in rig.events if isinstance(each, ContainerSeen)] == ["i"]
    assert source.status.failures == 0


def test_notices_an_engine_that_is_silent_beyond_its_window(rig: Rig) -> None:
    rig.listen()
    source = rig.start(window_seconds=0, timeout_seconds=0.3)
    _wait(lambda: source.status.failures >= 2)


def test_keeps_no_descriptor_of_broken_connections(rig: Rig) -> None:
    rig.listen(events=_events(_event("die"), then="truncate"))
    source = rig.start()
    _wait(lambda: source.status.failures >= 3)
    gc.disable()
    try:
        before = len(os.listdir("/proc/self/fd"))
        _wait(lambda: source.status.failures >= 40)
        assert len(os.listdir("/proc/self/fd")) < before + 10
    finally:
        gc.enable()


def test_stops_at_once_while_it_waits_for_events(rig: Rig) -> None:
    rig.listen()
    rig.start()
    _wait(lambda: rig.engine is not None and "/events" in rig.engine.asked)
    began = time.monotonic()
    assert rig.stop()
    assert time.monotonic() - began < 1


def test_names_the_container_itself_and_not_its_aliases() -> None:
    assert _own_name(["/web/db", "/db"]) == "db"
    assert _own_name(["", "/"]) is None
    assert _own_name([]) is None


def test_splits_lines_wherever_the_chunks_end() -> None:
    assert list(_lines([b"a", b"b\nc\n", b"\n", b"d\x85\x0be\n", b"rest"])) == [b"ab", b"c", b"d\x85\x0be"]
