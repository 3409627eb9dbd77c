"""An agent's way out under load, to be killed at any moment: outbox, delivery, a file sink, and one that often fails.

Run as a program it forks an agent for each line that it reads, and answers with the pid: a fork is quick, so that a
test can kill a hundred. ``run DIRECTORY`` raises alerts until it is killed, and notes in ``raised`` what the outbox has
taken; ``drain DIRECTORY`` delivers what is left, and ends.
"""

from __future__ import annotations

import logging
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from agent.delivery import Delivery
from agent.errors import SinkError
from agent.formats.catalog import FORMATS
from agent.outbox import Outbox
from agent.report import alert_id
from agent.sinks.file import FileSink
from agent.stored_alert import StoredAlert
from detectors.base import Severity

BATCH = 10
DRAIN_SECONDS = 30.0


class FlakySink:
    """Appends lines to a file; fails now and then, before or after it has written a part of the batch."""

    name = "flaky"
    min_severity = Severity.INFO
    max_batch = 50

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def send(self, batch: Sequence[StoredAlert]) -> None:
        part = random.randrange(len(batch) + 1) if random.random() < 0.1 else None  # noqa: S311 (no secret)
        os.write(self._descriptor, b"".join(alert.document + b"\n" for alert in batch[:part]))
        if part is not None:
            raise SinkError(self.name, "closed in the midst")

    def close(self) -> None:
        os.close(self._descriptor)


def open_way_out(directory: Path) -> tuple[Outbox, Delivery]:
    """The outbox and its delivery, started."""
    outbox = Outbox(directory / "state", max_bytes=1 << 30, max_age_seconds=3600, clock_ns=time.time_ns)
    file = FileSink(
        directory / "file",
        FORMATS["ecs"],
        max_bytes=1 << 30,
        rotate_seconds=1 << 20,
        keep=1,
        clock_ns=time.time_ns,
    )
    delivery = Delivery(outbox, (file, FlakySink(directory / "flaky")), first_pause_seconds=0.01)
    delivery.start()
    return outbox, delivery


def raise_alerts(directory: Path) -> None:
    """Until killed."""
    raised = os.open(directory / "raised", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    outbox, _ = open_way_out(directory)
    padding = "x" * 1000
    while True:
        batch = []
        for sequence in range(outbox.next_sequence, outbox.next_sequence + BATCH):
            name = alert_id(time.time_ns(), sequence, "boot")
            document = f'{{"event":{{"id":"{name}"}},"sequence":{sequence},"padding":"{padding}"}}'.encode()
            batch.append(StoredAlert(sequence, name, time.time_ns(), Severity.HIGH, "HW-101", None, document))
        outbox.append(batch)
        os.write(raised, b"".join(alert.id.encode() + b"\n" for alert in batch))
        time.sleep(0.001)


def drain(directory: Path) -> None:
    """Deliver what is left."""
    _, delivery = open_way_out(directory)
    os._exit(0 if delivery.stop(DRAIN_SECONDS) else 1)


def main() -> None:
    """See the module."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for line in sys.stdin:
        what, _, directory = line.strip().partition(" ")
        pid = os.fork()
        if pid == 0:
            random.seed(os.getpid())
            try:
                {"run": raise_alerts, "drain": drain}[what](Path(directory))
            finally:
                os._exit(2)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
