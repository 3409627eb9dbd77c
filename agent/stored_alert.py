"""An alert as the outbox holds it: the bytes of the native document, and what selects it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.formats import ecs
from agent.report import Alert
from agent.text import valid


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """One alert, rendered. ``sequence`` orders all alerts of a node, across restarts, whatever its clock does.

    ``document`` is the native form, one line of JSON without its line feed (``agent.formats.ecs``); other formats are
    made of what it says (``agent.formats.catalog``). ``id`` is its ``event.id``, by which a duplicate is known:
    delivery is at least once.
    """

    sequence: int
    id: str
    at_ns: int
    severity: int
    rule_id: str
    container_id: str | None
    document: bytes


Render = Callable[[StoredAlert], bytes]
"""A format: one alert's bytes, on one line without its line feed. Any stored alert can be rendered."""


def stored(alert: Alert) -> StoredAlert:
    """The alert, ready for the outbox."""
    return StoredAlert(
        alert.sequence,
        alert.id,
        alert.at_ns,
        int(alert.severity),
        alert.detector.id,
        None if alert.container_id is None else valid(alert.container_id),
        ecs.encode(alert),
    )
