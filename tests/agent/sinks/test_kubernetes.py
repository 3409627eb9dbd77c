"""The sink ``kubernetes``: the official client against an HTTPS server that checks events as the API server does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from agent.errors import SinkError
from agent.formats.ecs import to_ecs
from agent.output_schema import KubernetesConfig
from agent.sinks.kubernetes import MAX_REMEMBERED, KubernetesSink, RateLimit
from agent.sinks.kubernetes_event import events, note
from agent.stored_alert import stored
from collectors.facts import Pod
from detectors.base import Severity
from tests.agent import alerts
from tests.support import build
from tests.support.certificates import Certificates
from tests.support.http_receiver import HttpReceiver, Reply, Request
from tests.support.opened_sinks import opened

POD = build.container(pod=Pod("shop", "cart-7d9f", "uid-1", "cart", is_sandbox=False))
IN_POD = stored(alerts.alert(container=POD))
ON_NODE = stored(alerts.alert())

_QUALIFIED_NAME = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def invalid(event: dict[str, Any], namespace: str) -> str | None:
    """What pkg/apis/core/validation/events.go (legacyValidateEvent, validateV1EventSeries) says of a new event."""
    regarding = event["regarding"]
    checks = {
        "namespace": event["metadata"]["namespace"] == namespace
        and (
            regarding["namespace"] == namespace if "namespace" in regarding else namespace in {"default", "kube-system"}
        ),
        "name": _SUBDOMAIN.fullmatch(event["metadata"]["name"]) is not None and len(event["metadata"]["name"]) <= 253,
        "eventTime": re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event["eventTime"]) is not None,
        "type": event["type"] in {"Normal", "Warning"},
        "reportingController": _QUALIFIED_NAME.fullmatch(event["reportingController"]) is not None,
        "reportingInstance": 0 < len(event["reportingInstance"]) <= 128,
        "action": 0 < len(event["action"]) <= 128,
        "reason": 0 < len(event["reason"]) <= 128,
        "note": len(event["note"].encode()) <= 1024,
        "deprecated": not any(key.startswith("deprecated") or key == "series" for key in event),
    }
    return next((name for name, is_valid in checks.items() if not is_valid), None)


class ApiServer:
    """Answers as the API server: 401 without the token, 409 for a name that is there, 422 for what is not valid."""

    def __init__(self, token: str = "t0ken") -> None:  # noqa: S107 (a sample)
        self.token = token
        self.events: dict[str, dict[str, Any]] = {}

    def __call__(self, request: Request) -> Reply:
        if {name.lower(): value for name, value in request.headers.items()}["authorization"] != f"Bearer {self.token}":
            return Reply(401, b"{}")
        found = re.fullmatch(r"/apis/events\.k8s\.io/v1/namespaces/([a-z-]+)/events", request.path)
        if found is None:
            return Reply(404, b"{}")
        event = json.loads(request.body)
        problem = invalid(event, found[1])
        if problem is not None:
            return Reply(422, problem.encode())
        if event["metadata"]["name"] in self.events:
            return Reply(409, b"{}")
        self.events[event["metadata"]["name"]] = event
        return Reply(201, request.body)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("t0ken")
    return file


def sink_for(url: str, certificates: Certificates, token_file: Path, **keys: Any) -> KubernetesSink:
    config = KubernetesConfig(
        name="events",
        server=url,
        token_file=str(token_file),
        ca_file=certificates.authority,
        **{"timeout_seconds": 2.0, **keys},
    )
    return opened(KubernetesSink(config))


def test_makes_events_on_pod_and_node(certificates: Certificates, token_file: Path) -> None:
    server = ApiServer()
    with HttpReceiver(default=server, tls=certificates.server_context()) as receiver:
        sink = sink_for(receiver.url, certificates, token_file)
        sink.check()
        sink.send([IN_POD])
    on_pod, on_node = server.events.values()
    assert on_pod["metadata"] == {"name": f"hullwatch.{IN_POD.id}.pod", "namespace": "shop"}
    assert on_pod["regarding"] == {
        "kind": "Pod",
        "apiVersion": "v1",
        "namespace": "shop",
        "name": "cart-7d9f",
        "uid": "uid-1",
    }
    assert on_pod["related"] == on_node["regarding"]
    assert on_node["regarding"] == {"kind": "Node", "apiVersion": "v1", "name": "node-1", "uid": "node-1"}
    assert on_node["metadata"]["namespace"] == "default"
    assert on_pod["reason"] == "HostNamespaceJoined"
    assert on_pod["note"].startswith("HW-101: A container process has a namespace of the host. Container web-1.")
    assert sink.left_out == 0


def test_the_same_alert_again_is_no_second_event(certificates: Certificates, token_file: Path) -> None:
    server = ApiServer()
    with HttpReceiver(default=server, tls=certificates.server_context()) as receiver:
        for _ in range(2):  # the agent was started anew in between
            sink_for(receiver.url, certificates, token_file).send([ON_NODE])
    assert len(server.events) == 1
    assert len(receiver.requests) == 2


def test_the_same_rule_on_the_same_object_is_told_once(certificates: Certificates, token_file: Path) -> None:
    server = ApiServer()
    with HttpReceiver(default=server, tls=certificates.server_context()) as receiver:
        sink = sink_for(receiver.url, certificates, token_file)
        sink.send(alerts.batch(5))
    assert len(server.events) == 1
    assert sink.left_out == 4


def test_reads_a_renewed_token(certificates: Certificates, token_file: Path) -> None:
    server = ApiServer("new")
    with HttpReceiver(default=server, tls=certificates.server_context()) as receiver:
        sink = sink_for(receiver.url, certificates, token_file)
        with pytest.raises(SinkError, match="events: the API server answered 401"):
            sink.send([ON_NODE])
        token_file.write_text("new")
        sink.send([ON_NODE])
    assert len(server.events) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_waits_as_long_as_the_server_asks(certificates: Certificates, token_file: Path, status: int) -> None:
    reply = Reply(status, b"{}", headers={"Retry-After": "4"})
    with HttpReceiver(reply, default=ApiServer(), tls=certificates.server_context()) as receiver:
        sink = sink_for(receiver.url, certificates, token_file)
        with pytest.raises(SinkError, match=f"answered {status}") as caught:
            sink.send([IN_POD])
        sink.send([IN_POD])
    assert caught.value.retry_after_seconds == 4.0
    assert sink.left_out == 0
    assert len(receiver.requests) == 3


@pytest.mark.parametrize("status", [403, 404, 422])
def test_an_event_that_is_refused_holds_up_nothing(certificates: Certificates, token_file: Path, status: int) -> None:
    with HttpReceiver(Reply(status, b"{}"), default=ApiServer(), tls=certificates.server_context()) as receiver:
        sink = sink_for(receiver.url, certificates, token_file)
        sink.send([IN_POD])
    assert (sink.refused, sink.left_out) == (1, 0)
    assert len(receiver.requests) == 2


def test_refuses_an_impostor(certificates: Certificates, token_file: Path) -> None:
    context, message = certificates.server_context("other"), "cannot be trusted: SSLError .*IP address mismatch"
    with HttpReceiver(tls=context) as receiver, pytest.raises(SinkError, match=message):
        sink_for(receiver.url, certificates, token_file).send([ON_NODE])
    assert receiver.requests == []


def test_gives_up_on_a_late_answer(certificates: Certificates, token_file: Path) -> None:
    reply, context = Reply(delay_seconds=1.0), certificates.server_context()
    with HttpReceiver(reply, tls=context) as receiver, pytest.raises(SinkError, match="cannot be reached"):
        sink_for(receiver.url, certificates, token_file, timeout_seconds=0.2).send([ON_NODE])


@pytest.mark.parametrize(
    ("environment", "server"),
    [
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}, "https://10.0.0.1:443"),
        ({"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}, "https://[fd00::1]:443"),
        ({}, None),
    ],
)
def test_finds_the_server_of_its_cluster(environment: dict[str, str], server: str | None) -> None:
    assert KubernetesSink(KubernetesConfig(name="events"), environment=environment)._server == server


def test_checks_at_the_start_that_it_is_in_a_cluster() -> None:
    with pytest.raises(SinkError, match="the agent runs in no cluster"):
        KubernetesSink(KubernetesConfig(name="events"), environment={}).check()
    with pytest.raises(SinkError, match="/nowhere cannot be read"):
        KubernetesSink(KubernetesConfig(name="events", server="https://a", token_file="/nowhere")).check()


def test_is_for_severe_alerts_by_default() -> None:
    assert KubernetesSink(KubernetesConfig(name="events"), environment={}).min_severity is Severity.HIGH


SAMPLES = alerts.samples()


@pytest.mark.parametrize("name", SAMPLES)
def test_every_event_is_one_that_the_server_takes(name: str) -> None:
    for event in events(to_ecs(SAMPLES[name]), KubernetesConfig(name="events")):
        assert invalid(event, event["metadata"]["namespace"]) is None


def test_the_note_holds_no_argument_and_no_path() -> None:
    process = alerts.escaped(arguments=b"mysql\0--password=hunter2\0/etc/hunter2\0")
    text = note(to_ecs(alerts.alert(process, finding=alerts.drift(process, message="opened /etc/hunter2"))))
    assert "hunter2" not in text
    assert "/usr/bin/bash" not in text


def test_the_note_is_cut_to_what_the_server_takes() -> None:
    document = to_ecs(alerts.alert())
    document["container"]["name"] = "\u00e9" * 4000
    assert len(note(document).encode()) == 1023


def test_admits_one_of_a_kind_within_a_time_and_so_many_a_minute() -> None:
    limit = RateLimit(2, 600.0)
    assert limit.admits(("a", "r"), 1000.0)
    assert not limit.admits(("a", "r"), 1599.0)
    assert limit.admits(("a", "r"), 1600.0)
    assert limit.admits(("b", "r"), 1600.0)
    assert not limit.admits(("c", "r"), 1600.0)
    assert limit.admits(("c", "r"), 1630.0)


def test_remembers_no_more_than_its_bound() -> None:
    limit = RateLimit(600, 86_400.0)
    for number in range(MAX_REMEMBERED + 100):
        limit.admits((str(number), "r"), number * 1.0)
    assert len(limit._last) == MAX_REMEMBERED
