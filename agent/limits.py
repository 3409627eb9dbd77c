"""One noisy container cannot bury the others: a token bucket for each container and rule, on event time.

Critical alerts always pass, and take no token. What does not pass is told in one alert with the count: a minute after
the first of it at the latest, when the next one passes, and at the end. Owned by the pipeline's thread. Bounded: the
bucket that was quiet for longest is forgotten, and what it held back is told then. No clock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from agent.formats.instant import timestamp
from agent.report import Alert, alert_id
from agent.text import clipped
from detectors.base import Severity

SUMMARY_NS = 60 * 1_000_000_000
MAX_BUCKETS = 8192
MAX_MESSAGE = 1024
_MINUTE_NS = 60 * 1_000_000_000

_Key = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class Overflow:
    """Alerts of one rule about one container that did not pass: how many, since when, and the last of them."""

    count: int
    first_ns: int
    severity: Severity
    last: Alert


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_ns: int
    held: Overflow | None = None


class AlertLimits:
    """``burst`` alerts at once, ``per_minute`` in the long run."""

    def __init__(self, *, burst: int, per_minute: float, max_buckets: int = MAX_BUCKETS) -> None:
        self.held_back = 0
        self._burst = burst
        self._per_ns = per_minute / _MINUTE_NS
        self._max_buckets = max_buckets
        self._buckets: OrderedDict[_Key, _Bucket] = OrderedDict()
        self._holding: dict[_Key, int] = {}  # since when

    def passes(self, alert: Alert) -> bool:
        """Whether the alert is told by itself; else it is counted."""
        if alert.severity >= Severity.CRITICAL:
            return True
        bucket = self._bucket((alert.container_id, alert.detector.id), alert.at_ns)
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return True
        held = bucket.held
        self.held_back += 1
        if held is None:
            bucket.held = Overflow(1, alert.at_ns, alert.severity, alert)
            self._holding[alert.container_id, alert.detector.id] = alert.at_ns
        else:
            bucket.held = Overflow(held.count + 1, held.first_ns, max(held.severity, alert.severity), alert)
        return False

    def due(self, now_ns: int) -> Iterator[Overflow]:
        """What is to be told now. A clock that jumped, either way, makes it due."""
        if not self._holding:
            return
        for key, since_ns in tuple(self._holding.items()):
            if abs(now_ns - since_ns) >= SUMMARY_NS or key not in self._buckets:
                yield from self._release(key)

    def rest(self) -> Iterator[Overflow]:
        """Everything that is held back, at the end."""
        for key in tuple(self._holding):
            yield from self._release(key)

    def _release(self, key: _Key) -> Iterator[Overflow]:
        del self._holding[key]
        bucket = self._buckets[key]
        held, bucket.held = bucket.held, None
        if held is not None:
            yield held

    def _bucket(self, key: _Key, at_ns: int) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            self._make_room()
            bucket = self._buckets[key] = _Bucket(float(self._burst), at_ns)
            return bucket
        self._buckets.move_to_end(key)
        if at_ns > bucket.filled_ns:
            bucket.tokens = min(self._burst, bucket.tokens + (at_ns - bucket.filled_ns) * self._per_ns)
        bucket.filled_ns = at_ns
        return bucket

    def _make_room(self) -> None:
        """Forget the bucket that was quiet for longest; one that holds something back is passed over, if it can be."""
        if len(self._buckets) < self._max_buckets:
            return
        key = next((key for key, bucket in self._buckets.items() if bucket.held is None), None)
        if key is not None:
            del self._buckets[key]


def summary(overflow: Overflow, sequence: int) -> Alert:
    """The one alert for those that did not pass: the last of them, with the count; ``sequence`` is its own."""
    last = overflow.last
    rule = f"{last.detector.id} {last.detector.name}"
    many = "1 more alert was" if overflow.count == 1 else f"{overflow.count} more alerts were"
    seconds = abs(last.at_ns - overflow.first_ns) / 1e9
    reason = f"{many} held back ({rule}, within {seconds:.0f} s), the last one: {last.reason}"
    return replace(
        last,
        id=alert_id(last.at_ns, sequence, last.node.boot_id),
        sequence=sequence,
        severity=overflow.severity,
        message=clipped(
            f"{many} held back ({rule}, within {seconds:.0f} s), the last one: {last.message}", MAX_MESSAGE
        ),
        reason=clipped(reason, MAX_MESSAGE),
        evidence=(
            ("held_back", overflow.count),
            ("held_back_from", timestamp(overflow.first_ns)),
            ("held_back_until", timestamp(last.at_ns)),
            *(pair for pair in last.evidence if not pair[0].startswith("held_back")),
        ),
    )
