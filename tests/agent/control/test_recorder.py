"""Captures that a running agent hands out: what is in them, how they end, and what a client can't do to the agent."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.alert_query import Query
from agent.capture.file import CaptureReader, CaptureWriter, Ending
from agent.capture.replay import pace, replay
from agent.capture.tap import MAX_QUEUED, Tap
from agent.config_schema import Config, OutputConfig
from agent.control import recorder
from agent.control.answers import NOTHING_YET
from agent.control.client import Connection, ControlError
from agent.control.protocol import Request, encode
from agent.control.recorder import MAX_CAPTURES
from agent.state_schema import RedactionConfig
from agent.stored_alert import stored
from collectors.events import AlertsNumbered, Event, Exec, Lost, ProcessEvent, Seen, SweepDone
from tests.agent.cli.nodes import escaped, sleeping
from tests.agent.control.test_server import raw, wait_until
from tests.support import build, captures
from tests.support.answering import Answering, answering

LATER = build.NOW_NS + 10**9


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Answering]:
    with answering(tmp_path, *sleeping(1)) as running:
        yield running


class Capturing:
    """A client that captures."""

    def __init__(self, agent: Answering, **asked: Any) -> None:
        self._connection = Connection(agent.path)
        self._answer = self._connection.ask("capture", **asked)
        try:
            self.first = next(self._answer)
        except ControlError:
            self._connection.close()
            raise

    def ended(self) -> tuple[CaptureReader, list[Event]]:
        self._connection.tell("end_capture", capture=self.first["capture"])
        data = b"".join(self._answer)
        self._connection.close()
        reader = CaptureReader(io.BytesIO(data))
        events = list(reader.events())
        self.data = data
        return reader, events

    def hang_up(self) -> None:
        self._connection.close()


def happened(found: tuple[CaptureReader, list[Event]]) -> list[Event]:
    reader, events = found
    return [each for each in events[reader.header.beginning :] if not isinstance(each, AlertsNumbered)]


def test_holds_what_comes_from_now_on_and_before_it_what_is_known(agent: Answering) -> None:
    capturing = Capturing(agent)
    events = [Seen(LATER, escaped()), SweepDone(LATER + 1, 1, 1, 1)]
    agent.feed(*events)
    reader, found = capturing.ended()
    assert happened((reader, found)) == events
    assert reader.ending == Ending(len(found), 0)
    assert {each.process for each in found if isinstance(each, Seen)} == set(agent.state.processes())
    assert len(agent.taps) == 0


def test_a_replay_gives_what_the_agent_told_to_the_byte(agent: Answering) -> None:
    """Of a container that began in the past that it remembers; what was the case before is told under other ids."""
    agent.feed(SweepDone(LATER - 1, 1, 1, 1))
    told_before = agent.pipeline.upcoming - 1
    past = [replace(each, at_ns=LATER) for each in sleeping(2)] + [Seen(LATER, escaped(2))]
    agent.feed(*past)
    told_by_then = agent.pipeline.upcoming - 1
    capturing = Capturing(agent, since_ns=LATER)
    assert capturing.first["since_ns"] == LATER
    agent.feed(Exec(LATER + 5, replace(escaped(2, 7001), observed_ns=LATER + 5)))
    reader, found = capturing.ended()
    assert happened((reader, found))[: len(past)] == past
    config = Config(output=OutputConfig(redaction=RedactionConfig(enabled=False)))
    replayed = [stored(each) for each in replay(CaptureReader(io.BytesIO(capturing.data)), config, pace(None))]
    told = sorted(agent.outbox.query(Query(), 1000), key=lambda each: each.sequence)
    expected = [each.document for each in told[told_before:]]
    assert told_before < told_by_then < len(told)
    assert [each.document for each in replayed][-len(expected) :] == expected
    assert len(replayed) - len(expected) == told_before


def test_says_how_far_back_its_memory_reaches(agent: Answering) -> None:
    capturing = Capturing(agent, since_ns=5)
    assert capturing.first["since_ns"] == agent.history.since_ns == build.NOW_NS
    assert capturing.first["tier"] == "netlink"
    assert len(happened(capturing.ended())) == len(agent.history)


def test_of_one_container_the_others_are_left_out(tmp_path: Path) -> None:
    with answering(tmp_path, *sleeping(1), *sleeping(2)) as agent:
        for since_ns in (None, 0):
            capturing = Capturing(agent, container=build.container_id(), since_ns=since_ns)
            agent.feed(Seen(LATER, build.process(7000, 2)), Seen(LATER, build.process(7001, 1)))
            reader, found = capturing.ended()
            seen = {each.process.key.pid for each in found if isinstance(each, ProcessEvent)}
            assert reader.header.container == build.container_id()
            assert {build.first_pid(1), 7001, 900} <= seen
            assert not {build.first_pid(2), 7000} & seen


@pytest.mark.parametrize("asked", [{"container": 5}, {"since_ns": "x"}, {"surprise": 1}])
def test_refuses_what_makes_no_sense(agent: Answering, asked: dict[str, Any]) -> None:
    with Connection(agent.path) as client:
        with pytest.raises(ControlError):
            list(client.ask("capture", **asked))
        with pytest.raises(ControlError, match="no such capture"):
            list(client.ask("end_capture", capture=1))
        assert next(client.ask("status"))


def test_no_more_than_so_many_at_a_time(agent: Answering) -> None:
    open_ones = [Capturing(agent) for _ in range(MAX_CAPTURES)]
    with pytest.raises(ControlError, match="already"):
        Capturing(agent)
    open_ones[0].hang_up()
    wait_until(lambda: len(agent.taps) == MAX_CAPTURES - 1)
    Capturing(agent).ended()
    for each in open_ones[1:]:
        each.ended()
    assert len(agent.taps) == 0


def test_what_a_slow_client_leaves_is_lost_and_told_where_it_was(agent: Answering) -> None:
    capturing = Capturing(agent)
    with agent.lock:  # the server's thread can't be slower than this: it takes nothing
        tap = agent.taps._taps[0]
        for number in range(MAX_QUEUED + 100):
            tap.note(Exec(LATER + number, build.process(7000)), 1)
    wait_until(lambda: tap._queue.qsize() == 0)
    agent.feed(SweepDone(LATER, 1, 1, 1))
    reader, found = capturing.ended()
    lost = [each for each in found if isinstance(each, Lost)]
    assert sum(each.count for each in lost) == tap.lost
    assert reader.ending is not None
    assert reader.ending.lost == tap.lost


def test_waits_only_after_a_look_that_found_nothing(agent: Answering) -> None:
    """A bell that rings while the client takes what was written before is heard by nobody."""
    tap, stream = Tap(ring=lambda: None), io.BytesIO()
    writer = CaptureWriter(stream, captures.header())
    answer = recorder._followed(recorder._Open(tap), writer, stream)
    assert isinstance(next(answer), bytes)
    tap.note(Exec(LATER, build.process(7000)), 0)
    for value in answer:
        if value is NOTHING_YET:
            break
    assert tap.take() is None


def test_one_that_reads_nothing_is_cut_off_and_the_core_never_waits(agent: Answering) -> None:
    with raw(agent, buffer_bytes=4096) as client:
        client.sendall(encode(Request(1, "capture", {})))
        wait_until(lambda: len(agent.taps) == 1)
        slowest = 0.0
        for number in range(2000):
            event = Exec(LATER + number, build.process(7000, arguments=os.urandom(4000)))
            started = time.monotonic()
            agent.feed(event)
            slowest = max(slowest, time.monotonic() - started)
            if not len(agent.taps):
                break
        wait_until(lambda: len(agent.taps) == 0)
        assert slowest < 1.0
    assert agent.server.counts.cut_off["stalled"] == 1
    with Connection(agent.path) as other:
        assert next(other.ask("status"))
