"""Times of an alert's document: ISO 8601 in UTC with nine digits after the second, and as numbers. Pure."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache

CACHED_SECONDS = 256

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LAST_NS = 253_402_300_799_999_999_999  # the year 9999 ends


def timestamp(at_ns: int) -> str:
    """Nanoseconds since the epoch as ``2025-11-21T04:40:00.123456789Z``; what is outside the years is their end."""
    seconds, fraction_ns = divmod(min(max(at_ns, 0), _LAST_NS), 1_000_000_000)
    return f"{_second(seconds)}.{fraction_ns:09d}Z"


def epoch_ns(timestamp: str) -> int:
    """Nanoseconds since the epoch of what ``timestamp`` writes."""
    return _epoch_seconds(timestamp[:19]) * 1_000_000_000 + int(timestamp[20:29])


@lru_cache(CACHED_SECONDS)
def _second(seconds: int) -> str:
    return (_EPOCH + dt.timedelta(seconds=seconds)).isoformat()[:19]


@lru_cache(CACHED_SECONDS)
def _epoch_seconds(second: str) -> int:
    return (dt.datetime.fromisoformat(f"{second}+00:00") - _EPOCH) // dt.timedelta(seconds=1)
