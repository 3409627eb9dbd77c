"""Fluent Forward, version 1, as fluent-bit, fluentd, Vector and the OpenTelemetry collector take it.

Source: the wiki of fluent/fluentd, "Forward Protocol Specification v1". What is sent is PackedForward,
``[tag, entries, {"size", "chunk", "compressed"}]``: ``entries`` are the concatenated msgpack of ``[time, record]``,
with the time as EventTime (ext type 0, seconds and nanoseconds), because some receivers refuse Timestamp and floats.

An acknowledgement says that the receiver has the chunk in its buffer. A chunk that was not acknowledged is sent again
by the caller, on a new connection and with the same id. No heartbeat is sent: fluent-bit closes at a nil.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import msgpack

from agent.errors import SinkError
from agent.formats.catalog import record_of
from agent.output_schema import ForwardConfig
from agent.sinks.connection import Connection, Connector, Deadline, Resolver, parse_address
from agent.sinks.forward_handshake import Credentials, read_answer, shake_hands, shown
from agent.sinks.secret_file import read_secret
from agent.sinks.session import Session
from agent.stored_alert import StoredAlert
from collectors.closing import closed_on_failure
from detectors.base import Severity

# fluent-bit resets the connection at a message of more (plugins/in_forward: buffer_max_size).
MAX_MESSAGE_BYTES = 6_144_000

_FRAME_BYTES = 1024  # tag, options and the heads of their containers
_LAST_SECOND = 2**32 - 1


class ForwardSink:
    """Sends chunks, one after the other."""

    def __init__(self, config: ForwardConfig, *, resolve: Resolver = socket.getaddrinfo) -> None:
        self.name = config.name
        self.min_severity = Severity[config.min_severity.upper()]
        self.max_batch = config.max_batch
        self._config = config
        self._connector = Connector(self.name, parse_address(config.address), config.tls, resolve=resolve)
        self._session = Session(self.name, self._open, config.timeout_seconds)

    def check(self) -> None:
        """Raise ``SinkError`` where a file that the sink needs cannot be used."""
        self._connector.check()
        for path in (self._config.shared_key_file, self._config.password_file):
            if path is not None:
                read_secret(self.name, path)

    def send(self, batch: Sequence[StoredAlert]) -> None:
        """Send the alerts in as few messages as the receiver's bound allows, each acknowledged before the next."""
        for chunk in self._chunks(batch):
            self._deliver(chunk)

    def close(self) -> None:
        """Close the connection, if one is open."""
        self._session.close()

    def _chunks(self, batch: Sequence[StoredAlert]) -> Iterator[list[tuple[str, bytes]]]:
        """The alerts' ids and entries, in chunks that stay below the bound."""
        chunk: list[tuple[str, bytes]] = []
        size = 0
        for alert in batch:
            packed = entry(alert.at_ns, record_of(alert, self._config.format))
            if len(packed) > MAX_MESSAGE_BYTES - _FRAME_BYTES:
                raise SinkError(self.name, f"an alert of {len(packed)} bytes is too large", rejected=True)
            if size + len(packed) > MAX_MESSAGE_BYTES - _FRAME_BYTES:
                yield chunk
                chunk, size = [], 0
            chunk.append((alert.id, packed))
            size += len(packed)
        if chunk:
            yield chunk

    def _deliver(self, chunk: list[tuple[str, bytes]]) -> None:
        chunk_id = chunk_name([alert_id for alert_id, _ in chunk])
        message = self._message(chunk_id, chunk)

        def exchange(connection: Connection) -> None:
            connection.sendall(message)
            if self._config.ack:
                self._expect_ack(connection, chunk_id)
            else:
                connection.wait_until_taken()

        self._session.run(exchange)

    def _message(self, chunk_id: str, chunk: list[tuple[str, bytes]]) -> bytes:
        entries = b"".join(packed for _, packed in chunk)
        options: dict[str, Any] = {"size": len(chunk)}
        if self._config.ack:
            options["chunk"] = chunk_id  # text: fluent-bit closes at bytes
        if self._config.compress == "gzip":
            entries = gzip.compress(entries, mtime=0)
            options["compressed"] = "gzip"
        packed: bytes = msgpack.packb([self._config.tag, entries, options])
        return packed

    def _expect_ack(self, connection: Connection, chunk_id: str) -> None:
        answer = read_answer(self.name, connection)
        if isinstance(answer, list) and answer[:1] == [b"HELO"]:
            raise SinkError(self.name, "the receiver wants a shared key, and shared_key_file is not set")
        if not isinstance(answer, dict) or answer.get(b"ack") != chunk_id.encode("ascii"):
            raise SinkError(self.name, f"the receiver acknowledged something else: {shown(answer)}")

    def _open(self, deadline: Deadline) -> Connection:
        """A connection, with the handshake done where a key is configured."""
        config = self._config
        if config.shared_key_file is None:
            return self._connector.open(deadline)
        known = Credentials(
            hostname=config.self_hostname or socket.gethostname(),
            shared_key=read_secret(self.name, config.shared_key_file),
            username=config.username or "",
            password=read_secret(self.name, config.password_file) if config.password_file is not None else b"",
        )
        connection = self._connector.open(deadline)
        with closed_on_failure(connection):
            shake_hands(self.name, connection, known)
        return connection


def entry(at_ns: int, record: dict[str, Any]) -> bytes:
    """One ``[EventTime, record]`` in msgpack. Pure."""
    seconds, nanoseconds = divmod(max(at_ns, 0), 1_000_000_000)
    time = msgpack.ExtType(0, struct.pack(">II", min(seconds, _LAST_SECOND), nanoseconds))
    packed: bytes = msgpack.packb([time, record])
    return packed


def chunk_name(alert_ids: Sequence[str]) -> str:
    """The id of a chunk: 16 bytes in base64, the same for the same alerts, so that it can be known again. Pure."""
    return base64.b64encode(hashlib.blake2b("\0".join(alert_ids).encode(), digest_size=16).digest()).decode("ascii")
