from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from agent.delivery import MAX_SURPRISES, Delivery
from agent.errors import SinkError, SinkGone
from agent.outbox import Outbox
from agent.output_schema import HttpConfig
from agent.sinks.http import HttpSink
from agent.stored_alert import StoredAlert
from detectors.base import Severity
from tests.agent import alerts
from tests.support.http_receiver import HttpReceiver, Reply, Request

HOUR_SECONDS = 3600.0

Answer = Callable[[Sequence[StoredAlert]], None]


class VirtualClock:
    """Goes on only where a test says so; it begins now."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started_ns = time.time_ns()

    def now_ns(self) -> int:
        return self._started_ns + int(self.seconds * 1e9)


class FakeSink:
    """Keeps what it takes; ``answer`` may raise instead."""

    max_batch = 16

    def __init__(self, name: str, answer: Answer = lambda _: None, min_severity: Severity = Severity.INFO) -> None:
        self.name = name
        self.min_severity = min_severity
        self.got: list[int] = []
        self.attempts: list[float] = []
        self.is_closed = False
        self._answer = answer
        self._changed = threading.Condition()

    def send(self, batch: Sequence[StoredAlert]) -> None:
        self.attempts.append(time.monotonic())
        self._answer(batch)
        with self._changed:
            self.got += [each.sequence for each in batch]
            self._changed.notify_all()

    def close(self) -> None:
        self.is_closed = True

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.got) >= count, 10), self.got


class Post:
    """An outbox in memory with its delivery."""

    def __init__(self, *sinks: FakeSink, chance: float = 0.0, first_pause_seconds: float = 0.01) -> None:
        self.box = Outbox(None, max_bytes=1 << 24, max_age_seconds=60, clock_ns=time.time_ns)
        self.gone = threading.Event()
        self.delivery = Delivery(
            self.box,
            sinks,
            chance=lambda: chance,
            first_pause_seconds=first_pause_seconds,
            on_gone=self.gone.set,
        )
        self.told: list[int] = []

    def put(self, *severities: Severity) -> None:
        made = [alerts.stored(number, severity) for number, severity in enumerate(severities, self.box.next_sequence)]
        self.told += [each.sequence for each in made]
        self.box.append(made)


@pytest.fixture
def posts() -> Iterator[Callable[..., Post]]:
    made: list[Post] = []

    def make(*sinks: FakeSink, **settings: float) -> Post:
        post = Post(*sinks, **settings)
        post.delivery.start()
        made.append(post)
        return post

    yield make
    for post in made:
        post.delivery.stop(0.1)


def hang(release: threading.Event) -> None:
    release.wait(30)


def failing(times: int, error: Exception) -> Answer:
    left = [times]

    def answer(_batch: Sequence[StoredAlert]) -> None:
        if left[0]:
            left[0] -= 1
            raise error

    return answer


def test_delivers_at_once(posts: Callable[..., Post]) -> None:
    sink = FakeSink("a")
    post = posts(sink)
    started = time.monotonic()
    post.put(Severity.HIGH)
    sink.wait_for(1)
    assert time.monotonic() - started < 1
    post.put(*[Severity.LOW] * 40)
    sink.wait_for(41)
    assert sink.got == post.told
    assert post.delivery.counts()["a"].sent == 41
    assert post.delivery.counts()["a"].last_success_ns is not None


def test_leaves_out_what_is_below_the_sinks_severity(posts: Callable[..., Post]) -> None:
    sink = FakeSink("a", min_severity=Severity.HIGH)
    post = posts(sink)
    post.put(Severity.LOW, Severity.HIGH, Severity.MEDIUM, Severity.CRITICAL)
    sink.wait_for(2)
    assert sink.got == [post.told[1], post.told[3]]
    assert post.box.waiting("a", Severity.INFO)[0] in (0, 4)
    assert post.delivery.stop(5)


def test_a_sink_that_hangs_delays_nobody(posts: Callable[..., Post]) -> None:
    release = threading.Event()
    dead = FakeSink("dead", lambda _: hang(release))
    lively = FakeSink("lively")
    post = posts(dead, lively)
    for _ in range(20):
        post.put(Severity.HIGH)
    lively.wait_for(20)
    assert dead.got == []
    assert [each.waiting for each in post.delivery.sink_statuses()] == [20, 0]
    release.set()
    dead.wait_for(20)
    assert dead.got == post.told


def test_tries_again_until_it_is_taken(posts: Callable[..., Post]) -> None:
    sink = FakeSink("a", failing(3, SinkError("a", "away")))
    post = posts(sink)
    post.put(Severity.HIGH, Severity.HIGH)
    sink.wait_for(2)
    counts = post.delivery.counts()["a"]
    post.delivery.stop(5)
    assert (counts.sent, counts.failures, counts.retried, counts.dropped) == (2, 3, 6, 0)
    assert not counts.is_failing
    assert counts.last_error == "away"


def test_pauses_grow_and_are_of_chance_length(posts: Callable[..., Post]) -> None:
    sink = FakeSink("a", failing(4, SinkError("a", "away")))
    post = posts(sink, chance=1.0, first_pause_seconds=0.02)
    post.put(Severity.HIGH)
    sink.wait_for(1)
    pauses = [later - earlier for earlier, later in zip(sink.attempts, sink.attempts[1:], strict=False)]
    assert all(pause >= least for pause, least in zip(pauses, (0.02, 0.04, 0.08, 0.16), strict=True))


def test_comes_again_when_the_receiver_says(posts: Callable[..., Post]) -> None:
    sink = FakeSink("a", failing(1, SinkError("a", "busy", 0.2)))
    post = posts(sink)
    post.put(Severity.HIGH)
    sink.wait_for(1)
    assert sink.attempts[1] - sink.attempts[0] >= 0.2


def test_skips_only_the_alert_that_is_rejected(posts: Callable[..., Post]) -> None:
    poison: list[int] = []

    def answer(batch: Sequence[StoredAlert]) -> None:
        if any(each.sequence in poison for each in batch):
            raise SinkError("a", "too large", rejected=True)

    sink = FakeSink("a", answer)
    post = posts(sink)
    poison.append(post.box.next_sequence + 3)
    post.put(*[Severity.HIGH] * 10)
    sink.wait_for(9)
    assert sink.got == [each for each in post.told if each not in poison]
    post.put(Severity.HIGH)
    sink.wait_for(10)
    assert post.delivery.counts()["a"].dropped == 1


def test_a_surprise_holds_nothing_up_for_ever(posts: Callable[..., Post]) -> None:
    poison: list[int] = []

    def answer(batch: Sequence[StoredAlert]) -> None:
        if any(each.sequence in poison for each in batch):
            raise ZeroDivisionError

    sink = FakeSink("a", answer)
    post = posts(sink)
    poison.append(post.box.next_sequence)
    post.put(*[Severity.HIGH] * 5)
    sink.wait_for(4)
    counts = post.delivery.counts()["a"]
    assert counts.dropped == 1
    assert counts.surprises == {"ZeroDivisionError": MAX_SURPRISES + 1}


def test_says_when_nobody_will_ever_take_anything_again(posts: Callable[..., Post]) -> None:
    gone = FakeSink("gone", failing(99, SinkGone("gone", "closed")))
    lively = FakeSink("lively")
    post = posts(gone, lively)
    post.put(Severity.HIGH)
    lively.wait_for(1)
    assert post.gone.wait(10)
    assert not post.delivery.is_gone
    alone = posts(FakeSink("alone", failing(99, SinkGone("alone", "closed"))))
    alone.put(Severity.HIGH)
    assert alone.gone.wait(10)
    assert alone.delivery.is_gone


def test_delivers_what_there_is_before_it_stops(posts: Callable[..., Post]) -> None:
    sink = FakeSink("a", lambda _: time.sleep(0.01))
    post = posts(sink)
    post.put(*[Severity.HIGH] * 100)
    assert post.delivery.stop(5)
    assert sink.got == post.told
    assert sink.is_closed


def test_tries_once_more_before_it_stops(posts: Callable[..., Post]) -> None:
    sink = FakeSink("a", failing(1, SinkError("a", "busy", 600)))
    post = posts(sink)
    post.put(Severity.HIGH)
    while not post.delivery.counts()["a"].is_failing:
        time.sleep(0.01)
    assert post.delivery.stop(5)
    assert sink.got == post.told


def test_stops_in_time_whatever_a_sink_does(posts: Callable[..., Post]) -> None:
    release = threading.Event()
    post = posts(FakeSink("dead", lambda _: hang(release)))
    post.put(Severity.HIGH)
    started = time.monotonic()
    assert not post.delivery.stop(0.2)
    assert time.monotonic() - started < 2
    release.set()


def test_a_receiver_that_says_500_for_an_hour_costs_nobody_an_alert(tmp_path: Path) -> None:
    """The hour passes in the pauses. A real sink posts to a real receiver; each pause raises alerts as time would."""
    clock = VirtualClock()
    pauses: list[float] = []

    def reply(_request: Request) -> Reply:
        return Reply(500) if clock.seconds < HOUR_SECONDS else Reply(200)

    box = Outbox(tmp_path / "state", max_bytes=1 << 26, max_age_seconds=60, clock_ns=clock.now_ns)
    lively = FakeSink("lively")
    lag: list[int] = []

    def wait(stopping: threading.Event, seconds: float) -> bool:
        pauses.append(seconds)
        clock.seconds += seconds
        made = [alerts.stored(number) for number in range(box.next_sequence, box.next_sequence + 10)]
        box.append(made)
        told.extend(each.id for each in made)
        lively.wait_for(len(told))  # the sink beside it has them all before the next attempt here
        lag.append(box.waiting("lively", Severity.INFO)[0])
        return stopping.is_set()

    told: list[str] = []
    with HttpReceiver(default=reply) as receiver:
        down = HttpSink(HttpConfig(name="down", url=receiver.url))
        delivery = Delivery(box, [down, lively], clock_ns=clock.now_ns, chance=lambda: 1.0, wait=wait)
        delivery.start()
        first = alerts.stored(box.next_sequence)
        told.append(first.id)
        box.append([first])
        lively.wait_for(1)
        deadline = time.monotonic() + 60
        while delivery.counts()["down"].sent < len(told) or clock.seconds < HOUR_SECONDS:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        counts = delivery.counts()["down"]
        assert delivery.stop(10)
    assert pauses[:8] == [0.5, 1, 2, 4, 8, 16, 32, 60]
    assert set(pauses[7:]) == {60}
    assert sum(pauses) >= HOUR_SECONDS
    assert counts.failures == len(pauses) == len(told) // 10
    taken = [each["event"]["id"] for request in receiver.requests[len(pauses) :] for each in json.loads(request.body)]
    assert taken == told  # each of them, once, in their order
    assert counts.dropped == 0
    assert lag == [0] * len(pauses)


def test_upkeep_that_fails_is_logged_and_goes_on(posts: Callable[..., Post], monkeypatch: pytest.MonkeyPatch) -> None:
    sink = FakeSink("a")
    post = posts(sink)
    tended = threading.Event()
    answers = iter([ZeroDivisionError(), ZeroDivisionError()])

    def tend() -> None:
        if (error := next(answers, None)) is not None:
            raise error
        tended.set()

    monkeypatch.setattr(post.box, "tend", tend)
    assert tended.wait(10)


def test_shows_what_receiver_and_limit_left_out() -> None:
    class Choosy(FakeSink):
        refused = 3
        left_out = 4

    box = Outbox(None, max_bytes=1 << 24, max_age_seconds=60, clock_ns=time.time_ns)
    delivery = Delivery(box, [Choosy("a"), FakeSink("b")])
    delivery.start()
    statuses = delivery.sink_statuses()
    delivery.stop(5)
    assert [(each.dropped, each.left_out) for each in statuses] == [(3, 4), (0, 0)]
