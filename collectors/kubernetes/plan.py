"""When to ask the API server for what: list, watch, wait. Pure: no socket, no clock, chance is passed in.

Ten thousand agents that start, or lose their server, at the same moment must not all come back at the same moment.
So the first list waits for a random part of ``spread_seconds``; a window of a watch has a random length; and after
anything that went wrong, a watch cut off before its time included, the wait is random between nothing and a bound that
doubles (full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). ``Retry-After`` is a
lower bound to which the random part is added, since the server says the same to all.

The first list asks for any version (``resourceVersion=0``): the server answers from its cache, and the index by node
makes it a matter of one node's pods; only when a watch from there is refused as too old twice is a list wanted that is
read from the store. Nobody waits for what comes of this, so seconds do not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SPREAD_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 300.0
LONGEST_RETRY_AFTER_SECONDS = 600.0
WINDOW_SECONDS = (300, 600)  # as client-go's reflector
STEADY_SECONDS = 60.0  # a watch that lasted so long was good: the next failure is a first one
EARLY = 0.9  # a watch that ended before this part of its window was cut off
ANY_VERSION = "0"
LATEST_VERSION = ""

Uniform = Callable[[float, float], float]


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class List:
    """List the node's pods; ``version`` is the query's ``resourceVersion``, empty to leave it out."""

    version: str


@dataclass(frozen=True, slots=True)
class Watch:
    """Watch the node's pods from a version on, for so long."""

    version: str
    window_seconds: int


class WatchPlan:
    """Ask ``next`` what to do, do it, and say what came of it: ``listed``, ``watched``, ``failed`` or ``expired``."""

    def __init__(self, uniform: Uniform, *, spread_seconds: float = SPREAD_SECONDS) -> None:
        self._uniform = uniform
        self._spread_seconds = spread_seconds
        self._pause = uniform(0.0, spread_seconds)
        self._version: str | None = None
        self._failures = 0
        self._expired = 0

    @property
    def failures(self) -> int:
        """How many times in a row something went wrong."""
        return self._failures

    def next(self) -> Wait | List | Watch:
        """The next step; a wait is given once."""
        if self._pause:
            pause, self._pause = self._pause, 0.0
            return Wait(pause)
        if self._version is None:
            return List(LATEST_VERSION if self._expired > 1 else ANY_VERSION)
        return Watch(self._version, int(self._uniform(*WINDOW_SECONDS)))

    def listed(self, version: str) -> None:
        """A list succeeded; the watch goes on from here."""
        self._version = version
        self._failures = 0

    def progressed(self, version: str) -> None:
        """The watch has come as far as that, also if it fails later."""
        self._version = version
        self._expired = 0

    def watched(self, lasted_seconds: float, window_seconds: int) -> bool:
        """A watch ended without a word; whether that was its time. One that was cut off is a failure."""
        if lasted_seconds >= EARLY * window_seconds:
            self._failures = 0
            return True
        self.failed(None, lasted_seconds=lasted_seconds)
        return False

    def failed(self, retry_after_seconds: float | None, *, lasted_seconds: float = 0.0) -> None:
        """Something went wrong, after a watch that lasted so long: wait, longer each time that it is not steady."""
        if lasted_seconds >= STEADY_SECONDS:
            self._failures = 0
        bound = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(self._failures, 16))
        least = min(max(retry_after_seconds or 0.0, 0.0), LONGEST_RETRY_AFTER_SECONDS)
        self._failures += 1
        self._pause = least + self._uniform(0.0, bound)

    def expired(self) -> None:
        """The version is too old for the server (410): list again, after a wait as at the start.

        The server is well, but tells many so at once.
        """
        self._version = None
        self._expired += 1
        if self._expired > 1:
            self.failed(None)
        else:
            self._pause = self._uniform(0.0, self._spread_seconds)
