"""What an alert costs on its way out: from the finding into the outbox, and from the outbox after an outage.

CPU is that of the whole process, the outbox' upkeep included; the alert is a drift with both vectors and three
ancestors, the largest kind that there is.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from agent.alert_path import AlertPath
from agent.delivery import Delivery
from agent.limits import AlertLimits
from agent.outbox import Outbox
from agent.redaction import Redactor
from agent.report import AlertBuilder
from agent.state_schema import RedactionConfig
from agent.stored_alert import StoredAlert
from collectors.events import Exec
from detectors.base import Severity
from tests.agent import alerts

ALERTS = 20_000
OUTAGE_ALERTS = 100_000
SINGLES = 2_000
DOCUMENT_BYTES = 2_000


class CountingSink:
    """Takes everything."""

    min_severity = Severity.INFO
    max_batch = 256

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0

    def send(self, batch: Sequence[StoredAlert]) -> None:
        """Count the alerts."""
        self.count += len(batch)

    def close(self) -> None:
        """Nothing to close."""


@contextmanager
def an_outbox() -> Iterator[Outbox]:
    """An outbox on the disk that holds temporary files."""
    with tempfile.TemporaryDirectory() as directory:
        box = Outbox(Path(directory) / "state", max_bytes=1 << 31, max_age_seconds=86_400, clock_ns=time.time_ns)
        try:
            yield box
        finally:
            box.close()


def measured(name: str, count: int, work: Callable[[], None]) -> None:
    """Print what ``work`` on that many alerts costs."""
    started, cpu = time.monotonic(), time.process_time()
    work()
    seconds, cpu_seconds = time.monotonic() - started, time.process_time() - cpu
    print(f"{name:58} {count / seconds:9.0f} alerts/s {cpu_seconds / count * 1e6:8.1f} us CPU an alert")


def finding_to_outbox(box: Outbox, count: int, *, is_single: bool) -> None:
    """Findings that are raised, limited, masked, rendered and committed: in a burst, or each by itself."""
    process = alerts.escaped()
    finding, view, declaration = alerts.drift(process), alerts.node(process), alerts.detector()
    builder = AlertBuilder(alerts.HOST, "0.1.0", box.next_sequence)
    like = alerts.alert(process)
    event = Exec(like.at_ns, process)
    limits = AlertLimits(burst=100, per_minute=60)
    path = AlertPath(box, Redactor(RedactionConfig()), limits, builder.next_sequence)
    for _ in range(count):
        path.take(builder.build(declaration, finding, event, view, like.incident, 0))
        path.flush_if_due(is_idle=is_single)
    path.finish()


def outage(box: Outbox) -> None:
    """Alerts pile up while the sink is away; then it comes back."""
    sink = CountingSink("back")
    box.register([sink.name])
    plain = alerts.stored(document=b"x" * DOCUMENT_BYTES)
    first = box.next_sequence
    numbers = range(first, first + OUTAGE_ALERTS)

    def fill() -> None:
        for at in range(0, OUTAGE_ALERTS, 100):
            box.append([replace(plain, sequence=number) for number in numbers[at : at + 100]])

    measured(f"into the outbox, rendered, batches of 100, {DOCUMENT_BYTES} bytes", OUTAGE_ALERTS, fill)
    box.tend()
    delivery = Delivery(box, [sink])

    def replay() -> None:
        delivery.start()
        while sink.count < OUTAGE_ALERTS:
            time.sleep(0.01)

    measured("replay after an outage, to a sink that costs nothing", OUTAGE_ALERTS, replay)
    delivery.stop(5)


def main() -> None:
    """Print the table."""
    with an_outbox() as box:
        box.register(["away"])
        measured("finding to outbox, in a burst", ALERTS, lambda: finding_to_outbox(box, ALERTS, is_single=False))
        measured("finding to outbox, one at a time", SINGLES, lambda: finding_to_outbox(box, SINGLES, is_single=True))
    for count in (1, 2):
        with an_outbox() as box:
            sinks = [CountingSink(f"sink{number}") for number in range(count)]
            delivery = Delivery(box, sinks)
            delivery.start()
            measured(
                f"the same, with {count} sink(s) that take everything at once",
                ALERTS,
                lambda: finding_to_outbox(box, ALERTS, is_single=False),
            )
            delivery.stop(30)
    with an_outbox() as box:
        outage(box)
    print(f"largest RSS: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
