"""Where the pictures come from, and the thread that takes them.

One thread takes a picture, waits, and takes the next; the screen's thread shows the last one. Bounded: one picture is
kept. A pause keeps the thread waiting, so that a paused screen costs the node nothing.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol

from agent.cli import node
from agent.cli.output import Refused
from agent.cli.screen.picture import Picture, picture_of
from agent.cli.select import Admits, anything
from agent.config_schema import Config


class Source(Protocol):
    """Takes pictures of the node; may raise ``Refused``."""

    def take(self) -> Picture:
        """The node as it is now."""


class SweepSource:
    """Looks at the node itself, as ``hullwatch scan`` does; needs no agent."""

    def __init__(self, config: Config, look: node.Look, admits: Admits = anything) -> None:
        self._config = config
        self._look = look
        self._admits = admits

    def take(self) -> Picture:
        """See ``Source``."""
        snapshot = self._look(self._config, True)  # noqa: FBT003 (a ``Look``)
        return picture_of(snapshot, self._config, time.time_ns(), self._admits)


class Feed:
    """The last picture of a source; ``message`` says why there is no newer one."""

    def __init__(self, source: Source, *, interval_seconds: float) -> None:
        self.picture = source.take()  # before there is a screen: what is wrong is told as any command does
        self.message = ""
        self.is_paused = False
        self._source = source
        self._interval_seconds = interval_seconds
        self._wake = threading.Event()
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="hullwatch-top", daemon=True)

    def start(self) -> None:
        """Take pictures from now on."""
        self._thread.start()

    def look_now(self) -> None:
        """Take the next one at once."""
        self._wake.set()

    def stop(self, join_seconds: float) -> None:
        """Take no more; waits a little for the one that is being taken."""
        self._is_over = True
        self._wake.set()
        self._thread.join(join_seconds)

    def _run(self) -> None:
        while True:
            asked = self._wake.wait(self._interval_seconds)
            self._wake.clear()
            if self._is_over:
                return
            if asked or not self.is_paused:
                self._take()

    def _take(self) -> None:
        try:
            self.picture, self.message = self._source.take(), ""
        except Refused as error:
            self.message = error.message
