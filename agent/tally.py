"""Counts by reason in a table that cannot grow without end, whatever the reasons hold. Pure."""

from __future__ import annotations

MAX_REASONS = 64
OTHER = "other"


def count(table: dict[str, int], reason: str) -> int:
    """Count ``reason``, or ``OTHER`` where the table is full; how often that was counted now."""
    if reason not in table and len(table) >= MAX_REASONS:
        reason = OTHER
    table[reason] = table.get(reason, 0) + 1
    return table[reason]
