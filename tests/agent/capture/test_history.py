from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace

from agent.assembly import configured_roots, new_state
from agent.capture.history import History
from agent.config_schema import Config
from collectors.events import ContainerSeen, Event, Exec, Exit, MountTable, Seen
from collectors.facts import ProcessKey
from collectors.host import read_baseline
from collectors.proc.mountinfo import parse_mountinfo
from collectors.proc.process import ProcessReader
from detectors.base import Tier
from tests.support import build

SECOND = 10**9
LIMIT = 1 << 20


def feed(history: History, state: object, *events: Event, sequence: int = 1) -> None:
    for event in events:
        was = history.before(event)
        state.apply(event)  # type: ignore[attr-defined]
        history.note(event, was, sequence)


def test_keeps_the_latest_and_knows_from_when_on_nothing_is_missing() -> None:
    state = new_state(Config(), build.host_baseline(), Tier.NETLINK)
    history = History(state, max_seconds=60, max_bytes=LIMIT)
    assert (history.since_ns, len(history)) == (None, 0)
    events = [Exec(build.NOW_NS + at * SECOND, build.process(5000 + at)) for at in range(100)]
    feed(history, state, *events)
    assert [each.event for each in history.entries(0)] == events[39:]
    assert history.since_ns == events[38].at_ns
    assert [each.event for each in history.entries(events[90].at_ns)] == events[90:]
    assert history.entries(events[99].at_ns + 1) == []


def test_what_comes_after_the_clock_was_set_back_is_kept_as_long() -> None:
    state = new_state(Config(), build.host_baseline(), Tier.NETLINK)
    history = History(state, max_seconds=60, max_bytes=LIMIT)
    feed(history, state, Exec(build.NOW_NS, build.process()))
    later = [Exec(build.NOW_NS - (3600 - at) * SECOND, build.process(5000 + at)) for at in range(50)]
    feed(history, state, *later)
    assert [each.event for each in history.entries(later[0].at_ns)][1:] == later


def test_its_bytes_are_bounded_whatever_comes() -> None:
    state = new_state(Config(), build.host_baseline(), Tier.NETLINK)
    history = History(state, max_seconds=600, max_bytes=200_000)
    feed(history, state, ContainerSeen(build.NOW_NS, build.container()))
    for at in range(1, 1000):
        process = build.process(5000, arguments=b"x" * at)
        table = MountTable(build.NOW_NS + at, 7, None, process.key, build.mount_table(1 + at % 2))
        feed(history, state, Exec(build.NOW_NS + at, process), table)
        assert history.size_bytes <= 200_000
    assert 20 < len(history) < 200
    assert history.since_ns is not None
    assert history.since_ns > build.NOW_NS


def test_of_no_bytes_it_keeps_nothing() -> None:
    state = new_state(Config(), build.host_baseline(), Tier.NETLINK)
    history = History(state, max_seconds=600, max_bytes=0)
    feed(history, state, Exec(build.NOW_NS, build.process()))
    assert (len(history), history.since_ns) == (0, None)


def test_an_entry_knows_whose_it_is_and_which_alert_came_next() -> None:
    state = new_state(Config(), build.host_baseline(), Tier.NETLINK)
    history = History(state, max_seconds=600, max_bytes=LIMIT)
    feed(history, state, ContainerSeen(1, build.container()), Seen(2, build.first_process()), sequence=7)
    feed(history, state, Seen(3, build.host_process(900)), sequence=9)
    assert [(each.owner, each.sequence) for each in history.entries(0)] == [
        (build.container_id(), 7),
        (build.container_id(), 7),
        (None, 9),
    ]


def test_it_takes_no_more_memory_than_it_says() -> None:
    """Processes that come, run something else and end, and mount tables that change: read from this machine's /proc."""
    roots = configured_roots(Config())
    host = read_baseline(roots, lambda: build.NOW_NS)
    reader = ProcessReader(roots, lambda: build.NOW_NS, nsfs_device=host.nsfs_device)
    with open("/proc/self/mountinfo", "rb") as file:
        mountinfo = file.read()
    state = new_state(Config(), host, Tier.NETLINK)
    history = History(state, max_seconds=3600, max_bytes=LIMIT)

    def churn(start: int, count: int) -> None:
        for number in range(start, start + count):
            at_ns = build.NOW_NS + number
            process = replace(
                reader.read(os.getpid(), descriptors=16), key=ProcessKey(10_000 + number, number), observed_ns=at_ns
            )
            feed(history, state, Exec(at_ns, process))
            again = replace(reader.read(os.getpid(), descriptors=16), key=process.key, observed_ns=at_ns + 1)
            feed(history, state, Exec(at_ns + 1, replace(again, arguments=os.urandom(64))), Exit(at_ns, process.key))
            if number % 20 == 0:
                feed(history, state, MountTable(at_ns, 7, None, process.key, parse_mountinfo(mountinfo)))

    churn(0, 50)  # what readers share is in memory from here on
    tracemalloc.start()
    try:
        before, charged = tracemalloc.get_traced_memory()[0], history.size_bytes
        churn(50, 2000)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert history.since_ns is not None
    assert history.since_ns > build.NOW_NS + 50  # it was filled, and let go of the first
    assert LIMIT * 0.95 < history.size_bytes <= LIMIT
    assert (history.size_bytes - charged) / 4 < taken <= LIMIT
