"""Hears what the running agent tells: its alerts, past and coming, and live events.

Concurrency: one thread for each of the two streams, which connects again for as long as somebody listens. Bounded: the
last so many alerts and events are kept. A stream that the agent cuts off, because this end was too slow, goes on with
a line that says so.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from agent.cli.screen.known import MAX_ALERTS, shortened
from agent.cli.screen.ticker import Ticker
from agent.cli.told import Document, text
from agent.control.client import Connection, ControlError, NoAgent

RETRY_SECONDS = 1.0
HISTORY_SECONDS = 3.0


class Listener:
    """See the module. ``on_news`` is called, by a thread of its own, when an alert came."""

    def __init__(self, path: str, wanted: dict[str, Any], on_news: Callable[[], None]) -> None:
        self.ticker = Ticker()
        self._path = path
        self._wanted = wanted
        self._on_news = on_news
        self._lock = threading.Lock()
        self._alerts: OrderedDict[str, Document] = OrderedDict()
        self._has_history = threading.Event()
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(hear,), name=f"hullwatch-top-{name}", daemon=True)
            for name, hear in (("alerts", self._hear_alerts), ("events", self._hear_events))
        ]

    def start(self) -> None:
        """Hear from now on."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Hear no more. Threads that wait for the agent end with the program."""
        self._is_over.set()

    def alerts(self) -> tuple[Document, ...]:
        """The alerts, in the order of their times; waits a little for the history at the beginning."""
        self._has_history.wait(HISTORY_SECONDS)
        with self._lock:
            kept = tuple(self._alerts.values())
        return tuple(sorted(kept, key=lambda each: (text(each, "@timestamp"), text(each, "event.id"))))

    def _run(self, hear: Callable[[Connection], None]) -> None:
        told = ""
        while not self._is_over.is_set():
            try:
                with Connection(self._path) as connection:
                    connection.wait_for_ever()
                    hear(connection)
            except NoAgent:
                pass  # the pictures say so
            except ControlError as error:
                if str(error) != told:
                    told = str(error)
                    self.ticker.add({"kind": "lost", "source": "this screen", "reason": told})
            self._is_over.wait(RETRY_SECONDS)

    def _hear_alerts(self, connection: Connection) -> None:
        for value in connection.ask("alerts", wanted=self._wanted, limit=MAX_ALERTS, follow=True):
            if value is None:
                self._has_history.set()
                continue
            document = json.loads(value)
            with self._lock:
                self._alerts[text(document, "event.id")] = shortened(document)
                if len(self._alerts) > MAX_ALERTS:
                    self._alerts.popitem(last=False)
            if self._has_history.is_set():
                self._on_news()

    def _hear_events(self, connection: Connection) -> None:
        for event in connection.ask("events", wanted=self._wanted):
            self.ticker.add(event)
