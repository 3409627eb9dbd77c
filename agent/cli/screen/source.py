"""Where the pictures come from, and the thread that takes them.

One thread takes a picture, waits, and takes the next; the screen's thread shows the last one. Bounded: one picture is
kept. In a pause nothing is taken, and what is shown stays as it was. A picture that is costly to take is taken more
seldom, so that the screen never costs more than a tenth of a processor for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from agent.cli.output import Refused
from agent.cli.screen.picture import Picture
from agent.cli.screen.ticker import EventLine

_LEAST_SECONDS = 0.2
_WAIT_FOR_EACH_SECOND = 9.0


class Source(Protocol):
    """Knows a node, live or not."""

    def take(self) -> Picture:
        """The node as it is now; may raise ``Refused``."""

    def events(self) -> tuple[EventLine, ...]:
        """What happened lately, the oldest first; the same tuple while nothing was added."""

    def pause(self, *, is_paused: bool) -> None:
        """Nobody looks for a while, or somebody does again."""

    def play_faster(self, factor: float) -> None:
        """For what is played: that many times as fast as now."""

    def on_news(self, wake: Callable[[], None]) -> None:
        """Call this, from whatever thread, when there is something that should not wait for the next picture."""

    def close(self) -> None:
        """Nobody will ask again."""


class Feed:
    """The last picture of a source; ``message`` says why there is no newer one."""

    def __init__(self, source: Source, *, interval_seconds: float) -> None:
        self.picture = source.take()  # before there is a screen: what is wrong is told as any command does
        self.message = ""
        self.source = source
        self._is_paused = False
        self._frozen: tuple[EventLine, ...] = ()
        self._interval_seconds = interval_seconds
        self._took_seconds = 0.0
        self._wake = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hullwatch-top", daemon=True)

    @property
    def events(self) -> tuple[EventLine, ...]:
        """What happened lately, or had when the pause began."""
        return self._frozen if self._is_paused else self.source.events()

    def pause(self, *, is_paused: bool) -> None:
        """Keep what is shown as it is, or go on."""
        if is_paused == self._is_paused:
            return
        self._frozen = self.source.events()
        self._is_paused = is_paused
        self.source.pause(is_paused=is_paused)
        if not is_paused:
            self.look_now()

    def start(self) -> None:
        """Take pictures from now on."""
        self.source.on_news(self._news)
        self._thread.start()

    def _news(self) -> None:
        if not self._is_paused:
            self.look_now()

    def look_now(self) -> None:
        """Take the next one at once."""
        self._wake.set()

    def stop(self, join_seconds: float) -> None:
        """Take no more; waits a little for the one that is being taken."""
        self._over.set()
        self._wake.set()
        self._thread.join(join_seconds)
        self.source.close()

    def _run(self) -> None:
        while True:
            self._over.wait(max(_LEAST_SECONDS, self._took_seconds * _WAIT_FOR_EACH_SECOND))
            asked = self._wake.wait(self._interval_seconds)
            self._wake.clear()
            if self._over.is_set():
                return
            if asked or not self._is_paused:
                self._take()

    def _take(self) -> None:
        started = time.thread_time()
        try:
            self.picture, self.message = self.source.take(), ""
        except Refused as error:
            self.message = error.message
        self._took_seconds = time.thread_time() - started
