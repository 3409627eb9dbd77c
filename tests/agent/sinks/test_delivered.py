"""From the outbox through the delivery to all receivers at once, real ones and bad ones: everything arrives."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from agent.config_schema import Config, OutputConfig, StdoutConfig
from agent.delivery import Delivery
from agent.outbox import Outbox
from agent.output_schema import ForwardConfig, HttpConfig, OtlpConfig, SyslogConfig
from agent.sinks.catalog import open_sinks
from tests.agent import alerts
from tests.support import fluent_server, rsyslog
from tests.support.fluent_server import FluentServer
from tests.support.http_receiver import HttpReceiver, Reply, Request
from tests.support.rsyslog import Rsyslog

COUNT = 300
WAIT_SECONDS = 20.0


def ids_of_otlp(requests: list[Request]) -> set[str]:
    records = [
        record
        for request in requests
        for logs in ExportLogsServiceRequest.FromString(request.body).resource_logs
        for scope in logs.scope_logs
        for record in scope.log_records
    ]
    return {pair.value.string_value for record in records for pair in record.attributes if pair.key == "log.record.uid"}


def wait_for(is_there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(rsyslog.command() is None, reason="rsyslogd is not installed")
def test_everything_arrives_at_every_receiver(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    package = Path(request.config.cache.mkdir("fluent-org-logger"))
    reason = fluent_server.missing(package)
    if reason is not None:
        pytest.skip(reason)
    batch = alerts.batch(COUNT)
    inputs = 'input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="all")'
    sidekick_faults = [Reply(500), Reply(), Reply(429, headers={"Retry-After": "0"}), Reply(), Reply(404)]
    collector_faults = [Reply(503, headers={"Retry-After": "0"}), Reply(502), Reply(504)]
    with (
        FluentServer(package) as fluent,
        Rsyslog(tmp_path, 'module(load="imtcp")', inputs) as syslog,
        HttpReceiver(*sidekick_faults) as sidekick,
        HttpReceiver(*collector_faults) as collector,
    ):
        entries: tuple[Any, ...] = (
            ForwardConfig(name="fluent", address=f"tcp://127.0.0.1:{fluent.port}", max_batch=64, compress="gzip"),
            SyslogConfig(name="syslog", address=f"tcp://127.0.0.1:{syslog.port}"),
            HttpConfig(name="sidekick", url=sidekick.url, format="falco"),
            OtlpConfig(name="collector", url=f"{collector.url}/v1/logs", max_batch=100),
            ForwardConfig(name="dead", address="tcp://127.0.0.1:1"),
        )
        sinks = open_sinks(Config(output=OutputConfig(stdout=StdoutConfig(enabled=False), sinks=entries)))
        outbox = Outbox(tmp_path / "state", max_bytes=1 << 28, max_age_seconds=3600, clock_ns=time.time_ns)
        first = outbox.next_sequence
        delivery = Delivery(outbox, sinks, first_pause_seconds=0.01)
        delivery.start()
        outbox.append([replace(alert, sequence=first + number) for number, alert in enumerate(batch)])
        expected = {alert.id for alert in batch}
        assert {each["record"]["event"]["id"] for each in fluent.entries(COUNT)} == expected
        lines = [json.loads(line) for line in syslog.messages(COUNT)]
        wait_for(lambda: all(each.waiting == 0 for each in delivery.sink_statuses() if each.name != "dead"))
        counts = delivery.counts()
        assert not delivery.stop(0.5)
        taken = [json.loads(each.body)["uuid"] for each in sidekick.requests]
        assert set(taken) == expected
        assert len(taken) == COUNT + 3  # what failed was sent again, and nothing else
        assert ids_of_otlp(collector.requests) == expected
    assert {line["sd"].split('id="')[1].split('"')[0] for line in lines} == expected
    assert {name: (each.sent, each.dropped) for name, each in counts.items()} == {
        "fluent": (COUNT, 0),
        "syslog": (COUNT, 0),
        "sidekick": (COUNT, 0),
        "collector": (COUNT, 0),
        "dead": (0, 0),
    }
