from __future__ import annotations

import threading

import pytest

from agent.cli.filters import Filter
from agent.cli.node import Snapshot
from agent.cli.output import Refused
from agent.cli.screen.picture import Picture
from agent.cli.screen.source import Feed, SweepSource
from agent.config_schema import Config
from tests.agent.cli.nodes import broken_out, invoke


class Counting:
    """A source that says when it was asked, and may refuse."""

    def __init__(self) -> None:
        self.taken = threading.Semaphore(0)
        self.refusal: Refused | None = None

    def take(self) -> Picture:
        self.taken.release()
        if self.refusal is not None:
            raise self.refusal
        return Picture(0, (), (), ())


def test_a_look_judges_and_becomes_a_picture() -> None:
    asked = []

    def look(config: Config, judge: bool) -> Snapshot:  # a ``Look``
        asked.append(judge)
        return broken_out()(config, judge)

    found = SweepSource(Config(), look).take()
    assert asked == [True]
    assert [(card.name, card.is_out) for card in found.cards] == [("web-1", True), ("web-2", False)]
    assert found.unseen == ("root of 3 is not known",)


def test_a_filter_leaves_containers_out() -> None:
    found = SweepSource(Config(), broken_out(), Filter(container="web-2").admits).take()
    assert [card.name for card in found.cards] == ["web-2"]


def test_takes_pictures_until_it_is_stopped_and_none_in_a_pause() -> None:
    source = Counting()
    feed = Feed(source, interval_seconds=0.01)
    assert source.taken.acquire(timeout=0)
    feed.start()
    try:
        assert source.taken.acquire(timeout=10)
        feed.is_paused = True
        while source.taken.acquire(timeout=0.2):
            pass
        feed.look_now()
        assert source.taken.acquire(timeout=10)
    finally:
        feed.stop(10)
    assert not source.taken.acquire(timeout=0.1)


def test_trouble_is_told_and_the_last_picture_kept() -> None:
    source = Counting()
    feed = Feed(source, interval_seconds=3600)
    before = feed.picture
    source.refusal = Refused("gone")
    feed.start()
    feed.look_now()
    try:
        for _ in range(1000):
            if feed.message:
                break
            threading.Event().wait(0.01)
    finally:
        feed.stop(10)
    assert (feed.message, feed.picture is before) == ("gone", True)


def test_trouble_at_the_start_is_raised() -> None:
    source = Counting()
    source.refusal = Refused("no permission")
    with pytest.raises(Refused, match="no permission"):
        Feed(source, interval_seconds=1)


def test_without_a_terminal_it_says_what_to_use_instead() -> None:
    result = invoke(broken_out(), "top")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("hullwatch: top needs a terminal; hullwatch scan")
