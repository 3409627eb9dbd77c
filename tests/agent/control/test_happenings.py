from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.control.answers import Feed
from agent.control.happenings import Happening, Watch, Watcher, document
from agent.control.wanted import Wanted
from agent.state import NodeState
from collectors.events import (
    CallMade,
    ContainerGone,
    Event,
    Exec,
    Exit,
    FileTouched,
    Lost,
    MountMade,
    MountTable,
    NamespaceChange,
    ProcessReached,
    Ptrace,
    RawSocketHeld,
    Refused,
    Seen,
    SweepDone,
    TcpConnected,
    Touch,
    UnixConnected,
)
from collectors.facts import Connection, FileId, Unknown
from collectors.streamed import STREAM, Streamed
from detectors.base import Tier
from tests.agent.cli.nodes import sleeping
from tests.support import build

NOW = build.NOW_NS
OUTGOING = Connection("tcp", "10.0.0.2", 40_000, "169.254.169.254", 80, is_incoming=False)
FIRST = build.first_process(1)


def told(*events: Event, wanted: Wanted | None = None, host: bool = False) -> list[dict[str, Any]]:
    """What a watcher hears of events on a node with two containers."""
    state = NodeState(build.host_baseline(), Tier.NETLINK, max_processes=100, max_containers=10)
    for event in (Seen(NOW, build.host_process(900)), *sleeping(1), *sleeping(2)):
        state.apply(event)
    watch = Watch(state)
    feed: Feed[Happening] = Feed(lambda: None)
    watch.add(Watcher(wanted or Wanted(), host, feed))
    found: list[dict[str, Any]] = []
    for event in events:
        before = watch.before(event)
        assert before is not None
        state.apply(event)
        watch.after(event, before)
    while isinstance(happening := feed.take(), Happening):
        shown = document(happening)
        found += [shown] if shown is not None else []
    return found


def test_a_mount_is_told_as_what_came_and_went() -> None:
    mnt = FIRST.confinement.namespaces.mnt
    assert isinstance(mnt, int)
    table = build.mount_table(1)
    new = build.mount(4711, b"/mnt", source=b"/dev/vda1", fs_type=b"ext4")
    (event,) = told(MountTable(NOW, mnt, build.container_id(1), FIRST.key, (*table[1:], new)))
    assert (event["kind"], event["container"]["name"]) == ("mounts", "web-1")
    assert event["added"] == [{"point": "/mnt", "source": "/dev/vda1", "type": "ext4"}]
    assert [each["point"] for each in event["removed"]] == [table[0].point.decode()]


def test_a_change_of_namespaces_is_told_with_both_values() -> None:
    after = build.first_process(
        1, observed_ns=NOW + 1, confinement=build.confinement(1, namespaces=build.namespaces(1, net=build.HOST_NET))
    )
    (event,) = told(NamespaceChange(NOW + 1, after))
    assert event["kind"] == "namespaces"
    assert event["changed"] == [
        {"aspect": "net namespace", "was": str(build.namespaces(1).net), "now": str(build.HOST_NET)}
    ]


def test_a_look_that_shows_nothing_new_is_not_told() -> None:
    assert told(Seen(NOW + 1, build.first_process(1, observed_ns=NOW + 1))) == []
    assert told(SweepDone(NOW, 1, 3, 1000)) == []


@pytest.mark.parametrize(
    ("event", "kind", "details"),
    [
        (Refused(NOW, FIRST, "setns", 1), "refused", {"call": "setns", "errno": 1}),
        (Ptrace(NOW, FIRST.key.pid, 1), "ptrace", {"target_pid": 1}),
        (
            MountMade(NOW, FIRST, build.mount(1500, b"/mnt", source=b"/dev/vda1")),
            "mounted",
            {"point": "/mnt", "source": "/dev/vda1", "type": "ext4"},
        ),
        (ContainerGone(NOW, build.container_id(1)), "container gone", {}),
        (
            UnixConnected(
                NOW, build.container_id(1), FIRST.key, 5, b"/run/docker.sock", build.key(900), b"/bin/dockerd"
            ),
            "connected",
            {"to": "/run/docker.sock", "server": "/bin/dockerd"},
        ),
        (
            TcpConnected(NOW, build.container_id(1), FIRST.key, 5, OUTGOING, is_to_this_node=False),
            "connected",
            {"to": "169.254.169.254 port 80"},
        ),
        (
            RawSocketHeld(NOW, build.container_id(1), FIRST.key, 5, "packet", 3),
            "raw socket",
            {"family": "packet", "protocol": 3},
        ),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Event) else "",
)
def test_acts_are_told(event: Event, kind: str, details: dict[str, Any]) -> None:
    (found,) = told(event)
    assert (found["kind"], found["container"]["id"]) == (kind, build.container_id(1))
    assert found.items() >= details.items()


def test_losses_and_the_hosts_processes_are_for_who_asks_for_the_host() -> None:
    events = (Lost(NOW, "netlink", "overrun", 12), Exec(NOW, build.host_process(901)))
    assert told(*events) == []
    assert [each["kind"] for each in told(*events, host=True)] == ["lost", "exec"]


def test_only_what_is_wanted_is_told() -> None:
    events = [Exec(NOW + 1, build.process(5000 + number, number)) for number in (1, 2)]
    assert [each["container"]["name"] for each in told(*events, wanted=Wanted(container="web-2"))] == ["web-2"]
    assert told(*events, wanted=Wanted(pod="web-2")) == []


CONTAINER = build.container_id(1)


class Watched:
    """A watch with one watcher, and what its sensor is asked for."""

    def __init__(self, wanted: Wanted | None = None) -> None:
        self.state = NodeState(build.host_baseline(), Tier.EBPF, max_processes=100, max_containers=10)
        for event in (Seen(NOW, build.host_process(900)), *sleeping(1), *sleeping(2)):
            self.state.apply(event)
        self.watch = Watch(self.state)
        self.chosen: list[frozenset[str] | None] = []
        self.watch.on_watchers = self.chosen.append
        self.watcher = Watcher(wanted or Wanted(), is_of_host=False, feed=Feed(lambda: None))
        self.watch.add(self.watcher)

    def apply(self, event: Event) -> None:
        before = self.watch.before(event)
        assert before is not None
        self.state.apply(event)
        self.watch.after(event, before)

    def told(self) -> list[tuple[str, str | None]]:
        """Kind and command of what was told."""
        found = []
        while isinstance(happening := self.watcher.feed.take(), Happening):
            shown = document(happening)
            if shown is not None:
                found.append((shown["kind"], (shown["process"] or {}).get("command_line")))
        return found


def streamed_exec(pid: int, number: int = 1) -> Streamed:
    process = build.process(pid, number, arguments=b"true\x00%d\x00" % pid)
    return Streamed(NOW, Exec(NOW, process), build.container_id(number), process)


def streamed_exit(pid: int, number: int = 1) -> Streamed:
    bare = replace(build.process(pid, number), arguments=b"", executable=Unknown("gone"))
    return Streamed(NOW, Exit(NOW, bare.key), build.container_id(number), bare)


def test_what_is_streamed_is_told_to_who_wants_that_container_and_is_no_part_of_the_state() -> None:
    watched = Watched(Wanted(container=CONTAINER))
    before = watched.state.counts()
    for event in (streamed_exec(7000), streamed_exec(7001, 2), streamed_exit(7000), streamed_exit(7001, 2)):
        watched.watch.streamed(event)
    assert watched.told() == [("exec", "true 7000"), ("exit", "true 7000")]
    assert watched.state.counts() == before


def test_an_end_without_an_exec_has_its_name_at_least() -> None:
    watched = Watched()
    watched.watch.streamed(streamed_exit(7000))
    assert watched.told() == [("exit", "")]


def test_what_was_streamed_and_is_met_by_a_sweep_is_not_told_twice() -> None:
    watched = Watched()
    exec_event = streamed_exec(7000)
    watched.watch.streamed(exec_event)
    assert exec_event.process is not None
    watched.apply(Seen(NOW + 1, exec_event.process))
    watched.apply(Exit(NOW + 2, exec_event.process.key))
    assert watched.told() == [("exec", "true 7000"), ("exit", "true 7000")]


def test_an_end_that_a_sweep_finds_once_more_is_told_once() -> None:
    watched = Watched()
    exec_event = streamed_exec(7000)
    assert exec_event.process is not None
    watched.watch.streamed(exec_event)
    watched.watch.streamed(streamed_exit(7000))
    watched.apply(Seen(NOW + 1, exec_event.process))  # the sweep had looked at it while it lived
    watched.apply(Exit(NOW + 2, exec_event.process.key))
    assert watched.told() == [("exec", "true 7000"), ("exit", "true 7000")]


def test_the_end_of_the_last_of_an_entry_is_told_though_the_state_never_knew_it() -> None:
    watched = Watched(Wanted(container=CONTAINER))
    watched.watch.streamed(streamed_exec(7000))
    watched.apply(Exit(NOW + 1, build.key(7000)))
    assert watched.told() == [("exec", "true 7000"), ("exit", "true 7000")]


def test_what_the_stream_lost_is_told_to_everybody() -> None:
    watched = Watched(Wanted(container=CONTAINER))
    watched.watch.streamed(Streamed(NOW, Lost(NOW, STREAM, "ring_full", 5)))
    watched.apply(Lost(NOW, "ebpf", "ring_full", 5))  # of the node, which this watcher did not ask for
    assert watched.told() == [("lost", None)]


def test_the_sensor_is_asked_for_what_is_watched_and_for_nothing_in_the_end() -> None:
    watched = Watched(Wanted(container=CONTAINER))
    other = Watcher(Wanted(container=build.container_id(2)), is_of_host=False, feed=Feed(lambda: None))
    everything = Watcher(Wanted(container="web"), is_of_host=False, feed=Feed(lambda: None))
    watched.watch.add(other)
    watched.watch.add(everything)
    for each in (everything, watched.watcher, other):
        watched.watch.remove(each)
    both = frozenset({CONTAINER, build.container_id(2)})
    assert watched.chosen == [
        frozenset({CONTAINER}),
        both,
        None,
        both,
        frozenset({build.container_id(2)}),
        frozenset(),
    ]


def test_calls_that_belong_to_the_ways_out_are_told() -> None:
    process = build.process(7000)
    file = FileId(1, 2)
    watched = Watched()
    watched.apply(CallMade(NOW, process, "bpf", 1, (5, 0, 0, 0)))
    watched.apply(FileTouched(NOW, process, Touch.WRITTEN, b"/etc/cron.d/x", file, 0o644, 0xEF53))
    watched.apply(ProcessReached(NOW, process, "ptrace", 0, 900))
    assert [kind for kind, _ in watched.told()] == ["call", "file", "reached"]
