r"""The Prometheus text exposition format, version 0.0.4: what a metric is, and how a scrape of them is written.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/. Label values are escaped (``\\``, ``\"``, ``\n``),
help texts too (``\\``, ``\n``); both are made valid UTF-8. Names are declared in the code and checked when declared.
Why not prometheus-client: docs/adr/0008-own-metrics-exposition.md. Pure.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from agent.text import valid

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_RESERVED_LABELS = frozenset({"le", "quantile", "job", "instance"})
_EXACT_INTEGER = 1 << 53


class Kind(StrEnum):
    """The types of the format that are used here."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """A declaration. ``labels`` are names; ``bound`` says what keeps the number of their values small."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bound: str = ""

    def __post_init__(self) -> None:
        for name in (self.name, *self.labels):
            if _NAME.fullmatch(name) is None or name in _RESERVED_LABELS:
                raise ValueError(f"{name!r} is no name for a metric or a label")
        if (self.kind is Kind.COUNTER) != self.name.endswith("_total"):
            raise ValueError(f"{self.name}: counters, and only they, end with _total")
        if bool(self.labels) != bool(self.bound):
            raise ValueError(f"{self.name}: labels need a bound, and nothing else does")


@dataclass(frozen=True, slots=True)
class HistogramReading:
    """What a histogram held: the upper bounds, how many fell under each and under no lower one, and the sum of all.

    ``counts`` has one more than ``bounds``: what is above the last.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


class Histogram:
    """Counts observations in fixed buckets. One thread observes; any may read, and then misses at most the latest."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def read(self) -> HistogramReading:
        """What was counted so far."""
        return HistogramReading(self._bounds, tuple(self._counts), self._total)


Value = int | float | HistogramReading


@dataclass(frozen=True, slots=True)
class Sample:
    """One series at one moment: the values of the metric's labels, in the order of the declaration."""

    metric: Metric
    value: Value
    labels: tuple[str, ...] = ()


def render(samples: Iterable[Sample]) -> bytes:
    """The samples as a scrape gets them. Those of one metric must follow one another; raises ``ValueError`` else."""
    lines: list[str] = []
    seen: set[str] = set()
    current: Metric | None = None
    for sample in samples:
        if sample.metric is not current:
            current = sample.metric
            if current.name in seen:
                raise ValueError(f"the samples of {current.name} do not follow one another")
            seen.add(current.name)
            lines += (f"# HELP {current.name} {_escaped_help(current.help)}", f"# TYPE {current.name} {current.kind}")
        lines.extend(_lines(sample))
    return "".join(f"{line}\n" for line in lines).encode()


def escaped_label(value: str) -> str:
    """A label's value as it stands between the quotes."""
    return valid(value).replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _escaped_help(text: str) -> str:
    return valid(text).replace("\\", "\\\\").replace("\n", "\\n")


def _lines(sample: Sample) -> Iterator[str]:
    metric, value = sample.metric, sample.value
    pairs = [f'{name}="{escaped_label(each)}"' for name, each in zip(metric.labels, sample.labels, strict=True)]
    if not isinstance(value, HistogramReading):
        yield f"{metric.name}{_braced(pairs)} {number(value)}"
        return
    below = 0
    for bound, count in zip((*value.bounds, math.inf), value.counts, strict=True):
        below += count
        labels = _braced([*pairs, f'le="{number(bound)}"'])
        yield f"{metric.name}_bucket{labels} {below}"
    yield f"{metric.name}_sum{_braced(pairs)} {number(value.total)}"
    yield f"{metric.name}_count{_braced(pairs)} {below}"


def _braced(pairs: list[str]) -> str:
    return f"{{{','.join(pairs)}}}" if pairs else ""


def number(value: float) -> str:
    """A number as Go's ``ParseFloat`` takes it; whole ones without a fraction."""
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value.is_integer() and abs(value) < _EXACT_INTEGER else repr(value)
