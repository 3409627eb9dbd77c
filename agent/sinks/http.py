"""POST requests with alerts in JSON: an array, one object a line, or a request for each alert.

With ``format: falco`` it is falcosidekick's webhook, which takes one object a request. A receiver that answers 2xx has
the alerts. Answers that speak of the body (400, 413, 415, 422, ...) mean that it will never take them; those that speak
of the way to it (401, 403, 404, ...) are a matter of configuration, and the alerts wait until that is put right.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from agent.errors import SinkError
from agent.formats.catalog import FORMATS
from agent.output_schema import HttpConfig
from agent.sinks.connection import Resolver
from agent.sinks.exchange import Answer, Destination, Exchange
from agent.stored_alert import StoredAlert
from detectors.base import Severity

# Statuses of 400 to 499 after which the same request may succeed: who we are, where it goes, and when (RFC 9110, 15.5).
_WORTH_REPEATING = frozenset({401, 403, 404, 405, 407, 408, 421, 423, 425, 429})
_CLIENT_ERROR = 4  # hundreds


class HttpSink:
    """Posts alerts to one URL."""

    def __init__(self, config: HttpConfig, *, resolve: Resolver = socket.getaddrinfo) -> None:
        self.name = config.name
        self.min_severity = Severity[config.min_severity.upper()]
        self.max_batch = config.max_batch
        self._render = FORMATS[config.format]
        self._body = config.body
        if config.body == "auto":
            self._body = "single" if config.format == "falco" else "array"
        destination = Destination(
            config.url, config.tls, config.headers, config.header_files, is_compressed=config.compress == "gzip"
        )
        self._exchange = Exchange(self.name, destination, config.timeout_seconds, resolve=resolve)
        # Of a batch that failed in its midst: what the receiver has already.
        self._taken: set[str] = set()

    def check(self) -> None:
        """Raise ``SinkError`` where a file that the sink needs cannot be used."""
        self._exchange.check()

    def send(self, batch: Sequence[StoredAlert]) -> None:
        """Post the alerts; those of a batch that comes again are not posted twice."""
        if self._body == "single":
            for alert in batch:
                if alert.id not in self._taken:
                    self._post(self._render(alert), "application/json")
                    self._taken.add(alert.id)
            self._taken.difference_update([alert.id for alert in batch])
            return
        lines = [self._render(alert) for alert in batch]
        if self._body == "ndjson":
            self._post(b"\n".join([*lines, b""]), "application/x-ndjson")
        else:
            self._post(b"[" + b",".join(lines) + b"]", "application/json")

    def close(self) -> None:
        """Close the connection, if one is open."""
        self._exchange.close()

    def _post(self, body: bytes, content_type: str) -> None:
        answer = self._exchange.post(body, content_type)
        if not answer.is_success:
            raise SinkError(self.name, answer.shown(), answer.retry_after_seconds, rejected=_is_rejected(answer))


def _is_rejected(answer: Answer) -> bool:
    return answer.status // 100 == _CLIENT_ERROR and answer.status not in _WORTH_REPEATING
