"""A capture as a source: played from its beginning, as fast as is asked for, judged by the same core as in the agent.

Concurrency: one thread plays; it owns the capture and applies an event at a time under a lock, under which the feed's
thread takes pictures. Time is the capture's own; in a pause it stands still.
"""

from __future__ import annotations

import json
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from agent import __version__
from agent.assembly import new_state
from agent.capture.errors import CaptureError
from agent.capture.file import CaptureReader
from agent.capture.replay import new_core
from agent.cli.filters import Filter
from agent.cli.output import Refused
from agent.cli.screen.known import MAX_ALERTS, shortened, ways_by
from agent.cli.screen.picture import Known, Picture, picture_of
from agent.cli.screen.ticker import EventLine, Ticker
from agent.cli.told import Document
from agent.config_schema import Config
from agent.control.answers import Feed, Nothing
from agent.control.happenings import Happening, Watch, Watcher, document
from agent.control.wanted import Wanted
from agent.formats.instant import timestamp
from agent.incidents import Incident
from agent.redaction import Redactor
from agent.report import AlertBuilder
from agent.stored_alert import stored
from agent.text import clipped
from collectors.closing import closed_on_failure
from collectors.events import Event

_STEP_SECONDS = 0.1
MIN_SPEED, MAX_SPEED = 1 / 64, 4096.0


class CaptureSource:
    """Plays a file. Raises ``Refused`` for what is no capture."""

    def __init__(self, path: Path, config: Config, only: Filter, speed: float) -> None:
        self._stream, self._reader = _opened(path)
        self._name = path.name
        self._only = only
        self._ways = ways_by(config)
        header = self._reader.header
        self._state = new_state(config, header.host, header.tier)
        builder = AlertBuilder(header.facts, __version__, header.first_sequence)
        self._pipeline = new_core(config, self._state, builder, header.host.boot_id)
        self._redactor = Redactor(config.output.redaction) if config.output.redaction.enabled else None
        self._watch = Watch(self._state)
        wanted = Wanted(namespace=only.namespace, pod=only.pod, container=only.container)
        self._watcher = Watcher(wanted, False, Feed[Happening](lambda: None))  # noqa: FBT003 (not of the host)
        self._watch.add(self._watcher)
        self._ticker = Ticker()
        self._alerts: deque[Document] = deque(maxlen=MAX_ALERTS)
        self._lock = threading.Lock()
        self._moved = threading.Event()
        self._speed = speed
        self._at_ns = header.started_ns
        self._is_paused = self._is_over = False
        self._ending = ""
        self._thread = threading.Thread(target=self._play, name="hullwatch-top-play", daemon=True)
        self._thread.start()

    def take(self) -> Picture:
        """See ``Source``."""
        with self._lock:
            known = Known(
                self._at_ns,
                f"{clipped(self._name, 24)} {'ended' if self._ending else f'{self._speed:g}x'}",
                self._state,
                tuple(self._alerts),
                current={each.id: _summary(each) for each in self._pipeline.incidents.current()},
                unseen=(f"{self._name}: {self._ending}",) if self._ending else (),
            )
            return picture_of(known, self._ways, self._only.admits, can_play=True)

    def events(self) -> tuple[EventLine, ...]:
        """See ``Source``."""
        return self._ticker.lines

    def pause(self, *, is_paused: bool) -> None:
        """Time stands still."""
        self._is_paused = is_paused

    def play_faster(self, factor: float) -> None:
        """See ``Source``."""
        self._speed = min(max(self._speed * factor, MIN_SPEED), MAX_SPEED)

    def on_news(self, wake: Callable[[], None]) -> None:
        """A picture each second is news enough."""

    def close(self) -> None:
        """Play no more."""
        self._is_over = True
        self._moved.set()
        self._thread.join(1.0)

    def _play(self) -> None:
        try:
            for event in self._reader.events():
                self._wait_until(event.at_ns)
                if self._is_over:
                    return
                with self._lock:
                    self._apply(event)
            self._ending = self._reader.cut or f"at its end, after {self._reader.events_read} events"
        except (CaptureError, OSError) as error:
            self._ending = f"played up to where {error}"
        finally:
            self._stream.close()

    def _wait_until(self, at_ns: int) -> None:
        """Let the capture's time pass until then, in steps, so that a key changes its pace at once."""
        before = time.monotonic()
        while not self._is_over and (self._is_paused or self._at_ns < at_ns):
            ahead = (at_ns - self._at_ns) / 1e9 / self._speed
            self._moved.wait(_STEP_SECONDS if self._is_paused else min(_STEP_SECONDS, ahead))
            now = time.monotonic()
            if not self._is_paused:
                self._at_ns = min(at_ns, self._at_ns + int((now - before) * self._speed * 1e9) + 1)
            before = now

    def _apply(self, event: Event) -> None:
        before = self._watch.before(event)
        for alert in self._pipeline.feed(event):
            masked = alert if self._redactor is None else self._redactor.alert(alert)
            self._alerts.append(shortened(json.loads(stored(masked).document)))
        if before is not None:
            self._watch.after(event, before)
        while not isinstance(happening := self._watcher.feed.take(), Nothing):
            told = document(happening)
            if told is not None:
                self._ticker.add(told)


def _summary(incident: Incident) -> Document:
    """As the agent answers it, but for the story, which is made of the alerts."""
    return {
        "id": incident.id,
        "container_id": incident.container_id,
        "severity": int(incident.severity),
        "why": incident.why,
        "start": timestamp(incident.first_ns),
        "end": timestamp(incident.last_ns),
        "findings": incident.findings,
    }


def _opened(path: Path) -> tuple[BinaryIO, CaptureReader]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Refused(f"{path}: it is no regular file")
        stream = path.open("rb")
        with closed_on_failure(stream):
            return stream, CaptureReader(stream)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror or error}") from error
    except CaptureError as error:
        raise Refused(f"{path}: {error}") from error
