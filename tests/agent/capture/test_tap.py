from __future__ import annotations

import queue

from agent.assembly import new_state
from agent.capture.tap import Tap, Taps, of_container
from agent.config_schema import Config
from collectors.events import AlertsNumbered, ContainerGone, ContainerSeen, Event, Exec, Fork, Lost, Seen, SweepDone
from detectors.base import Tier
from tests.support import build

EVENTS: list[Event] = [Exec(build.NOW_NS + number, build.process(5000 + number)) for number in range(50)]


def taken(tap: Tap) -> list[Event]:
    found = []
    while (event := tap.take()) is not None:
        found.append(event)
    return found


def test_copies_every_event_while_it_is_there() -> None:
    rung: list[int] = []
    taps, tap = Taps(), Tap(ring=lambda: rung.append(1))
    taps.note(EVENTS[0], 1)
    taps.add(tap)
    for event in EVENTS[1:40]:
        taps.note(event, 1)
    taps.remove(tap)
    for event in EVENTS[40:]:
        taps.note(event, 1)
    assert (taken(tap), rung) == ([AlertsNumbered(EVENTS[1].at_ns, 1), *EVENTS[1:40]], [1])
    taps.add(tap)
    taps.note(EVENTS[0], 1)
    assert (taken(tap), rung) == ([EVENTS[0]], [1, 1])


def test_rings_for_what_comes_while_the_queue_is_emptied() -> None:
    """An event that is taken while the next one is put must not leave that one without a bell."""
    rung: list[int] = []
    tap = Tap(ring=lambda: rung.append(1))
    taken_between: list[Event] = []

    class Emptied(queue.SimpleQueue[Event]):
        def put(self, item: Event, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT002
            taken_between.extend(taken(tap))
            super().put(item, block, timeout)

    tap._queue = Emptied()
    for event in EVENTS[:3]:
        tap.note(event, 0)
    assert (taken_between, taken(tap), len(rung)) == (EVENTS[:2], [EVENTS[2]], 3)


def test_what_it_has_no_room_for_is_lost_where_it_happened() -> None:
    tap = Tap(ring=lambda: None, max_queued=10)
    for event in EVENTS[:30]:
        tap.note(event, 1)
    assert (tap.lost, taken(tap)) == (21, [AlertsNumbered(EVENTS[0].at_ns, 1), *EVENTS[:9]])
    tap.note(EVENTS[30], 1)
    assert taken(tap) == [Lost(EVENTS[30].at_ns, "capture", "queue_full", 21), EVENTS[30]]


def test_leaves_out_what_is_of_other_containers() -> None:
    other = build.first_process(2)
    own, host = build.first_process(), build.host_process(900)
    seen: list[Event] = [
        ContainerSeen(1, build.container()),
        ContainerSeen(1, build.container(2)),
        Seen(2, host),
        Seen(2, own),
        Seen(2, other),
        Fork(3, other.key, build.key(7)),
        ContainerGone(4, build.container_id(2)),
        SweepDone(5, 1, 1, 1),
    ]
    state = new_state(Config(), build.host_baseline(), Tier.NETLINK)
    for event in seen[:5]:
        state.apply(event)
    wanted = of_container(state, build.container_id())
    assert [event for event in seen if wanted(event)] == [seen[0], seen[2], seen[3], seen[5], seen[7]]


def test_a_number_stands_before_the_event_that_came_after_alerts() -> None:
    tap = Tap(ring=lambda: None)
    for event, sequence in zip(EVENTS[:4], (7, 7, 9, 9), strict=True):
        tap.note(event, sequence)
    first, third = EVENTS[0].at_ns, EVENTS[2].at_ns
    assert taken(tap) == [AlertsNumbered(first, 7), *EVENTS[:2], AlertsNumbered(third, 9), *EVENTS[2:4]]
