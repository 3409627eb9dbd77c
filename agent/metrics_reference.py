"""The reference page of all metrics, in Markdown, made of the catalogue; and of health, made of its codes."""

from __future__ import annotations

from collections.abc import Iterator

from agent.health import Code
from agent.metrics_catalog import METRICS

_INTRODUCTION = """\
# Metrics and health

<!-- Generated from agent/metrics_catalog.py and agent/health.py by `make docs`: do not edit. -->

`GET /metrics` answers in the Prometheus text format 0.0.4. Where it listens: [`metrics`](config.md#metrics). Alert
rules are in `deploy/prometheus/`, a Grafana dashboard in `deploy/dashboards/`.

    scrape_configs:
      - job_name: hullwatch
        authorization: {credentials_file: /etc/prometheus/hullwatch.token}  # with metrics.token_file
        static_configs: [{targets: ["node-1:9755"]}]                        # metrics.address beyond loopback

There is no TLS: beyond loopback, give a token and use a network that you trust. An address that is taken is tried again
and again: it does not keep the agent from starting.

No label holds what a container can choose. *Bound* says what keeps a label's values few. A counter begins at 0 with
the agent. Those with an `error` or `reason` that is not yet known appear with their first count, so that `increase()`
misses that one: watch `hullwatch_health_reason` for them, as the alert rules do.

| metric | type | labels | bound | meaning |
|---|---|---|---|---|"""

_HEALTH = """\

## Health

`GET /healthz` answers 200, or 503 when the status is `failing`: the node is not watched any more, and a restart may
mend it. `GET /readyz` answers 503 also until the first sweep is done and when the agent is told to stop. Whatever else
is wrong is `degraded` and answered with 200, since a restart would only lose more. The body says what is wrong:

    {"status":"degraded","reasons":[{"code":"sensor_weak","status":"degraded","detail":"..."}],"is_ready":true}

What was counted (lost events, failures, drops) is a reason for five minutes.

| reason | what is wrong |
|---|---|"""

MEANINGS = {
    Code.MAIN_LOOP_STUCK: "the main loop has not turned for 30 s (`failing`)",
    Code.SWEEP_OVERDUE: "no sweep ended for 10 s and 3 intervals; `failing` from 60 s and 20 intervals on",
    Code.SENSOR_LOST: "the sensor has stopped and is tried again; sweeps go on",
    Code.SENSOR_WEAK: "the tier is `poll`, though the configuration does not ask for that",
    Code.SOURCE_FAILING: "a source other than the sensor has stopped and is tried again, or did so",
    Code.EVENTS_LOST: "events never reached the node's state; a sweep followed",
    Code.STATE_FULL: "a table of processes, containers or mount namespaces was full: see `limits`",
    Code.DETECTOR_FAILING: "a detector failed: a fault of the agent",
    Code.BLIND: "detectors could not read what they need: a capability is missing, or a source is odd",
    Code.DOCKER_API_FAILING: "the Docker API fails, or is not there though it was asked for",
    Code.KUBERNETES_API_FAILING: "the Kubernetes API is wanted and has been silent for a minute, or knows no pod here",
    Code.OUTBOX_FAILING: "alerts cannot be written to the outbox",
    Code.OUTBOX_DROPPING: "a full outbox dropped alerts",
    Code.SINK_FAILING: "a sink fails, or its oldest alert waits for more than 60 s",
    Code.SINK_DROPPING: "alerts were dropped for a sink",
    Code.ENDPOINT_UNAVAILABLE: "the address of this endpoint is taken; it is tried again",
    Code.MEMORY_SHORT: "the agent is beyond `limits.memory_bytes` and saves by steps, the last of which costs sight",
    Code.CONTROL_UNAVAILABLE: "the control socket cannot be made, so no command reaches the agent; it is tried again",
}


def reference() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *_metrics(), _HEALTH, *_reasons()]) + "\n"


def _metrics() -> Iterator[str]:
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"| `{metric.name}` | {metric.kind} | {labels} | {metric.bound} | {metric.help} |"


def _reasons() -> Iterator[str]:
    yield from (f"| `{code}` | {MEANINGS[code]} |" for code in Code)
