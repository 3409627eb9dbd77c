"""Our encoder beside the official messages of opentelemetry-proto."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from agent.sinks.otlp_json import partial_success as json_partial_success
from agent.sinks.otlp_protobuf import partial_success, request
from agent.sinks.otlp_records import LogRecord

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
VALUES = st.recursive(
    TEXTS | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
RECORDS = st.builds(
    LogRecord,
    time_ns=st.integers(0, 2**64 - 1),
    observed_ns=st.integers(0, 2**64 - 1),
    severity_number=st.integers(1, 24),
    severity_text=TEXTS,
    body=TEXTS,
    event_name=TEXTS,
    attributes=st.dictionaries(TEXTS, VALUES, max_size=4),
)


def set_value(message: AnyValue, value: Any) -> None:
    match value:
        case bool():
            message.bool_value = value
        case str():
            message.string_value = value
        case int():
            message.int_value = value
        case float():
            message.double_value = value
        case list():
            message.array_value.SetInParent()
            for each in value:
                set_value(message.array_value.values.add(), each)
        case dict():
            message.kvlist_value.SetInParent()
            set_attributes(message.kvlist_value.values, value)
        case _:
            raise AssertionError(value)


def set_attributes(holder: Any, attributes: dict[str, Any]) -> None:
    for key, value in attributes.items():
        pair = holder.add()
        pair.key = key
        pair.value.SetInParent()
        set_value(pair.value, value)


@settings(max_examples=50)
@given(st.lists(RECORDS, max_size=3), st.dictionaries(TEXTS, TEXTS, max_size=3))
def test_writes_the_same_bytes_as_the_official_messages(records: list[LogRecord], resource: dict[str, Any]) -> None:
    official = ExportLogsServiceRequest()
    logs = official.resource_logs.add()
    logs.resource.SetInParent()
    set_attributes(logs.resource.attributes, resource)
    scope = logs.scope_logs.add()
    scope.scope.name = "hullwatch"
    scope.scope.version = "1.2.3"
    for each in records:
        record = scope.log_records.add()
        record.time_unix_nano = each.time_ns
        record.observed_time_unix_nano = each.observed_ns
        record.severity_number = each.severity_number  # type: ignore[assignment]
        record.severity_text = each.severity_text
        record.body.string_value = each.body
        record.event_name = each.event_name
        set_attributes(record.attributes, each.attributes)
    written = request([(resource, records)], "1.2.3")
    assert ExportLogsServiceRequest.FromString(written) == official


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_writes_numbers_that_do_not_fit_as_text(number: int) -> None:
    record = LogRecord(0, 0, 9, "info", "", "", {"n": number})
    official = ExportLogsServiceRequest.FromString(request([({}, [record])], "1"))
    assert official.resource_logs[0].scope_logs[0].log_records[0].attributes[0].value.string_value == str(number)


@given(st.integers(0, 2**62), TEXTS)
def test_reads_a_partial_success(count: int, reason: str) -> None:
    answer = ExportLogsServiceResponse()
    answer.partial_success.rejected_log_records = count
    answer.partial_success.error_message = reason
    assert partial_success(answer.SerializeToString()) == (count, reason)


@given(st.binary())
def test_raises_nothing_for_any_answer(body: bytes) -> None:
    assert isinstance(partial_success(body)[0], int)
    assert isinstance(json_partial_success(body)[0], int)
