"""What the running agent answers: one method for each question, each an iterator that the control server drives.

Nothing here makes the core wait for longer than a slice: its state is read under its lock in slices
(``agent.control.picture``), live things come through feeds, the history is read page by page on the outbox' own
connection for readers, and what the agent measures has always been there for any thread (``agent.telemetry``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from agent.alert_query import Query
from agent.control import status
from agent.control.answers import GO_ON, NOTHING_YET, Answer, Feed, Method, Nothing, Unanswerable
from agent.control.happenings import Watch, Watcher, document
from agent.control.picture import pictured
from agent.control.protocol import Code
from agent.control.wanted import Wanted, parsed
from agent.formats.instant import timestamp
from agent.incidents import Chapter, Incident, Incidents
from agent.outbox_errors import OutboxFileError
from agent.snapshot import Snapshot
from agent.state import NodeState
from agent.stored_alert import StoredAlert

PAGE = 128
MAX_SCANNED = 200_000
MOST = 10_000

History = Callable[[Query, int], list[StoredAlert]]


@dataclass(frozen=True, slots=True)
class Core:
    """What the core's thread owns, and the lock under which others may look at it."""

    lock: AbstractContextManager[object]
    state: NodeState
    incidents: Incidents


class AlertsWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The parameters of ``alerts``: the newest ``limit`` of the history, newest first, then (``follow``) what comes."""

    wanted: Wanted = Wanted()
    limit: int = 100
    follow: bool = False


class EventsWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The parameters of ``events``; ``host``: the host's own processes too; ``greet``: first say with which sensor."""

    wanted: Wanted = Wanted()
    host: bool = False
    greet: bool = False


class PictureWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The parameters of ``picture``: one container, or all of the node."""

    container: str | None = None


class Desk:
    """See the module. ``ring`` wakes the server."""

    def __init__(
        self,
        core: Core,
        watch: Watch,
        snapshot: Callable[[], Snapshot],
        history: History,
        facts: status.Facts,
        ring: Callable[[], None],
    ) -> None:
        self._watch = watch
        self._core = core
        self._snapshot = snapshot
        self._history = history
        self._facts = facts
        self._ring = ring
        self._followers: tuple[Feed[StoredAlert], ...] = ()

    def methods(self) -> Mapping[str, Method]:
        """Every question, by its name."""
        return {
            "status": self._status,
            "picture": self._picture,
            "alerts": self._alerts,
            "incidents": self._incidents,
            "events": self._events,
        }

    def committed(self, alerts: Sequence[StoredAlert]) -> None:
        """Alerts are in the outbox: called by the core's thread."""
        for feed in self._followers:
            for alert in alerts:
                feed.offer(alert)

    def _status(self, _: Mapping[str, Any]) -> Answer:
        snapshot = self._snapshot()
        with self._core.lock:
            incidents = self._core.incidents.current()
        yield status.document(snapshot, self._facts, [each.severity for each in incidents])

    def _picture(self, parameters: Mapping[str, Any]) -> Answer:
        asked = parsed(parameters, PictureWanted)
        return pictured(self._core.state, self._core.lock, asked.container)

    def _incidents(self, _: Mapping[str, Any]) -> Answer:
        """The open incidents that were told, and the exposures of each container."""
        with self._core.lock:
            incidents = self._core.incidents.current()
            exposures = self._core.incidents.exposures()
        for incident in incidents:
            yield {"incident": _incident(incident)}
        for container_id, chapters in exposures.items():
            yield {"container": container_id, "exposures": [_chapter(each) for each in chapters]}

    # Alerts ----------------------------------------------------------------------------------------------------------

    def _alerts(self, parameters: Mapping[str, Any]) -> Answer:
        asked = parsed(parameters, AlertsWanted)
        if not 0 <= asked.limit <= MOST:
            raise Unanswerable(Code.BAD_REQUEST, f"limit is {asked.limit}; wanted 0 to {MOST}")
        return self._told(asked)

    def _told(self, asked: AlertsWanted) -> Answer:
        """Whoever follows hears of alerts from before the history is read, so that none falls between the two."""
        feed: Feed[StoredAlert] = Feed(self._ring)
        if asked.follow:
            self._followers = (*self._followers, feed)
        newest = 0
        try:
            for alert in self._past(asked.wanted, asked.limit):
                if isinstance(alert, Nothing):
                    yield alert
                else:
                    newest = max(newest, alert.sequence)
                    yield alert.document
            if not asked.follow:
                return
            yield None  # from here on: as they come
            while True:
                fresh = feed.take()
                if isinstance(fresh, Nothing):
                    yield fresh
                elif fresh.sequence > newest and asked.wanted.admits_alert(fresh):
                    yield fresh.document
        finally:
            self._followers = tuple(each for each in self._followers if each is not feed)

    def _past(self, wanted: Wanted, limit: int) -> Iterator[StoredAlert | Nothing]:
        """The newest alerts that are wanted, newest first."""
        query = Query(wanted.since_ns, wanted.until_ns, wanted.min_severity, wanted.rule)
        before: int | None = None
        scanned = found = 0
        while found < limit and scanned < MAX_SCANNED:
            page = self._page(replace(query, before=before))
            for alert in page:
                if wanted.admits_alert(alert):
                    found += 1
                    yield alert
                    if found >= limit:
                        return
            if len(page) < PAGE:
                return
            scanned += len(page)
            before = page[-1].sequence
            yield GO_ON

    def _page(self, query: Query) -> list[StoredAlert]:
        try:
            return self._history(query, PAGE)
        except OutboxFileError as error:
            raise Unanswerable(Code.UNAVAILABLE, f"the history can't be read: {error}") from error

    # Events ----------------------------------------------------------------------------------------------------------

    def _events(self, parameters: Mapping[str, Any]) -> Answer:
        asked = parsed(parameters, EventsWanted)
        return self._happenings(asked)

    def _happenings(self, asked: EventsWanted) -> Answer:
        watcher = Watcher(asked.wanted, asked.host, Feed(self._ring))
        self._watch.add(watcher)
        try:
            if asked.greet:
                yield {"watching": self._core.state.tier.value}
            while True:
                happening = watcher.feed.take()
                if isinstance(happening, Nothing):
                    yield NOTHING_YET
                else:
                    told = document(happening)
                    yield GO_ON if told is None else told
        finally:
            self._watch.remove(watcher)


def _incident(incident: Incident) -> dict[str, Any]:
    """With the names that ``hullwatch.incident`` of an alert has."""
    return {
        "id": incident.id,
        "container_id": incident.container_id,
        "severity": int(incident.severity),
        "why": incident.why,
        "start": timestamp(incident.first_ns),
        "end": timestamp(incident.last_ns),
        "findings": incident.findings,
        "story": [_chapter(each) for each in incident.story],
    }


def _chapter(chapter: Chapter) -> dict[str, Any]:
    return {
        "timestamp": timestamp(chapter.at_ns),
        "alert_id": chapter.alert_id,
        "rule_id": chapter.rule_id,
        "rule_name": chapter.rule_name,
        "severity": int(chapter.severity),
        "reason": chapter.reason,
        "pid": chapter.pid,
    }
