from __future__ import annotations

from typing import Any

import pytest

from agent.control.answers import Feed
from agent.control.happenings import Happening, Watch, Watcher, document
from agent.control.wanted import Wanted
from agent.state import NodeState
from collectors.events import (
    ContainerGone,
    Event,
    Exec,
    Lost,
    MountTable,
    NamespaceChange,
    Ptrace,
    RawSocketHeld,
    Refused,
    Seen,
    SweepDone,
    TcpConnected,
    UnixConnected,
)
from collectors.facts import Connection
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
