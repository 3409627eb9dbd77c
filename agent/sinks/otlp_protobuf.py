"""An ExportLogsServiceRequest in protobuf, and what the answer to it says. Pure.

Source: open-telemetry/opentelemetry-proto 1.x, ``collector/logs/v1/logs_service.proto``, ``logs/v1/logs.proto``,
``common/v1/common.proto``, ``resource/v1/resource.proto``: field numbers are never changed there. The wire
format is "Encoding" of protobuf.dev. The official messages are the test (``tests/agent/sinks/test_otlp_protobuf.py``);
why they are not used here is docs/adr/0007.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw

from agent.sinks.otlp_records import SCOPE, Batch, LogRecord, Record, Shared

CONTENT_TYPE = "application/x-protobuf"
MAX_CACHED_TEXT = 64
CACHED_TEXTS = 4096
CACHED_VALUES = 256
MAX_CACHED_JSON = 8192

_VARINT, _FIXED64, _BYTES = 0, 1, 2
_INT64 = range(-(2**63), 2**63)
_SMALL = [bytes([number]) for number in range(128)]


def request(batch: Batch, version: str) -> bytes:
    """The request; ``version`` is that of the agent."""
    scope = _text(1, SCOPE) + _text(2, version)
    return b"".join(
        _message(
            1,
            _message(1, _attributes(1, resource))
            + _message(2, _message(1, scope) + b"".join(_message(2, _log_record(each)) for each in records)),
        )
        for resource, records in batch
    )


def partial_success(body: bytes) -> tuple[int, str]:
    """How many records a success left out, and why; 0 where the body says nothing of it, or no sense.

    ``partial_success`` is field 1 of the answer; in it 1 is the number, 2 the reason.
    """
    count, reason = 0, ""
    try:
        for field, value in _fields(body):
            if field == 1 and isinstance(value, bytes):
                for inner, each in _fields(value):
                    if inner == 1 and isinstance(each, int):
                        count = each
                    if inner == 2 and isinstance(each, bytes):  # noqa: PLR2004 (the field's number)
                        reason = each.decode("utf-8", "replace")
    except (ValueError, IndexError):
        return 0, ""
    return count, reason


def _log_record(record: LogRecord) -> bytes:
    return b"".join(
        (
            _fixed64(1, record.time_ns),
            _tag(2, _VARINT) + _varint(record.severity_number),
            _text(3, record.severity_text),
            _message(5, _any_value(record.body)),
            _attributes(6, record.attributes),
            *[_shared_attributes(each) for each in record.shared],
            _fixed64(11, record.observed_ns),
            _text(12, record.event_name),
        )
    )


def _attributes(field: int, attributes: Record) -> bytes:
    """A repeated KeyValue."""
    return b"".join(
        [
            _short_text_pair(field, key, each)
            if type(each) is str and len(each) <= MAX_CACHED_TEXT
            else _pair(field, key, _any_value(each))
            for key, each in attributes.items()
        ]
    )


@lru_cache(CACHED_VALUES)
def _shared_attributes(shared: Shared) -> bytes:
    return _attributes(6, shared.attributes)


@lru_cache(CACHED_TEXTS)
def _short_text_pair(field: int, key: str, text: str) -> bytes:
    """Rules, images, users: the same few hundred in every alert."""
    return _pair(field, key, _text_value(text))


def _pair(field: int, key: str, value: bytes) -> bytes:
    pair = _key(key) + b"\x12" + _varint(len(value)) + value  # 0x12: field 2, bytes
    return _tag(field, _BYTES) + _varint(len(pair)) + pair


def _any_value(value: Any) -> bytes:  # noqa: PLR0911 (one return a type)
    """An AnyValue. Types are asked for in the order in which they are frequent: this is where the time goes."""
    kind = type(value)
    if kind is str:
        return _short_text_value(value) if len(value) <= MAX_CACHED_TEXT else _text_value(value)
    if kind is list:
        return _message(5, b"".join([_member(each) for each in value]))
    if kind is dict:
        return _message(6, _attributes(1, value))
    if kind is bool:
        return _tag(2, _VARINT) + _varint(int(value))
    if kind is int and value in _INT64:
        return _tag(3, _VARINT) + _varint(value & (2**64 - 1))
    if kind is int:
        return _text_value(str(value))
    if kind is Raw:
        raw = bytes(value)
        return _shared_value(raw) if len(raw) <= MAX_CACHED_JSON else _any_value(msgspec.json.decode(raw))
    if kind is float:
        return _tag(4, _FIXED64) + struct.pack("<d", value)
    return b""


def _member(value: Any) -> bytes:
    if type(value) is str and len(value) <= MAX_CACHED_TEXT:
        return _short_text_member(value)
    return _message(1, _any_value(value))


@lru_cache(CACHED_TEXTS)
def _short_text_member(text: str) -> bytes:
    return _message(1, _text_value(text))


@lru_cache(CACHED_VALUES)
def _shared_value(raw: bytes) -> bytes:
    """JSON that many alerts have in common: vectors, ancestors, aspects."""
    return _any_value(msgspec.json.decode(raw))


def _text_value(text: str) -> bytes:
    return _message(1, text.encode("utf-8"))  # also an empty one: a oneof says which it is


@lru_cache(CACHED_TEXTS)
def _short_text_value(text: str) -> bytes:
    """Names of capabilities, namespaces, users: the same few hundred in every alert."""
    return _text_value(text)


@lru_cache(CACHED_TEXTS)
def _key(key: str) -> bytes:
    return _text(1, key)


def _message(field: int, body: bytes) -> bytes:
    return _tag(field, _BYTES) + _varint(len(body)) + body


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode("utf-8")) if text else b""


def _fixed64(field: int, number: int) -> bytes:
    return _tag(field, _FIXED64) + struct.pack("<Q", number & (2**64 - 1))


def _tag(field: int, wire_type: int) -> bytes:
    return _SMALL[field << 3 | wire_type]


@lru_cache(CACHED_TEXTS)
def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:  # noqa: PLR2004 (seven bits a byte)
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _fields(body: bytes) -> Iterable[tuple[int, int | bytes]]:
    at = 0
    while at < len(body):
        key, at = _read_varint(body, at)
        match key & 7:
            case 0:
                number, at = _read_varint(body, at)
                yield key >> 3, number
            case 2:
                size, at = _read_varint(body, at)
                yield key >> 3, body[at : at + size]
                at += size
            case 1:
                at += 8
            case 5:
                at += 4
            case wire_type:
                raise ValueError(wire_type)


def _read_varint(body: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        byte = body[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 (the last byte)
            return number, at
    raise ValueError(at)
