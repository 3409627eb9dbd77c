"""What the running agent hands to ``hullwatch capture``: the bytes of a capture, as they come.

The beginning is the state at one moment, taken under the core's lock by reference, and made events outside of it; with
``since_ns`` it is the state of then (``agent.capture.history``). What follows comes through a bounded tap, and is
encoded here, in the server's thread, a slice at a time and only while the client reads: one that does not is cut off by
the server, and one that reads too slowly finds ``Lost`` in its capture. Bounded: ``MAX_CAPTURES`` at a time.
"""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from agent import __version__
from agent.capture import beginning
from agent.capture.history import Entry, History
from agent.capture.tap import Tap, Taps, of_container
from agent.control.answers import GO_ON, NOTHING_YET, Answer, Method, Unanswerable
from agent.control.protocol import Code
from agent.control.wanted import parsed
from agent.pipeline import Pipeline
from agent.report import HostFacts
from agent.state import NodeState
from collectors.events import AlertsNumbered, Event

if TYPE_CHECKING:  # msgpack is imported only when somebody captures
    from agent.capture.file import CaptureWriter

MAX_CAPTURES = 4
SLICE = 64
CHUNK_BYTES = 256 * 1024
FLUSH_SECONDS = 1.0


class CaptureWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The parameters of ``capture``: one container by its whole id, and from when on, as far as that is remembered."""

    container: str | None = None
    since_ns: int | None = None


class EndWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The parameters of ``end_capture``: the number that its first item bore."""

    capture: int


@dataclass(slots=True)
class _Open:
    """A capture that is under way."""

    tap: Tap
    is_ending: bool = False


class Recorder:
    """See the module. ``ring`` wakes the server; ``lock`` is the core's."""

    def __init__(
        self,
        lock: AbstractContextManager[object],
        state: NodeState,
        pipeline: Pipeline,
        history: History,
        taps: Taps,
        facts: HostFacts,
        ring: Callable[[], None],
    ) -> None:
        self._lock = lock
        self._state = state
        self._pipeline = pipeline
        self._history = history
        self._taps = taps
        self._facts = facts
        self._ring = ring
        self._open: dict[int, _Open] = {}
        self._numbers = itertools.count(1)

    def methods(self) -> Mapping[str, Method]:
        """Every question, by its name."""
        return {"capture": self._capture, "end_capture": self._end}

    def _capture(self, parameters: Mapping[str, Any]) -> Answer:
        """First what it is (a map), then bytes, whose sequence is a capture; whole when it was ended."""
        return self._captured(parsed(parameters, CaptureWanted))

    def _end(self, parameters: Mapping[str, Any]) -> Answer:
        """Have a capture end as it should."""
        asked = parsed(parameters, EndWanted)
        found = self._open.get(asked.capture)
        if found is None:
            raise Unanswerable(Code.BAD_REQUEST, "there is no such capture")
        found.is_ending = True
        self._ring()
        return iter(())

    def _captured(self, asked: CaptureWanted) -> Answer:
        if len(self._open) >= MAX_CAPTURES:
            raise Unanswerable(Code.BUSY, f"{MAX_CAPTURES} captures are being made already")
        wanted = of_container(self._state, asked.container) if asked.container is not None else lambda _: True
        number, tap = next(self._numbers), Tap(ring=self._ring, wanted=wanted)
        began_ns = time.time_ns()
        with self._lock:
            moment = beginning.now(self._state)
            past = self._history.entries(asked.since_ns) if asked.since_ns is not None else []
            reach_ns = self._history.since_ns
            self._taps.add(tap)
        current = self._open[number] = _Open(tap)
        try:
            if past:
                moment = beginning.undone(moment, ((each.event, each.before) for each in reversed(past)))
                began_ns = past[0].event.at_ns
            known = tuple(moment.events(began_ns, asked.container))
            yield {
                "capture": number,
                "tier": self._state.tier.value,
                "version": __version__,
                "since_ns": None if asked.since_ns is None else max(asked.since_ns, reach_ns or began_ns),
            }
            yield from self._written(current, known, past, began_ns, asked.container)
        finally:
            self._taps.remove(tap)
            del self._open[number]

    def _written(
        self,
        current: _Open,
        known: tuple[Event, ...],
        past: list[Entry],
        began_ns: int,
        container: str | None,
    ) -> Iterator[object]:
        from agent.capture.file import CaptureWriter, Header

        header = Header(
            hullwatch=__version__,
            started_ns=began_ns,
            tier=self._state.tier,
            host=self._state.host,
            facts=self._facts,
            container=container,
            beginning=len(known),
        )
        stream = io.BytesIO()
        writer = CaptureWriter(stream, header)
        wanted = [each for each in past if container is None or each.owner in {None, container}]
        happened = _numbered(wanted)
        for count, event in enumerate(itertools.chain(known, happened), start=1):
            writer.add(event)
            if count % SLICE == 0:
                yield from _taken(stream)
                yield GO_ON
        writer.flush()
        yield from _taken(stream)
        yield from _followed(current, writer, stream)
        writer.lost += current.tap.lost
        writer.finish()
        yield from _taken(stream)


def _numbered(entries: list[Entry]) -> Iterator[Event]:
    """Their events, and before those that alerts had come before the number of the next one."""
    sequence = 0
    for each in entries:
        if each.sequence != sequence:
            sequence = each.sequence
            yield AlertsNumbered(each.event.at_ns, sequence)
        yield each.event


def _followed(current: _Open, writer: CaptureWriter, stream: io.BytesIO) -> Iterator[object]:
    """What comes, until the capture is to end; everything that was there by then is in it."""
    flush_at = time.monotonic() + FLUSH_SECONDS
    while True:
        is_ending = current.is_ending
        taken = 0
        while taken < SLICE and (event := current.tap.take()) is not None:
            writer.add(event)
            taken += 1
        if time.monotonic() >= flush_at:
            flush_at = time.monotonic() + FLUSH_SECONDS
            writer.flush()
        written = tuple(_taken(stream))
        yield from written
        if taken == SLICE:
            yield GO_ON
        elif is_ending:
            return
        elif not written:  # else the bell for what came since may have been heard already
            yield NOTHING_YET


def _taken(stream: io.BytesIO) -> Iterator[bytes]:
    """What was written by now, in parts that a message has room for."""
    data = stream.getvalue()
    stream.seek(0)
    stream.truncate()
    for start in range(0, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]
