"""An ExportLogsServiceRequest in OTLP's JSON, and what the answer to it says. Pure.

Source: opentelemetry-proto, ``docs/specification.md``, "JSON Protobuf Encoding": lowerCamelCase, 64-bit numbers as
text, enumerations as numbers.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw

from agent.sinks.otlp_records import SCOPE, Batch, LogRecord, Record, Shared

CONTENT_TYPE = "application/json"

CACHED_VALUES = 256
MAX_CACHED_JSON = 8192

_INT64 = range(-(2**63), 2**63)


def request(batch: Batch, version: str) -> bytes:
    """The request; ``version`` is that of the agent."""
    return msgspec.json.encode(
        {
            "resourceLogs": [
                {
                    "resource": {"attributes": _attributes(resource)},
                    "scopeLogs": [
                        {
                            "scope": {"name": SCOPE, "version": version},
                            "logRecords": [_log_record(each) for each in records],
                        }
                    ],
                }
                for resource, records in batch
            ]
        }
    )


def partial_success(body: bytes) -> tuple[int, str]:
    """How many records a success left out, and why; 0 where the body says nothing of it, or no sense."""
    try:
        answer = msgspec.json.decode(body)
        partial = answer["partialSuccess"]
        return int(partial.get("rejectedLogRecords", 0)), str(partial.get("errorMessage", ""))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return 0, ""


def _log_record(record: LogRecord) -> Record:
    return {
        "timeUnixNano": str(record.time_ns),
        "observedTimeUnixNano": str(record.observed_ns),
        "severityNumber": record.severity_number,
        "severityText": record.severity_text,
        "body": {"stringValue": record.body},
        "attributes": [
            *_attributes(record.attributes),
            *[attribute for each in record.shared for attribute in _shared_attributes(each)],
        ],
        "eventName": record.event_name,
    }


@lru_cache(CACHED_VALUES)
def _shared_attributes(shared: Shared) -> tuple[Raw, ...]:
    return tuple(Raw(msgspec.json.encode(each)) for each in _attributes(shared.attributes))


def _attributes(attributes: Record) -> list[Record]:
    return [{"key": key, "value": _any_value(value)} for key, value in attributes.items()]


def _any_value(value: Any) -> Record | Raw:  # noqa: PLR0911 (one return a type)
    kind = type(value)
    if kind is str:
        return {"stringValue": value}
    if kind is list:
        return {"arrayValue": {"values": [_any_value(each) for each in value]}}
    if kind is dict:
        return {"kvlistValue": {"values": _attributes(value)}}
    if kind is bool:
        return {"boolValue": value}
    if kind is int:
        return {"intValue": str(value)} if value in _INT64 else {"stringValue": str(value)}
    if kind is Raw:
        raw = bytes(value)
        return _shared_value(raw) if len(raw) <= MAX_CACHED_JSON else _any_value(msgspec.json.decode(raw))
    if kind is float:
        return {"doubleValue": value}
    return {}


@lru_cache(CACHED_VALUES)
def _shared_value(raw: bytes) -> Raw:
    """JSON that many alerts have in common, as this encoding writes it."""
    return Raw(msgspec.json.encode(_any_value(msgspec.json.decode(raw))))
