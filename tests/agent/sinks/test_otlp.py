"""The sink ``otlp`` with a receiver that is built on the official messages of opentelemetry-proto."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

from agent.errors import SinkError
from agent.formats.ecs import encode
from agent.output_schema import OtlpConfig, TlsConfig
from agent.sinks.otlp import OtlpSink
from agent.sinks.otlp_records import log_record, parts_of, resource
from agent.stored_alert import stored
from tests.agent import alerts
from tests.support import build
from tests.support.certificates import Certificates
from tests.support.http_receiver import HttpReceiver, Reply, Request
from tests.support.opened_sinks import opened

BATCH = alerts.batch(3)
SAMPLES = alerts.samples()


def decoded(request: Request) -> ExportLogsServiceRequest:
    """The request as the collector reads it; an unknown field or a wrong type is an error."""
    if request.headers["Content-Type"] == "application/json":
        message = json_format.Parse(request.body, ExportLogsServiceRequest())
    else:
        assert request.headers["Content-Type"] == "application/x-protobuf"
        message = ExportLogsServiceRequest.FromString(request.body)
        size = message.ByteSize()
        message.DiscardUnknownFields()
        assert message.ByteSize() == size
    return message


def sink_for(url: str, **keys: Any) -> OtlpSink:
    return opened(OtlpSink(OtlpConfig(name="collector", url=f"{url}/v1/logs", **{"timeout_seconds": 2.0, **keys})))


def value_of(value: Any) -> Any:
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "int_value":
            return value.int_value
        case "bool_value":
            return value.bool_value
        case "array_value":
            return [value_of(each) for each in value.array_value.values]
        case "kvlist_value":
            return {each.key: value_of(each.value) for each in value.kvlist_value.values}
        case kind:
            raise AssertionError(kind)


def attributes_of(holder: Any) -> dict[str, Any]:
    return {each.key: value_of(each.value) for each in holder.attributes}


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
@pytest.mark.parametrize("compress", ["none", "gzip"])
def test_the_official_messages_read_every_alert(encoding: Any, compress: Any) -> None:
    batch = [stored(alert) for alert in SAMPLES.values()]
    with HttpReceiver() as receiver:
        sink = sink_for(receiver.url, encoding=encoding, compress=compress)
        sink.send(batch)
    (request,) = receiver.requests
    assert request.path == "/v1/logs"
    (logs,) = decoded(request).resource_logs
    assert attributes_of(logs.resource) == resource(parts_of(encode(SAMPLES["drift"])))
    (scope,) = logs.scope_logs
    assert scope.scope.name == "hullwatch"
    for alert, record in zip(SAMPLES.values(), scope.log_records, strict=True):
        expected = log_record(parts_of(encode(alert)))
        assert attributes_of(record) == json.loads(msgspec.json.encode(expected.all_attributes()))
        assert record.body.string_value == alert.message
        assert record.time_unix_nano == alert.at_ns
        assert record.observed_time_unix_nano == alert.created_ns
        assert (record.severity_number, record.severity_text) == (expected.severity_number, expected.severity_text)
        assert record.event_name == f"hullwatch.{alert.detector.name}"


def test_both_encodings_say_the_same() -> None:
    requests = []
    for encoding in ("protobuf", "json"):
        with HttpReceiver() as receiver:
            sink = sink_for(receiver.url, encoding=encoding)
            sink.send(BATCH)
            requests.append(decoded(receiver.requests[0]))
    assert requests[0] == requests[1]


def test_follows_the_semantic_conventions() -> None:
    record = log_record(parts_of(encode(SAMPLES["drift-in-a-pod"])))
    attributes = record.all_attributes()
    assert (record.severity_number, record.severity_text) == (18, "critical")
    assert attributes["container.id"] == build.container_id()
    assert attributes["container.runtime.name"] == "docker"
    assert attributes["container.image.name"] == "registry.example:5000/shop/cart:1.2@sha256:0a1b"
    assert attributes["container.label.app_kubernetes_io/name"] == "cart"
    assert attributes["k8s.namespace.name"] == "shop"
    assert attributes["k8s.pod.name"] == "cart-7d9f"
    assert attributes["k8s.pod.uid"] == "uid-1"
    assert attributes["k8s.statefulset.name"] == "cart"
    assert attributes["k8s.node.name"] == "node-1"
    assert attributes["k8s.container.name"] == "cart"
    assert attributes["k8s.pod.label.app_kubernetes_io/name"] == "cart"
    assert not [each for each in attributes if each.startswith("kubernetes.pod") or each == "kubernetes.namespace"]
    assert attributes["process.pid"] == 4242
    assert attributes["process.executable.path"] == "/usr/bin/bash"
    assert attributes["process.command_args"] == ["nsenter", "-t", "1", "-m", "sh"]
    assert attributes["security_rule.name"] == "host_namespace_joined"
    assert attributes["rule.id"] == "HW-101"
    assert attributes["event.id"] == attributes["log.record.uid"] == SAMPLES["drift-in-a-pod"].id
    assert attributes["hullwatch.incident.id"] == SAMPLES["drift-in-a-pod"].incident.id
    assert attributes["hullwatch.evidence"] == {"namespace": "mnt", "inode": "4026531832"}
    assert resource(parts_of(encode(SAMPLES["drift"]))) == {
        "host.arch": "amd64",
        "host.boot.id": build.host_baseline().boot_id,
        "host.id": "0123456789abcdef0123456789abcdef",
        "host.name": "node-1",
        "host.os.kernel": "6.1.0-18-amd64",
        "os.description": "Debian GNU/Linux 12 (bookworm)",
        "os.name": "Debian GNU/Linux",
        "os.type": "linux",
        "os.version": "12",
        "service.instance.id": "0123456789abcdef0123456789abcdef",
        "service.name": "hullwatch",
        "service.version": "0.1.0",
    }


@pytest.mark.parametrize("name", SAMPLES)
def test_every_severity_has_its_number(name: str) -> None:
    assert 1 <= log_record(parts_of(encode(SAMPLES[name]))).severity_number <= 24


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_is_a_success(status: int) -> None:
    with HttpReceiver(Reply(status)) as receiver:
        sink = sink_for(receiver.url)
        sink.send(BATCH)
    assert sink.refused == 0


@pytest.mark.parametrize(
    ("status", "rejected"),
    [(429, False), (502, False), (503, False), (504, False), (400, True), (401, True), (413, True), (500, True)],
)
def test_only_what_the_specification_names_comes_again(status: int, rejected: bool) -> None:
    reply, message = Reply(status, headers={"Retry-After": "3"}), f"collector: answered {status}"
    with HttpReceiver(reply) as receiver, pytest.raises(SinkError, match=message) as caught:
        sink_for(receiver.url).send(BATCH)
    assert caught.value.rejected is rejected
    assert caught.value.retry_after_seconds == 3.0


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_counts_a_partial_success_and_sends_nothing_again(encoding: Any) -> None:
    answer = ExportLogsServiceResponse()
    answer.partial_success.rejected_log_records = 2
    answer.partial_success.error_message = "no room\x1b[2J"
    body = answer.SerializeToString() if encoding == "protobuf" else json_format.MessageToJson(answer).encode()
    with HttpReceiver(Reply(200, body)) as receiver:
        sink = sink_for(receiver.url, encoding=encoding)
        sink.send(BATCH)
    assert sink.refused == 2
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"null",
        b'{"partialSuccess":null}',
        b'{"partialSuccess":{"rejectedLogRecords":"many"}}',
        b"[" * 5000,
        b"\x0a",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xff" * 100,
        b"<html>ok</html>",
    ],
)
def test_the_body_of_a_success_may_be_anything(encoding: Any, body: bytes) -> None:
    with HttpReceiver(Reply(200, body)) as receiver:
        sink = sink_for(receiver.url, encoding=encoding)
        sink.send(BATCH)
    assert sink.refused == 0


def test_counts_no_more_than_was_sent() -> None:
    body = json.dumps({"partialSuccess": {"rejectedLogRecords": str(2**62)}}).encode()
    with HttpReceiver(Reply(200, body)) as receiver:
        sink = sink_for(receiver.url, encoding="json")
        sink.send(BATCH)
    assert sink.refused == len(BATCH)


def test_goes_over_tls(certificates: Certificates) -> None:
    with HttpReceiver(tls=certificates.server_context()) as receiver:
        sink = sink_for(receiver.url, tls=TlsConfig(ca_file=certificates.authority))
        sink.send(BATCH)
    assert len(decoded(receiver.requests[0]).resource_logs[0].scope_logs[0].log_records) == 3
