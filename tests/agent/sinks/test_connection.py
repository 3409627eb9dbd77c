from __future__ import annotations

import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from agent.errors import SinkError
from agent.output_schema import TlsConfig
from agent.sinks.connection import Connection, Connector, Deadline, Target, parse_address, said
from agent.sinks.session import Session
from tests.support.certificates import Certificates
from tests.support.scripted_receiver import ScriptedReceiver


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("tcp://127.0.0.1:24224", Target("tcp", "127.0.0.1", 24224)),
        ("tls://logs.example:6514", Target("tls", "logs.example", 6514)),
        ("tls://[::1]:6514", Target("tls", "::1", 6514)),
        ("unix:///dev/log", Target("unix", "/dev/log")),
    ],
)
def test_parses_an_address(address: str, target: Target) -> None:
    assert parse_address(address) == target


def test_a_deadline_ends() -> None:
    deadline = Deadline("siem", 0.01)
    assert deadline.remaining() <= 0.01
    time.sleep(0.02)
    with pytest.raises(SinkError, match=r"siem: no answer within 0\.01 s"):
        deadline.remaining()


def opened(receiver: ScriptedReceiver, tls: TlsConfig | None = None) -> Connection:
    connector = Connector("siem", parse_address(receiver.address), tls or TlsConfig())
    return connector.open(Deadline("siem", 2.0))


def test_knows_whether_the_receiver_closed() -> None:
    closes = threading.Event()
    with ScriptedReceiver([lambda _: closes.wait(5)]) as receiver:
        connection = opened(receiver)
        assert connection.is_idle()
        closes.set()
        time.sleep(0.05)
        assert not connection.is_idle()
        connection.close()


def test_knows_it_over_tls_too_although_session_tickets_come(certificates: Certificates) -> None:
    closes = threading.Event()
    with ScriptedReceiver([lambda _: closes.wait(5)], tls=certificates.server_context()) as receiver:
        connection = opened(receiver, TlsConfig(ca_file=certificates.authority))
        time.sleep(0.05)
        assert connection.is_idle()
        closes.set()
        time.sleep(0.05)
        assert not connection.is_idle()
        connection.close()


def test_refuses_an_old_tls(certificates: Certificates) -> None:
    context = certificates.server_context()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with ScriptedReceiver([lambda _: None], tls=context) as receiver, pytest.raises(SinkError, match="TLS with"):
        opened(receiver, TlsConfig(ca_file=certificates.authority))


def test_a_connection_that_was_not_accepted_ends_in_time() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for each in fillers:
            each.settimeout(0)
            each.connect_ex(("127.0.0.1", port))
        started = time.monotonic()
        with pytest.raises(SinkError, match=r"it took too long|no answer within"):
            Connector("siem", Target("tcp", "127.0.0.1", port), TlsConfig()).open(Deadline("siem", 0.3))
        assert time.monotonic() - started < 1.5
        for each in fillers:
            each.close()


def test_what_an_error_says_is_one_visible_line() -> None:
    assert said(OSError("a\x1b[2J\nb")) == "a\\x1b[2J\\x0ab"
    assert said(OSError(2, "No such file")) == "No such file"
    assert said(ValueError()) == "ValueError"
    assert len(said(ValueError("x" * 5000))) == 300


def test_a_session_runs_an_exchange_once_more_on_a_new_connection() -> None:
    ran = []

    def exchange(connection: Connection) -> bytes:
        ran.append(connection)
        connection.sendall(b"?")
        answer = connection.receive(1)
        if not answer:
            raise SinkError("siem", "closed")
        return answer

    def act(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"!")
        connection.recv(1)  # the second question is read, and not answered

    with ScriptedReceiver([act, act]) as receiver:
        connector = Connector("siem", parse_address(receiver.address), TlsConfig())
        session = Session("siem", connector.open, 2.0)
        assert session.run(exchange) == b"!"
        assert session.run(exchange) == b"!"
        session.close()
    assert len(ran) == 3


def test_a_session_keeps_no_connection_after_an_error() -> None:
    def exchange(connection: Connection) -> None:
        raise SinkError("siem", f"strange: {connection.receive(1)!r}")

    with ScriptedReceiver([lambda connection: connection.sendall(b"!")] * 2) as receiver:
        connector = Connector("siem", parse_address(receiver.address), TlsConfig())
        session = Session("siem", connector.open, 2.0)
        for _ in range(2):
            with pytest.raises(SinkError, match="strange"):
                session.run(exchange)
    assert receiver.accepted == 2


def test_a_directory_is_no_certificate(tmp_path: Path) -> None:
    connector = Connector("siem", Target("tls", "a", 1), TlsConfig(ca_file=str(tmp_path)))
    with pytest.raises(SinkError, match="cannot be used"):
        connector.check()


def test_bytes_that_the_receiver_read_are_taken_though_it_closed() -> None:
    with ScriptedReceiver([lambda connection: connection.recv(5)] * 2) as receiver:
        for _ in range(2):
            connection = opened(receiver)
            connection.sendall(b"12345")
            time.sleep(0.05)
            connection.wait_until_taken()
            assert not connection.is_idle()
            connection.close()


@pytest.mark.parametrize("is_unix", [False, True])
def test_bytes_that_the_receiver_left_unread_are_not_taken(is_unix: bool, socket_path: str) -> None:
    with ScriptedReceiver([lambda connection: connection.recv(5)], path=socket_path if is_unix else None) as receiver:
        connection = opened(receiver)
        connection.sendall(b"x" * 100_000)
        time.sleep(0.1)
        with pytest.raises(SinkError, match="closed the connection: Connection reset by peer"):
            connection.wait_until_taken()
        connection.close()


def test_an_address_of_a_family_that_the_node_has_not_got_is_passed_over() -> None:
    """A name has IPv6 addresses, and the node was started without IPv6 (ipv6.disable=1): socket(2) refuses."""
    with ScriptedReceiver([lambda _: None]) as receiver:
        target = parse_address(receiver.address)
        no_such_family = (12_345, socket.SOCK_STREAM, 0, "", ("::1", target.port, 0, 0))

        def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
            return [no_such_family, (socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port))]

        Connector("siem", target, TlsConfig(), resolve=resolve).open(Deadline("siem", 2.0)).close()
    connector = Connector("siem", target, TlsConfig(), resolve=lambda *_, **__: [no_such_family])
    with pytest.raises(SinkError, match="cannot be reached: Address family not supported"):
        connector.open(Deadline("siem", 2.0))
