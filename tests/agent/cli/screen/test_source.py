from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.cli.filters import Filter
from agent.cli.node import Snapshot
from agent.cli.output import Refused
from agent.cli.screen.listening import Listener
from agent.cli.screen.of_capture import CaptureSource
from agent.cli.screen.of_node import LookSource, NodeSource
from agent.cli.screen.picture import Picture
from agent.cli.screen.source import Feed
from agent.cli.screen.ticker import LIMIT, EventLine, Ticker
from agent.config_schema import Config
from agent.control.client import Connection, ControlError
from collectors.events import Event, Exec, Exit, Seen
from tests.agent.cli.nodes import broken_out, clean, escaped, invoke, sleeping
from tests.support import build, captures
from tests.support.answering import answering

SECOND = 1_000_000_000


class Counting:
    """A source that says when it was asked, and may refuse."""

    def __init__(self) -> None:
        self.taken = threading.Semaphore(0)
        self.refusal: Refused | None = None
        self.happened: tuple[EventLine, ...] = ()
        self.calls: list[object] = []

    def take(self) -> Picture:
        self.taken.release()
        if self.refusal is not None:
            raise self.refusal
        return Picture(0, "")

    def events(self) -> tuple[EventLine, ...]:
        return self.happened

    def pause(self, *, is_paused: bool) -> None:
        self.calls.append(is_paused)

    def play_faster(self, factor: float) -> None:
        self.calls.append(factor)

    def on_news(self, wake: Callable[[], None]) -> None:
        self.calls.append("news")
        self.wake = wake

    def close(self) -> None:
        self.calls.append("close")


def until(is_there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_there():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def line(number: int) -> EventLine:
    return EventLine(number, "", ("exec", ""), "", "", "", "")


# a look


def test_a_look_judges_and_becomes_a_picture() -> None:
    asked = []

    def look(config: Config, judge: bool) -> Snapshot:  # a ``Look``
        asked.append(judge)
        return broken_out()(config, judge)

    found = LookSource(Config(), look, Filter()).take()
    assert asked == [True]
    assert [(card.name, card.standing) for card in found.cards] == [("web-1", "OUT"), ("web-2", "")]
    assert found.unseen[0] == "root of 3 is not known"
    assert "live events need a running agent" in found.unseen[1]
    assert [(each.is_open, each.container_id) for each in found.stories] == [(True, build.container_id(1))]


def test_a_filter_leaves_containers_and_incidents_of_others_out() -> None:
    found = LookSource(Config(), broken_out(), Filter(container="web-2")).take()
    assert [card.name for card in found.cards] == ["web-2"]
    assert found.stories == ()


# the running agent


def test_the_agent_is_asked_and_what_it_told_is_there(tmp_path: Path) -> None:
    with answering(tmp_path, *sleeping(1), *sleeping(2), Seen(build.NOW_NS + SECOND, escaped())) as agent:
        source = NodeSource(Config(), agent.path, Filter())
        found = source.take()
        assert found.origin == "agent 0.1.0, netlink"
        assert [(card.name, card.standing) for card in found.cards] == [("web-1", "OUT"), ("web-2", "")]
        assert [line.rule for line in found.cards[0].findings][:1] == ["HW-101"]
        assert [(each.is_open, each.container_id) for each in found.stories] == [(True, build.container_id(1))]
        assert "HW-101" in {each["rule"]["id"] for each in found.stories[0].alerts}
        source.close()


def test_alerts_and_events_come_as_they_happen(tmp_path: Path) -> None:
    news = threading.Event()
    with answering(tmp_path, *sleeping(1)) as agent:
        source = NodeSource(Config(), agent.path, Filter())
        source.on_news(news.set)
        assert source.take().stories == ()
        until(lambda: bool(agent.watch._watchers))
        agent.feed(Exec(build.NOW_NS + SECOND, escaped()))
        assert news.wait(10)
        until(lambda: bool(source.events()))
        assert [(each.kind[0], each.pid, each.what) for each in source.events()] == [("exec", "4242", "sh -c id")]
        assert [each.standing for each in source.take().cards] == ["OUT"]
        source.close()


def test_an_agent_that_goes_away_is_waited_for_and_found_again(tmp_path: Path) -> None:
    source = NodeSource(Config(), str(tmp_path / "control.sock"), Filter())
    with answering(tmp_path, *sleeping(1)):
        assert [card.name for card in source.take().cards] == ["web-1"]
    with pytest.raises(Refused, match="what was last known"):
        source.take()
    with answering(tmp_path, *sleeping(1), *sleeping(2)):
        assert [card.name for card in source.take().cards] == ["web-1", "web-2"]
        source.close()


def test_without_an_agent_it_looks_and_goes_over_to_one_that_comes(tmp_path: Path) -> None:
    source = NodeSource(Config(), str(tmp_path / "control.sock"), Filter(), clean())
    assert source.take().origin == "no agent: own look"
    with answering(tmp_path, *sleeping(1)):
        assert source.take().origin == "agent 0.1.0, netlink"
        source.close()


def test_why_an_agent_that_is_there_does_not_answer_is_said(tmp_path: Path) -> None:
    (tmp_path / "control.sock").write_text("no socket")
    found = NodeSource(Config(), str(tmp_path / "control.sock"), Filter(), clean()).take()
    assert found.origin == "no agent: own look"
    assert found.unseen[0].endswith("is no socket")


def test_a_stream_that_is_cut_off_is_said_once_and_opened_again(tmp_path: Path) -> None:
    with answering(tmp_path) as agent:
        listener = Listener(agent.path, {}, lambda: None)
        tries: list[Connection] = []

        def cut_off(connection: Connection) -> None:
            tries.append(connection)
            if len(tries) == 2:
                listener.stop()
            raise ControlError("the agent says: you are too slow")

        listener._run(cut_off)
    assert len(tries) == 2
    assert [(each.kind[0], "you are too slow" in each.what) for each in listener.ticker.lines] == [("lost", True)]


# a capture


@pytest.fixture
def played(tmp_path: Path) -> Iterator[Callable[..., CaptureSource]]:
    made: list[CaptureSource] = []

    def play(*events: Event, speed: float = 1000.0, **options: bool) -> CaptureSource:
        (tmp_path / "node.capture").write_bytes(captures.written(events, **options))
        made.append(CaptureSource(tmp_path / "node.capture", Config(), Filter(), speed))
        return made[-1]

    yield play
    for source in made:
        source.close()


def test_a_capture_is_played_to_its_end(played: Callable[..., CaptureSource]) -> None:
    out = escaped()
    source = played(*sleeping(1), Exec(build.NOW_NS + SECOND, out), Exit(build.NOW_NS + 9 * SECOND, out.key))
    until(lambda: "ended" in source.take().origin)
    found = source.take()
    assert (found.origin, found.can_play) == ("node.capture ended", True)
    assert found.at_ns == build.NOW_NS + 9 * SECOND
    assert [(card.name, card.standing) for card in found.cards] == [("web-1", "was out")]
    assert found.unseen == ("node.capture: at its end, after 5 events",)
    assert [each.kind[0] for each in source.events()][-2:] == ["exec", "exit"]


def test_time_passes_as_fast_as_asked_and_stands_still_in_a_pause(played: Callable[..., CaptureSource]) -> None:
    source = played(*sleeping(1), Exec(build.NOW_NS + 3600 * SECOND, escaped()), speed=1.0)
    until(lambda: source.take().at_ns > build.NOW_NS + SECOND // 10)
    source.pause(is_paused=True)
    time.sleep(0.25)
    stands = source.take().at_ns
    assert stands < build.NOW_NS + 10 * SECOND
    time.sleep(0.25)
    assert source.take().at_ns == stands
    source.pause(is_paused=False)
    source.play_faster(2.0)
    assert source.take().origin == "node.capture 2x"
    source.play_faster(100_000)
    until(lambda: source.take().cards[0].standing == "OUT")


def test_a_capture_that_was_cut_off_says_so(played: Callable[..., CaptureSource]) -> None:
    source = played(*sleeping(1), is_finished=False)
    until(lambda: "ended" in source.take().origin)
    assert "the file is cut at byte" in source.take().unseen[0]


def test_what_is_no_capture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a capture")
    with pytest.raises(Refused, match="it is no capture of hullwatch"):
        CaptureSource(tmp_path / "text", Config(), Filter(), 1.0)
    with pytest.raises(Refused, match="No such file"):
        CaptureSource(tmp_path / "nothing", Config(), Filter(), 1.0)


# the feed


def test_takes_pictures_until_it_is_stopped_and_none_in_a_pause() -> None:
    source = Counting()
    feed = Feed(source, interval_seconds=0.01)
    assert source.taken.acquire(timeout=0)
    feed.start()
    try:
        assert source.taken.acquire(timeout=10)
        feed.pause(is_paused=True)
        while source.taken.acquire(timeout=0.5):
            pass
        feed.look_now()
        assert source.taken.acquire(timeout=10)
        feed.pause(is_paused=False)
        assert source.taken.acquire(timeout=10)
    finally:
        feed.stop(10)
    while source.taken.acquire(blocking=False):
        pass
    assert not source.taken.acquire(timeout=0.5)
    assert source.calls == ["news", True, False, "close"]


def test_events_stay_as_they_were_in_a_pause() -> None:
    source = Counting()
    feed = Feed(source, interval_seconds=1)
    source.happened = (line(1),)
    feed.pause(is_paused=True)
    source.happened = (line(1), line(2))
    assert feed.events == (line(1),)
    feed.pause(is_paused=False)
    assert [each.number for each in feed.events] == [1, 2]


def test_trouble_is_told_and_the_last_picture_kept() -> None:
    source = Counting()
    feed = Feed(source, interval_seconds=3600)
    before = feed.picture
    source.refusal = Refused("gone")
    feed.start()
    feed.look_now()
    try:
        until(lambda: bool(feed.message))
    finally:
        feed.stop(10)
    assert (feed.message, feed.picture is before) == ("gone", True)


def test_trouble_at_the_start_is_raised() -> None:
    source = Counting()
    source.refusal = Refused("no permission")
    with pytest.raises(Refused, match="no permission"):
        Feed(source, interval_seconds=1)


def test_the_ticker_keeps_the_newest_events() -> None:
    ticker = Ticker()
    for number in range(LIMIT + 3):
        ticker.add({"kind": "exec", "process": {"pid": number, "command_line": "true"}})
    lines = ticker.lines
    assert (len(lines), lines[0].pid, lines[-1].number) == (LIMIT, "3", LIMIT + 3)
    assert ticker.lines is lines


# the command


def test_without_a_terminal_it_says_what_to_use_instead() -> None:
    result = invoke(broken_out(), "top")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("hullwatch: top needs a terminal; hullwatch scan")
