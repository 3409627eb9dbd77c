"""What a sink is: something that takes alerts, one at a time, or says why it did not."""

from __future__ import annotations

from typing import Protocol

from agent.report import Alert


class Sink(Protocol):
    """Takes alerts. Called by one thread at a time; a call may block."""

    @property
    def name(self) -> str:
        """The sink's name, as in the configuration and in health."""

    def write(self, alert: Alert) -> bool:
        """Take one alert; ``False`` when it is below the sink's severity.

        Raises ``SinkError``, and then the same alert may be tried again.
        """

    def close(self) -> None:
        """Let go of what the sink holds."""
