from __future__ import annotations

from agent.inbox import Inbox
from collectors.events import Event, Exec, Exit, Lost, SweepDone
from collectors.streamed import STREAM, Streamed
from tests.support import build

DONE = SweepDone(build.NOW_NS, 1, 1, 1)


def streamed(number: int) -> Streamed:
    return Streamed(build.NOW_NS + number, Exit(build.NOW_NS + number, build.key(number)))


def taken(inbox: Inbox) -> list[Event]:
    found = []
    while (event := inbox.take(0.001)) is not None:
        found.append(event)
    return found


def test_what_it_has_no_room_for_is_lost_where_it_happened() -> None:
    losses: list[int] = []
    inbox = Inbox(3, lambda: 7, lambda: losses.append(1))
    for number in range(5):
        inbox.put(Exec(number, build.process()))
    assert [event.at_ns for event in taken(inbox)] == [0, 1, 2]
    inbox.put(DONE)
    assert taken(inbox) == [Lost(7, "inbox", "queue_full", 2), DONE]
    assert (inbox.dropped, losses) == (2, [1])


def test_a_stream_has_half_of_the_room_and_its_loss_asks_for_nothing() -> None:
    losses: list[int] = []
    inbox = Inbox(10, lambda: 7, lambda: losses.append(1))
    for number in range(20):
        inbox.put(streamed(number))
    for _ in range(5):
        inbox.put(DONE)
    assert (inbox.dropped, losses) == (0, [])
    assert taken(inbox) == [*map(streamed, range(5)), *[DONE] * 5]
    inbox.put(streamed(30))
    at_ns = build.NOW_NS + 30
    assert taken(inbox) == [Streamed(at_ns, Lost(at_ns, STREAM, "queue_full", 15)), streamed(30)]
