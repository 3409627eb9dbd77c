"""What a sink is: something that takes batches of alerts, or says why it did not.

``agent.delivery`` calls a sink from one thread of its own, so a call may block, and delays nobody else. It does the
waiting, the repeating and the counting; a sink tries once. What a sink answers:

- it returns: the receiver has the whole batch (acknowledged it, where the protocol can);
- ``SinkError``: nobody knows that all of it arrived; the same batch comes again, after
  ``retry_after_seconds`` if given;
- ``SinkError(rejected=True)``: the receiver will never take this batch: its alerts come again one by one, and the one
  that is rejected alone is counted as dropped;
- ``SinkGone``: nothing that this process can do will make the receiver come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from agent.stored_alert import StoredAlert
from detectors.base import Severity


class Sink(Protocol):
    """Takes alerts. ``send`` and ``close`` are called by one thread; every wait in them must have an end."""

    @property
    def name(self) -> str:
        """The sink's name, unique among the sinks: its cursor in the outbox and its label in health have it."""

    @property
    def min_severity(self) -> Severity:
        """Alerts below it are not sent here."""

    @property
    def max_batch(self) -> int:
        """The most alerts that one call of ``send`` gets."""

    def send(self, batch: Sequence[StoredAlert]) -> None:
        """Hand over the alerts, at least one, in their order. Raises ``SinkError``."""

    def close(self) -> None:
        """Let go of what the sink holds; nothing is sent after it."""


@runtime_checkable
class Selective(Protocol):
    """A sink that leaves out a part of a batch which was taken, and counts what. Read by any thread."""

    @property
    def refused(self) -> int:
        """What the receiver will never have, though it took the rest; shown as dropped."""

    @property
    def left_out(self) -> int:
        """What the sink's own limit kept back."""
