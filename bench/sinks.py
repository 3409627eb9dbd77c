"""Alerts a second and CPU an alert through each sink, into a receiver on loopback that only reads.

CPU is that of the thread which sends: rendering, encoding, compressing and the system calls. Alerts are drifts, whole,
each of a process of its own that went from the same container into the host's namespaces.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from agent.output_schema import AnySinkConfig, ForwardConfig, HttpConfig, OtlpConfig, SyslogConfig
from agent.sinks.base import Sink
from agent.sinks.forward import ForwardSink
from agent.sinks.http import HttpSink
from agent.sinks.otlp import OtlpSink
from agent.sinks.syslog import SyslogSink
from agent.stored_alert import StoredAlert
from collectors.events import Exec
from tests.agent import alerts
from tests.support import build

ALERTS = 256
FIRST_PID = 5000
ROUNDS = 5
PASSES = 8

Maker = Callable[[int], AnySinkConfig]

CASES: tuple[tuple[str, str, Maker], ...] = (
    ("forward", "forward", lambda port: ForwardConfig(name="x", address=f"tcp://127.0.0.1:{port}")),
    (
        "forward gzip",
        "forward",
        lambda port: ForwardConfig(name="x", address=f"tcp://127.0.0.1:{port}", compress="gzip"),
    ),
    ("http array", "http", lambda port: HttpConfig(name="x", url=f"http://127.0.0.1:{port}")),
    ("http array gzip", "http", lambda port: HttpConfig(name="x", url=f"http://127.0.0.1:{port}", compress="gzip")),
    ("http array ocsf", "http", lambda port: HttpConfig(name="x", url=f"http://127.0.0.1:{port}", format="ocsf")),
    (
        "http falco (one a request)",
        "http",
        lambda port: HttpConfig(name="x", url=f"http://127.0.0.1:{port}", format="falco"),
    ),
    ("otlp protobuf", "http", lambda port: OtlpConfig(name="x", url=f"http://127.0.0.1:{port}", compress="none")),
    ("otlp protobuf gzip", "http", lambda port: OtlpConfig(name="x", url=f"http://127.0.0.1:{port}")),
    (
        "otlp json gzip",
        "http",
        lambda port: OtlpConfig(name="x", url=f"http://127.0.0.1:{port}", encoding="json"),
    ),
    ("syslog structured", "drain", lambda port: SyslogConfig(name="x", address=f"tcp://127.0.0.1:{port}")),
    (
        "syslog json",
        "drain",
        lambda port: SyslogConfig(
            name="x", address=f"tcp://127.0.0.1:{port}", content="json", max_message_bytes=65_536
        ),
    ),
)


def main() -> None:
    """Print one line a case."""
    processes = [alerts.escaped(FIRST_PID + number) for number in range(ALERTS)]
    batch = [alerts.stored_whole(each, event=Exec(build.NOW_NS + each.key.pid, each)) for each in processes]
    size = sum(len(each.document) for each in batch) / len(batch)
    print(f"sinks: alerts of {size:.0f} bytes, batches of the sink's default, the best of {ROUNDS} rounds")
    for name, kind, make in CASES:
        with _receiver(kind) as port:
            sink = _sink(make(port))
            sink.send(batch[: sink.max_batch])  # opens the connection
            rounds = [_round(sink, batch) for _ in range(ROUNDS)]
            sink.close()
        rate, cpu_us = max(each[0] for each in rounds), min(each[1] for each in rounds)
        print(f"  {name:<28} {rate:8.0f} alerts/s, {cpu_us:6.1f} us of CPU an alert")


def _round(sink: Sink, batch: Sequence[StoredAlert]) -> tuple[float, float]:
    """Alerts a second, and microseconds of CPU an alert."""
    started, cpu = time.perf_counter(), time.thread_time_ns()
    for _ in range(PASSES):
        for at in range(0, len(batch), sink.max_batch):
            sink.send(batch[at : at + sink.max_batch])
    sent = PASSES * len(batch)
    return sent / (time.perf_counter() - started), (time.thread_time_ns() - cpu) / 1000 / sent


def _sink(config: AnySinkConfig) -> Sink:
    match config:
        case ForwardConfig():
            return ForwardSink(config)
        case HttpConfig():
            return HttpSink(config)
        case OtlpConfig():
            return OtlpSink(config)
        case SyslogConfig():
            return SyslogSink(config)
        case _:
            raise AssertionError(config)


@contextmanager
def _receiver(kind: str) -> Iterator[int]:
    """The port of a receiver of that kind."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.receivers", kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


if __name__ == "__main__":
    main()
