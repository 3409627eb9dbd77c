"""What an alert costs on its way out: from the finding into the outbox, and from the outbox after an outage.

CPU is that of the whole process, the outbox' upkeep included; the alert is a drift with both vectors and two ancestors,
the largest kind that there is.
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
from collectors.facts import Process
from detectors.base import Finding, Severity
from tests.agent import alerts
from tests.support import build
from tests.support.view import FakeView

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


def findings(count: int, per_process: int) -> tuple[FakeView, list[tuple[Process, Finding]]]:
    """A node, and as many findings on it, ``per_process`` of the same process: as one act raises them.

    With 1, every alert has a process and a confinement of its own, and nothing of them can be rendered once for two.
    """
    base = alerts.escaped()
    view = alerts.node(base)
    found: list[tuple[Process, Finding]] = []
    for number in range(count // per_process):
        key = build.key(base.key.pid + number)
        process = replace(base, key=key, confinement=replace(base.confinement))
        view.put_parent(process, view.parents[base.key])
        found += [(process, alerts.drift(process))] * per_process
    return view, found


def finding_to_outbox(box: Outbox, count: int, *, is_single: bool = False, per_process: int = 1) -> None:
    """Findings that are raised, limited, masked, rendered and committed: in a burst, or each by itself."""
    view, found = findings(count, per_process)
    declaration, incident = alerts.detector(), alerts.alert().incident
    builder = AlertBuilder(alerts.HOST, "0.1.0", box.next_sequence)
    limits = AlertLimits(burst=100, per_minute=60)
    path = AlertPath(box, Redactor(RedactionConfig()), limits, builder.next_sequence)

    def work() -> None:
        for process, each in found:
            path.take(builder.build(declaration, each, Exec(process.observed_ns, process), view, incident, 0))
            path.flush_if_due(is_idle=is_single)
        path.finish()

    how = "one at a time" if is_single else "in a burst"
    measured(f"finding to outbox, {how}, {per_process} a process", len(found), work)


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
    for per_process in (1, 3):
        for is_single in (False, True):
            with an_outbox() as box:
                box.register(["away"])
                count = SINGLES if is_single else ALERTS
                finding_to_outbox(box, count, is_single=is_single, per_process=per_process)
    for count in (1, 2):
        with an_outbox() as box:
            delivery = Delivery(box, [CountingSink(f"sink{number}") for number in range(count)])
            delivery.start()
            print(f"with {count} sink(s) that take everything at once: ", end="")
            finding_to_outbox(box, ALERTS)
            delivery.stop(30)
    with an_outbox() as box:
        outage(box)
    print(f"largest RSS: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
