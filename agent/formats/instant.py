"""Times of an alert's document as numbers. Pure."""

from __future__ import annotations

import datetime as dt

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def epoch_ns(timestamp: str) -> int:
    """Nanoseconds since the epoch of ``2025-11-21T04:40:00.123456789Z``, the only form that ``formats.ecs`` writes."""
    moment = dt.datetime.fromisoformat(f"{timestamp[:19]}+00:00")
    seconds = (moment - _EPOCH) // dt.timedelta(seconds=1)
    return seconds * 1_000_000_000 + int(timestamp[20:29])
