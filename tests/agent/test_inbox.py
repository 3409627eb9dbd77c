from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from agent.inbox import BURST_SECONDS, Inbox
from collectors.events import Event, Lost, SweepDone


def event(number: int) -> Event:
    return SweepDone(number, number, 0, 0)


class Paused:
    """An inbox for which every wait takes ``wait_seconds``; during each of its pauses comes one of ``arriving``."""

    def __init__(self, *arriving: Event, wait_seconds: float) -> None:
        self.count = 0
        self.inbox = Inbox(10, time.time_ns, lambda: None, pause=self.pause, monotonic=self.monotonic)
        self._arriving: Iterator[Event] = iter(arriving)
        self._now = 0.0
        self._wait_seconds = wait_seconds

    def pause(self, seconds: float) -> None:
        assert seconds == BURST_SECONDS
        self.count += 1
        for each in self._arriving:
            self.inbox.put(each)
            break

    def monotonic(self) -> float:
        self._now += self._wait_seconds
        return self._now

    def take_after_waiting(self, awaited: Event) -> Event | None:
        timer = threading.Timer(0.001, lambda: self.inbox.put(awaited))
        timer.start()
        taken = self.inbox.take(10)
        timer.join()
        return taken


def test_takes_what_was_put_in_its_order() -> None:
    inbox = Inbox(10, time.time_ns, lambda: None)
    inbox.put(event(1))
    inbox.put(event(2))
    assert (inbox.take(1), inbox.take(1), len(inbox)) == (event(1), event(2), 0)


def test_gives_up_after_the_timeout() -> None:
    assert Inbox(10, time.time_ns, lambda: None).take(0.001) is None


def test_is_woken_without_an_event() -> None:
    inbox = Inbox(10, time.time_ns, lambda: None)
    inbox.wake()
    assert inbox.take(10) is None
    assert inbox.taken == 0


def test_loss_is_told_where_there_is_room_again() -> None:
    lost: list[bool] = []
    inbox = Inbox(1, lambda: 7, lambda: lost.append(True))
    for number in (1, 2, 3):
        inbox.put(event(number))
    assert inbox.take(1) == event(1)
    inbox.put(event(4))
    assert (inbox.take(1), inbox.take(1)) == (Lost(7, "inbox", "queue_full", 2), event(4))
    assert (inbox.dropped, lost) == (2, [True])


def test_events_on_a_quiet_node_are_taken_at_once() -> None:
    paused = Paused(wait_seconds=BURST_SECONDS)
    assert paused.take_after_waiting(event(1)) == event(1)
    assert paused.take_after_waiting(event(2)) == event(2)
    assert paused.count == 0


def test_burst_is_let_go_on_before_the_next_look() -> None:
    paused = Paused(event(2), event(3), wait_seconds=BURST_SECONDS / 2)
    assert paused.take_after_waiting(event(1)) == event(1)
    assert paused.count == 0
    assert (paused.inbox.take(10), paused.count) == (event(2), 1)
    assert (paused.inbox.take(10), paused.count) == (event(3), 2)


def test_burst_of_notable_events_is_taken_at_once() -> None:
    paused = Paused(event(2), wait_seconds=BURST_SECONDS / 2)
    paused.inbox.gathers_bursts = False
    assert paused.take_after_waiting(event(1)) == event(1)
    assert paused.take_after_waiting(event(2)) == event(2)
    assert paused.count == 0


def test_what_is_queued_in_a_burst_is_taken_without_a_pause() -> None:
    paused = Paused(wait_seconds=BURST_SECONDS / 2)
    assert paused.take_after_waiting(event(1)) == event(1)
    paused.inbox.put(event(2))
    assert (paused.inbox.take(10), paused.count) == (event(2), 0)


def test_burst_ends_with_a_pause_in_which_nothing_came() -> None:
    paused = Paused(wait_seconds=BURST_SECONDS / 2)
    assert paused.take_after_waiting(event(1)) == event(1)
    assert paused.inbox.take(0.001) is None
    assert paused.inbox.take(0.001) is None
    assert paused.count == 1
