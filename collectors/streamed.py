"""What is told for who watches, and for nobody else: no part of the node's state, and no detector hears of it."""

from __future__ import annotations

from dataclasses import dataclass

from collectors.events import Event, Exec, Exit, Lost
from collectors.facts import Process

STREAM = "stream"
"""The source of a loss that concerns only who watches."""


@dataclass(frozen=True, slots=True)
class Streamed(Event):
    """A boring exec or end of a container's process, or how many of those are missing.

    At its end a process has neither program nor arguments any more.
    """

    event: Exec | Exit | Lost
    container_id: str | None = None
    process: Process | None = None
