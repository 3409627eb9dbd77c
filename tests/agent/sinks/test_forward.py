from __future__ import annotations

import base64
import gzip
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from agent.errors import SinkError
from agent.output_schema import ForwardConfig
from agent.sinks import forward
from agent.sinks.forward import ForwardSink, chunk_name, entry
from agent.sinks.forward_handshake import MAX_ANSWER_BYTES, digest
from tests.agent import alerts
from tests.support.opened_sinks import opened
from tests.support.scripted_receiver import ScriptedReceiver

BATCH = alerts.batch(3)
OTHER = alerts.batch(5)[3:]


def sink_for(receiver: ScriptedReceiver, **keys: Any) -> ForwardSink:
    return opened(ForwardSink(ForwardConfig(name="siem", address=receiver.address, **{"timeout_seconds": 2.0, **keys})))


def read(connection: socket.socket) -> Any:
    """The next message of the agent."""
    unpacker = msgpack.Unpacker(strict_map_key=False, max_buffer_size=1 << 24)
    while True:
        try:
            return unpacker.unpack()
        except msgpack.OutOfData:
            data = connection.recv(65_536)
            if not data:
                raise EOFError from None
            unpacker.feed(data)


class Takes:
    """Acknowledges ``count`` messages of one connection, and keeps them."""

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self.messages: list[Any] = []

    def __call__(self, connection: socket.socket) -> None:
        for _ in range(self.count):
            self.messages.append(read(connection))
            connection.sendall(msgpack.packb({"ack": self.messages[-1][2]["chunk"]}))


def answers(answer: bytes) -> Callable[[socket.socket], None]:
    def act(connection: socket.socket) -> None:
        read(connection)
        connection.sendall(answer)
        connection.recv(1)  # until the agent closes

    return act


def closes_at_once(_: socket.socket) -> None:
    pass


def closes_in_the_midst(connection: socket.socket) -> None:
    connection.recv(100)


def resets(connection: socket.socket) -> None:
    read(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def says_nothing(connection: socket.socket) -> None:
    read(connection)
    connection.recv(1)


def drips(connection: socket.socket) -> None:
    """A byte at a time: each is in time, all together are not."""
    read(connection)
    for each in msgpack.packb({"ack": "x" * 200}):
        connection.sendall(bytes([each]))
        time.sleep(0.05)


def unpacked(message: Any) -> Iterator[Any]:
    packed = gzip.decompress(message[1]) if message[2].get("compressed") == "gzip" else message[1]
    unpacker = msgpack.Unpacker()
    unpacker.feed(packed)
    yield from unpacker


@pytest.mark.parametrize("compress", ["none", "gzip"])
def test_sends_packed_forward(compress: Any) -> None:
    takes = Takes()
    with ScriptedReceiver([takes]) as receiver:
        sink = sink_for(receiver, compress=compress, tag="my.tag")
        sink.send(BATCH)
    (message,) = takes.messages
    assert message[0] == "my.tag"
    assert message[2]["size"] == 3
    for alert, (time_, record) in zip(BATCH, unpacked(message), strict=True):
        assert time_ == msgpack.ExtType(0, struct.pack(">II", *divmod(alert.at_ns, 10**9)))
        assert record["event"]["id"] == alert.id


def test_keeps_the_connection() -> None:
    takes = Takes(2)
    with ScriptedReceiver([takes, Takes()]) as receiver:
        sink = sink_for(receiver)
        sink.send(BATCH)
        sink.send(OTHER)
    assert len(takes.messages) == 2


def test_replaces_a_connection_that_was_closed_while_idle() -> None:
    first, second = Takes(), Takes()
    with ScriptedReceiver([first, second]) as receiver:
        sink = sink_for(receiver)
        sink.send(BATCH)
        time.sleep(0.05)
        sink.send(OTHER)
    assert len(second.messages) == 1


@pytest.mark.parametrize(
    ("act", "problem"),
    [
        pytest.param(closes_at_once, "closed the connection without|failed: Connection reset|Broken pipe", id="closes"),
        pytest.param(closes_in_the_midst, "closed the connection without|Connection reset|Broken pipe", id="midst"),
        pytest.param(resets, "receiving failed: Connection reset by peer", id="resets"),
        pytest.param(says_nothing, "receiving failed: it took too long", id="late"),
        pytest.param(drips, "no answer within|it took too long", id="drips"),
        pytest.param(answers(msgpack.packb({"ack": "other"})), "acknowledged something else: {b'ack'", id="wrong-ack"),
        pytest.param(answers(msgpack.packb({"ack": None})), "acknowledged something else", id="null-ack"),
        pytest.param(answers(b"\xc1\xc1\xc1"), "is no msgpack", id="garbage"),
        pytest.param(answers(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "acknowledged something else: 72", id="http"),
        pytest.param(answers(b"\xdb\xff\xff\xff\xff" + b"x" * 2 * MAX_ANSWER_BYTES), "is no msgpack", id="endless"),
        pytest.param(answers(b"\x91" * 5000), "is no msgpack|acknowledged", id="deep"),
        pytest.param(answers(msgpack.packb(["HELO", {}])), "wants a shared key", id="wants-a-key"),
    ],
)
def test_says_what_was_wrong_and_sends_again_on_a_new_connection(
    act: Callable[[socket.socket], None], problem: str
) -> None:
    takes = Takes()
    with ScriptedReceiver([act, takes]) as receiver:
        sink = sink_for(receiver, timeout_seconds=0.5)
        started = time.monotonic()
        with pytest.raises(SinkError, match=problem) as caught:
            sink.send(BATCH)
        assert time.monotonic() - started < 2
        assert not caught.value.rejected
        sink.send(BATCH)
        assert receiver.accepted == 2
    assert [record["event"]["id"] for _, record in unpacked(takes.messages[0])] == [alert.id for alert in BATCH]
    assert takes.messages[0][2]["chunk"] == chunk_name([alert.id for alert in BATCH])


def test_says_that_nobody_listens() -> None:
    with ScriptedReceiver([]) as receiver:
        address = receiver.address
    sink = opened(ForwardSink(ForwardConfig(name="siem", address=address)))
    with pytest.raises(SinkError, match=r"siem: 127.0.0.1:\d+ cannot be reached: Connection refused"):
        sink.send(BATCH)


def test_says_that_the_name_is_unknown_and_finds_it_later() -> None:
    known = False

    def resolve(host: str, port: int, **_: Any) -> Any:
        if not known:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    with ScriptedReceiver([Takes()]) as receiver:
        config = ForwardConfig(name="siem", address=f"tcp://siem.example:{receiver.port}")
        sink = opened(ForwardSink(config, resolve=resolve))
        with pytest.raises(SinkError, match=r"siem.example has no address: Temporary failure in name resolution"):
            sink.send(BATCH)
        known = True
        sink.send(BATCH)


def test_tries_all_addresses_of_a_name() -> None:
    with ScriptedReceiver([Takes()]) as receiver, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound, and nobody listens

        def resolve(*_: Any, **__: Any) -> Any:
            addresses = [bound.getsockname(), ("127.0.0.1", receiver.port)]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

        sink = opened(ForwardSink(ForwardConfig(name="siem", address="tcp://siem.example:24224"), resolve=resolve))
        sink.send(BATCH)


def test_without_ack_waits_until_the_receiver_has_the_bytes() -> None:
    got: list[Any] = []
    with ScriptedReceiver([lambda connection: got.append(read(connection))]) as receiver:
        sink = sink_for(receiver, ack=False)
        sink.send(BATCH)
        deadline = time.monotonic() + 5
        while not got and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "chunk" not in got[0][2]


def test_splits_what_is_more_than_receivers_take(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(entry(0, {})) + len(BATCH[0].document)
    monkeypatch.setattr(forward, "MAX_MESSAGE_BYTES", 2 * size + 1024)
    takes = Takes(2)
    with ScriptedReceiver([takes]) as receiver:
        sink = sink_for(receiver)
        sink.send(BATCH)
    assert [message[2]["size"] for message in takes.messages] == [2, 1]


def test_rejects_an_alert_that_no_receiver_takes() -> None:
    large = alerts.stored(document=b'{"a":"' + b"x" * forward.MAX_MESSAGE_BYTES + b'"}')
    with pytest.raises(SinkError, match="too large") as caught:
        opened(ForwardSink(ForwardConfig(name="siem", address="tcp://127.0.0.1:9"))).send([large])
    assert caught.value.rejected


@pytest.mark.parametrize(
    ("at_ns", "data"),
    [
        (1_763_700_000_123_456_789, struct.pack(">II", 1_763_700_000, 123_456_789)),
        (-1, bytes(8)),
        (2**80, struct.pack(">II", 2**32 - 1, 2**80 % 10**9)),
    ],
)
def test_writes_times_as_event_time(at_ns: int, data: bytes) -> None:
    assert entry(at_ns, {}) == b"\x92\xd7\x00" + data + b"\x80"


def test_names_the_same_chunk_the_same() -> None:
    assert chunk_name(["a", "b"]) == chunk_name(["a", "b"])
    assert len({chunk_name(["a", "b"]), chunk_name(["ab"]), chunk_name(["b", "a"])}) == 3
    assert len(base64.b64decode(chunk_name(["a"]))) == 16


class Handshake:
    """fluent-bit's side of the handshake: the nonce is a text of random bytes, and types are as strict as its own."""

    def __init__(self, pong: Callable[[bytes, bytes, bytes], Any], then: Takes | None = None) -> None:
        self._pong = pong
        self._then = then
        self.ping: Any = None

    def __call__(self, connection: socket.socket) -> None:
        nonce = b"\xff\xfe" + os.urandom(14)
        nonce_as_text = b"\xb0" + nonce
        connection.sendall(b"\x92\xa4HELO\x82\xa5nonce" + nonce_as_text + b"\xa4auth\xa4\xf0\x9f\xff\x00")
        self.ping = read(connection)
        assert isinstance(self.ping[2], str)
        pong = self._pong(self.ping[2].encode(), nonce, b"key")
        if pong is None:
            return
        connection.sendall(msgpack.packb(pong))
        if self._then is not None:
            self._then(connection)


def good(salt: bytes, nonce: bytes, key: bytes) -> Any:
    return ["PONG", True, "", "server", digest(salt, b"server", nonce, key).decode()]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "key").write_text("key\n")
    (tmp_path / "password").write_text("word")
    return {"shared_key_file": str(tmp_path / "key"), "password_file": str(tmp_path / "password")}


def test_proves_key_and_password(files: dict[str, str]) -> None:
    takes = Takes()
    handshake = Handshake(good, takes)
    with ScriptedReceiver([handshake]) as receiver:
        sink = sink_for(receiver, self_hostname="node-1", username="me", **files)
        sink.send(BATCH)
    assert len(takes.messages) == 1
    name, hostname, _, _, user, password = handshake.ping
    assert (name, hostname, user) == ("PING", "node-1", "me")
    assert password == digest(b"\xf0\x9f\xff\x00", b"me", b"word").decode()


@pytest.mark.parametrize(
    ("pong", "problem"),
    [
        pytest.param(lambda *_: None, "closed the connection without an answer", id="closes"),
        pytest.param(lambda *_: ["PONG", False, "shared_key mismatch", "", ""], "refused us: shared_key", id="refuses"),
        pytest.param(lambda *_: ["PONG", True, "", "server", "0" * 128], "does not know the shared key", id="impostor"),
        pytest.param(lambda *_: ["PONG", True, "", None, None], "wanted PONG", id="strange"),
        pytest.param(lambda *_: 7, "wanted PONG, the receiver said 7", id="garbage"),
    ],
)
def test_refuses_a_receiver_that_does_not_know_the_key(
    pong: Callable[..., Any], problem: str, files: dict[str, str]
) -> None:
    with ScriptedReceiver([Handshake(pong)]) as receiver, pytest.raises(SinkError, match=problem):
        sink_for(receiver, shared_key_file=files["shared_key_file"]).send(BATCH)


@pytest.mark.parametrize("helo", [["HELO"], ["HELO", {}], ["HELO", {"nonce": 7}], {"HELO": 1}, None, "HELO"])
def test_refuses_a_strange_helo(helo: Any, files: dict[str, str]) -> None:
    def act(connection: socket.socket) -> None:
        connection.sendall(msgpack.packb(helo))
        connection.recv(1)

    with ScriptedReceiver([act]) as receiver, pytest.raises(SinkError, match="HELO"):
        sink_for(receiver, shared_key_file=files["shared_key_file"]).send(BATCH)


def test_reads_a_renewed_key_at_the_next_connection(files: dict[str, str]) -> None:
    Path(files["shared_key_file"]).write_text("old")
    refuses = Handshake(lambda *_: ["PONG", False, "mismatch", "", ""])
    with ScriptedReceiver([refuses, Handshake(good, Takes())]) as receiver:
        sink = sink_for(receiver, shared_key_file=files["shared_key_file"])
        with pytest.raises(SinkError, match="refused"):
            sink.send(BATCH)
        Path(files["shared_key_file"]).write_text("key")
        sink.send(BATCH)


@pytest.mark.parametrize("content", [None, b"", b" \n", b"x" * 70_000])
def test_checks_its_files_at_the_start(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    sink = opened(ForwardSink(ForwardConfig(name="siem", address="tcp://a:1", shared_key_file=str(file))))
    with pytest.raises(SinkError, match=r"siem: .*key (cannot be read: No such file|is empty or larger than)"):
        sink.check()
