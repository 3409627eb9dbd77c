"""Which of two moments of the wall clock came first, although it may have been set back between them. Pure.

Two sensors that saw the same task tell of it in another order than they saw it, a moment apart. What seems older by
more than that was seen later, by a clock that was set back since: by NTP, by an operator, or by a container that has
CAP_SYS_TIME and wants its next acts to look like old news.
"""

from __future__ import annotations

DISORDER_NS = 5_000_000_000


def is_earlier(moment_ns: int, than_ns: int) -> bool:
    """The moment was before the other one."""
    return 0 < than_ns - moment_ns <= DISORDER_NS


def is_within(moment_ns: int, past_ns: int, span_ns: int) -> bool:
    """Less than ``span_ns`` has gone by since; never so when the clock was set back behind it."""
    return 0 <= moment_ns - past_ns < span_ns
