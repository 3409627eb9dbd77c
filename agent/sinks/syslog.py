"""Syslog, RFC 5424: over TCP or TLS with octet counting, or on a unix socket (a datagram a message, or a stream).

Syslog has no answer. A batch counts as taken when the receiver's kernel has acknowledged all of it and the connection
still stands; what a receiver loses of that, nobody learns: ``forward`` and ``otlp`` are acknowledged and this is not.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

import msgspec

from agent.formats.catalog import FORMATS
from agent.output_schema import SyslogConfig
from agent.sinks.connection import Connection, Connector, Resolver, parse_address
from agent.sinks.session import Session
from agent.sinks.syslog_message import Header, framed, structured, with_json
from agent.stored_alert import StoredAlert
from detectors.base import Severity


class SyslogSink:
    """Writes messages, a batch at a time."""

    def __init__(self, config: SyslogConfig, *, resolve: Resolver = socket.getaddrinfo) -> None:
        self.name = config.name
        self.min_severity = Severity[config.min_severity.upper()]
        self.max_batch = config.max_batch
        self._config = config
        self._header = Header(config.facility, config.app_name, config.enterprise_id)
        self._render = FORMATS[config.format]
        self._connector = Connector(self.name, parse_address(config.address), config.tls, resolve=resolve)
        self._session = Session(self.name, self._connector.open, config.timeout_seconds)

    def check(self) -> None:
        """Raise ``SinkError`` where a file that the sink needs cannot be used."""
        self._connector.check()

    def send(self, batch: Sequence[StoredAlert]) -> None:
        """Write the alerts."""
        messages = [self._message(alert) for alert in batch]

        def exchange(connection: Connection) -> None:
            if connection.is_datagram:
                for message in messages:
                    connection.sendall(message)
            else:
                connection.sendall(b"".join(framed(message) for message in messages))
            connection.wait_until_taken()

        self._session.run(exchange)

    def close(self) -> None:
        """Close the connection, if one is open."""
        self._session.close()

    def _message(self, alert: StoredAlert) -> bytes:
        """The message; JSON that the receiver would cut, and so break, goes as structured data."""
        document = msgspec.json.decode(alert.document)
        limit = self._config.max_message_bytes
        if self._config.content != "structured":
            message = with_json(document, self._header, self._render(alert), is_cee=self._config.content == "cee")
            if len(message) <= limit:
                return message
        return structured(document, self._header, limit)
