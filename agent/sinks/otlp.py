"""OpenTelemetry logs over HTTP, in protobuf or JSON: the collector takes them, and every backend that takes OTLP.

Source: opentelemetry-proto, ``docs/specification.md``, "OTLP/HTTP". Any 2xx is a success, whatever its body: some
receivers answer 201 with nothing. Only 429, 502, 503 and 504 are worth another try, as the specification has it. Of a
partial success the records that were left out are counted and logged, and nothing is sent again.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from itertools import groupby

import structlog

from agent import __version__
from agent.errors import SinkError
from agent.output_schema import OtlpConfig
from agent.sinks import otlp_json, otlp_protobuf
from agent.sinks.connection import Resolver
from agent.sinks.exchange import Destination, Exchange
from agent.sinks.otlp_records import log_record, parts_of, resource
from agent.stored_alert import StoredAlert
from agent.text import clipped, visible
from detectors.base import Severity

_WORTH_REPEATING = frozenset({429, 502, 503, 504})


class OtlpSink:
    """Posts log records to one URL. ``refused`` counts those that a receiver left out of a batch that it took."""

    def __init__(self, config: OtlpConfig, *, resolve: Resolver = socket.getaddrinfo) -> None:
        self.name = config.name
        self.min_severity = Severity[config.min_severity.upper()]
        self.max_batch = config.max_batch
        self.refused = 0
        self.left_out = 0  # there is no limit here
        self._encoding = otlp_json if config.encoding == "json" else otlp_protobuf
        destination = Destination(
            config.url, config.tls, config.headers, config.header_files, is_compressed=config.compress == "gzip"
        )
        self._exchange = Exchange(self.name, destination, config.timeout_seconds, resolve=resolve)
        self._log = structlog.get_logger("agent.sinks.otlp")

    def check(self) -> None:
        """Raise ``SinkError`` where a file that the sink needs cannot be used."""
        self._exchange.check()

    def send(self, batch: Sequence[StoredAlert]) -> None:
        """Post the alerts in one request."""
        records = [
            (attributes, [log_record(each) for each in group])
            for attributes, group in groupby([parts_of(alert.document) for alert in batch], resource)
        ]
        body = self._encoding.request(records, __version__)
        answer = self._exchange.post(body, self._encoding.CONTENT_TYPE)
        if not answer.is_success:
            is_rejected = answer.status not in _WORTH_REPEATING
            raise SinkError(self.name, answer.shown(), answer.retry_after_seconds, rejected=is_rejected)
        left_out, reason = self._encoding.partial_success(answer.body)
        self._count(min(max(left_out, 0), len(batch)), reason)

    def close(self) -> None:
        """Close the connection, if one is open."""
        self._exchange.close()

    def _count(self, rejected: int, reason: str) -> None:
        if rejected or reason:
            self.refused += rejected
            self._log.warning(
                "alerts_left_out", sink=self.name, rejected=rejected, reason=visible(clipped(reason, 200))
            )
