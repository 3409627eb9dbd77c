"""Times as people write and read them: ``10m`` ago, a date, a timestamp of an alert; always UTC. Pure."""

from __future__ import annotations

import datetime as dt
import re

_AGO = re.compile(r"([0-9]{1,9})(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BEGINNING = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def moment_ns(text: str, now_ns: int) -> int:
    """What ``--since`` and ``--until`` mean, in nanoseconds since the epoch. Raises ``ValueError``.

    A time ago (``90s``, ``10m``, ``2h``, ``1d``, ``1w``), or a date or time of ISO 8601, in UTC where no zone is given.
    """
    if (ago := _AGO.fullmatch(text)) is not None:
        return now_ns - int(ago[1]) * _SECONDS[ago[2]] * 1_000_000_000
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("wanted a time ago (90s, 10m, 2h, 1d) or a date or time (2026-11-21T10:00)") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return (moment - _BEGINNING) // dt.timedelta(microseconds=1) * 1000


def clock(timestamp: str) -> str:
    """The time of day of an alert's timestamp, with milliseconds: ``10:00:00.123``."""
    return timestamp[11:23]


def instant(timestamp: str) -> str:
    """Day and time of an alert's timestamp, with milliseconds: ``11-21 10:00:00.123``."""
    return f"{timestamp[5:10]} {timestamp[11:23]}"


def second(timestamp: str) -> str:
    """Date and time of an alert's timestamp, to the second: ``2026-11-21 10:00:00``."""
    return timestamp[:19].replace("T", " ")


def span(seconds: float) -> str:
    """A length of time in its two largest units: ``2d 3h``, ``4m 10s``."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for name, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or (name == "s" and not parts):
            parts.append(f"{count}{name}")
    return " ".join(parts[:2])
