from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

import pytest

from agent.http_endpoint import MAX_REQUEST_BYTES, Address, HttpEndpoint
from agent.http_message import Answer, Request

LARGE = 8 << 20
PATIENCE_SECONDS = 10.0


@dataclass
class Running:
    """An endpoint in a thread of its own, and what it said of its address."""

    endpoint: HttpEndpoint
    listening: threading.Event = field(default_factory=threading.Event)
    troubles: list[str] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        bound = self.endpoint.bound
        assert bound is not None
        return bound.host, bound.port

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=PATIENCE_SECONDS)

    def ask(self, request: bytes) -> bytes:
        with self.connect() as client:
            client.sendall(request)
            return read_all(client)


def read_all(client: socket.socket) -> bytes:
    received = b""
    while chunk := client.recv(65_536):
        received += chunk
    return received


def hello(request: Request) -> Answer:
    return Answer(HTTPStatus.OK, f"hello {request.authorization}\n".encode())


def large(_request: Request) -> Answer:
    return Answer(HTTPStatus.OK, b"x" * LARGE)


@contextmanager
def running(
    host: str = "127.0.0.1", port: int = 0, *, waits: bool = True, limit: int = 16, deadline_seconds: float = 5.0
) -> Iterator[Running]:
    listening = threading.Event()
    troubles: list[str] = []
    endpoint = HttpEndpoint(
        Address(host, port),
        {"/hello": hello, "/large": large},
        on_listening=lambda _bound: listening.set(),
        on_trouble=troubles.append,
        limit=limit,
        deadline_seconds=deadline_seconds,
        retry_seconds=0.05,
    )
    thread = threading.Thread(target=endpoint.run)
    thread.start()
    try:
        if waits:
            assert listening.wait(PATIENCE_SECONDS)
        yield Running(endpoint, listening, troubles)
    finally:
        endpoint.stop()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


def wait_until(probe: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not probe():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def status(answer: bytes) -> bytes:
    return answer.split(b"\r\n")[0]


def test_answers_a_get_and_closes() -> None:
    with running() as server:
        answer = server.ask(b"GET /hello?query=1 HTTP/1.1\r\nHost: a\r\nAuthorization:  Bearer x \r\n\r\n")
    assert answer == (
        b"HTTP/1.1 200 OK\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: 15\r\n"
        b"Cache-Control: no-store\r\n"
        b"X-Content-Type-Options: nosniff\r\n"
        b"Connection: close\r\n"
        b"\r\n"
        b"hello Bearer x\n"
    )


def test_answers_on_the_loopback_of_version_6() -> None:
    with running("::1") as server:
        assert status(server.ask(b"GET /hello HTTP/1.0\r\n\r\n")) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        pytest.param(b"GET /else HTTP/1.1\r\n\r\n", b"404 Not Found", id="unknown-path"),
        pytest.param(b"GET /hello/../large HTTP/1.1\r\n\r\n", b"404 Not Found", id="path-with-dots"),
        pytest.param(b"POST /hello HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", b"405 Method Not Allowed", id="post"),
        pytest.param(b"HEAD /hello HTTP/1.1\r\n\r\n", b"405 Method Not Allowed", id="head"),
        pytest.param(b"GET http://else/hello HTTP/1.1\r\n\r\n", b"400 Bad Request", id="absolute-target"),
        pytest.param(b"GET /hello HTTP/2.0\r\n\r\n", b"400 Bad Request", id="another-version"),
        pytest.param(b"GET /hello\r\n\r\n", b"400 Bad Request", id="no-version"),
        pytest.param(b"GET  /hello HTTP/1.1\r\n\r\n", b"400 Bad Request", id="two-blanks"),
        pytest.param(b"\r\n\r\n", b"400 Bad Request", id="nothing"),
        pytest.param(b"\x16\x03\x01\x02\x00\xff\r\n\r\n", b"400 Bad Request", id="tls-hello"),
        pytest.param(b"GET /hello HTTP/1.1\r\nno colon\r\n\r\n", b"400 Bad Request", id="header-without-a-colon"),
        pytest.param(b"GET /hello HTTP/1.1\r\n folded: x\r\n\r\n", b"400 Bad Request", id="folded-header"),
        pytest.param(
            b"GET /hello HTTP/1.1\r\nAuthorization: a\r\nauthorization: b\r\n\r\n", b"400 Bad Request", id="two-tokens"
        ),
        pytest.param(
            b"GET /hello HTTP/1.1\r\nX: " + b"x" * MAX_REQUEST_BYTES,
            b"431 Request Header Fields Too Large",
            id="endless-header",
        ),
    ],
)
def test_refuses_a_bad_request(request_bytes: bytes, expected: bytes) -> None:
    with running() as server:
        assert status(server.ask(request_bytes)) == b"HTTP/1.1 " + expected
        assert status(server.ask(b"GET /hello HTTP/1.1\r\n\r\n")) == b"HTTP/1.1 200 OK"
    reading = server.endpoint.reading()
    assert reading.answers == {200: 1, int(expected[:3]): 1}
    assert sum(reading.closed.values()) == 0


def test_takes_a_request_that_comes_byte_by_byte() -> None:
    with running() as server, server.connect() as client:
        for byte in b"GET /hello HTTP/1.1\r\n\r\n":
            client.sendall(bytes([byte]))
            time.sleep(0.001)
        assert status(read_all(client)) == b"HTTP/1.1 200 OK"


def test_gives_up_on_clients_that_are_slow_to_ask_or_to_read() -> None:
    with running(deadline_seconds=0.3) as server, server.connect() as silent, server.connect() as lazy:
        silent.sendall(b"GET /hello HTT")
        lazy.sendall(b"GET /large HTTP/1.1\r\n\r\n")
        wait_until(lambda: server.endpoint.reading().closed["timeout"] == 2)
        assert silent.recv(1) == b""
    assert server.endpoint.reading().answers == {200: 1}


def test_an_answer_larger_than_the_sockets_buffers_arrives_whole() -> None:
    with running() as server:
        assert len(server.ask(b"GET /large HTTP/1.1\r\n\r\n").partition(b"\r\n\r\n")[2]) == LARGE


def test_clients_that_hold_connections_keep_nobody_out() -> None:
    with running(limit=4) as server:
        idle = [server.connect() for _ in range(12)]
        try:
            assert status(server.ask(b"GET /hello HTTP/1.1\r\n\r\n")) == b"HTTP/1.1 200 OK"
            assert server.endpoint.reading().closed["displaced"] >= 8
            assert idle[0].recv(1) == b""
        finally:
            for client in idle:
                client.close()


def test_many_connections_at_once_are_all_answered() -> None:
    answers: list[bytes] = []

    def ask(server: Running) -> None:
        answers.extend(status(server.ask(b"GET /hello HTTP/1.1\r\n\r\n")) for _ in range(10))

    with running() as server:
        threads = [threading.Thread(target=ask, args=(server,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
    assert answers == [b"HTTP/1.1 200 OK"] * 80


def test_takes_only_so_many_connections_in_a_while() -> None:
    with running(limit=4) as server:
        started = time.monotonic()
        for _ in range(13):
            server.ask(b"GET /hello HTTP/1.1\r\n\r\n")
        assert time.monotonic() - started > 0.25


def test_clients_that_reset_are_forgotten() -> None:
    with running() as server:
        for _ in range(5):
            client = server.connect()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            client.sendall(b"GET /hel")
            client.close()
        wait_until(lambda: server.endpoint.reading().closed["broken"] == 5)
        assert status(server.ask(b"GET /hello HTTP/1.1\r\n\r\n")) == b"HTTP/1.1 200 OK"


def test_waits_for_an_address_that_is_taken_and_says_so_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        with running(port=port, waits=False) as server:
            wait_until(lambda: bool(server.troubles))
            time.sleep(0.2)
            assert server.troubles == ["Address already in use"]
            assert not server.endpoint.is_listening
            squatter.close()
            assert server.listening.wait(PATIENCE_SECONDS)
            assert status(server.ask(b"GET /hello HTTP/1.1\r\n\r\n")) == b"HTTP/1.1 200 OK"


def test_a_family_of_addresses_that_the_node_has_not_got_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    troubles: list[str] = []
    endpoint = HttpEndpoint(Address("::1", 0), {}, on_listening=lambda _: None, on_trouble=troubles.append)
    monkeypatch.setattr(socket, "socket", refused)
    endpoint._listen()
    assert troubles == ["Address family not supported by protocol"]
    assert not endpoint.is_listening


def test_a_route_that_fails_ends_the_run_with_everything_closed_and_it_can_be_run_again() -> None:
    def fail(_request: Request) -> Answer:
        raise RuntimeError("fault")

    listening = threading.Event()
    endpoint = HttpEndpoint(
        Address("127.0.0.1", 0),
        {"/fail": fail},
        on_listening=lambda _bound: listening.set(),
        on_trouble=lambda _why: None,
    )
    failures: list[str] = []

    def run_twice() -> None:
        try:
            endpoint.run()
        except RuntimeError as error:
            failures.append(str(error))
            listening.clear()
            endpoint.run()

    thread = threading.Thread(target=run_twice)
    thread.start()
    assert listening.wait(PATIENCE_SECONDS)
    assert endpoint.bound is not None
    with socket.create_connection((endpoint.bound.host, endpoint.bound.port), timeout=PATIENCE_SECONDS) as client:
        client.sendall(b"GET /fail HTTP/1.1\r\n\r\n")
        assert read_all(client) == b""
    wait_until(lambda: bool(failures))
    assert listening.wait(PATIENCE_SECONDS)
    endpoint.stop()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    assert failures == ["fault"]
