from dataclasses import replace

from agent.detached_mounts import ATTACHED_WITHIN_NS, MAX_DETACHED, DetachedMounts
from agent.pipeline import Pipeline
from agent.policy import Policy
from agent.report import AlertBuilder
from agent.state import NodeState
from collectors.events import ContainerSeen, Event, Exec, Exit, MountMade, MountTable, Seen, Standing, SweepDone
from collectors.facts import Mount, Place, Process, ProcessKey
from detectors.base import Tier
from detectors.mounts_widened import DETECTOR as MOUNTS_WIDENED
from tests.agent import alerts
from tests.support import build

NOW = build.NOW_NS
DISK = build.mount(1500, b"", parent_id=1500)
OWNER = build.container_id()
LATER = NOW + 10 + ATTACHED_WITHIN_NS


def made(mount: Mount = DISK, process: Process | None = None, at_ns: int = NOW + 10) -> MountMade:
    actor = process or build.process(observed_ns=NOW + 10)
    standing = Standing.ATTACHED if mount.point else Standing.DETACHED
    return MountMade(at_ns, actor, mount, standing)


def node(*events: Event) -> NodeState:
    """A node with container 1, whose first process was seen as it entered; then these."""
    state = NodeState(build.host_baseline(), Tier.EBPF, max_processes=100, max_containers=10)
    first = build.first_process()
    namespace = first.confinement.namespaces.mnt
    assert isinstance(namespace, int)
    begin = (
        Seen(NOW, build.host_process(900)),
        ContainerSeen(NOW, build.container()),
        MountTable(NOW, namespace, OWNER, first.key, build.mount_table()),
        Exec(NOW, first),
    )
    for event in (*begin, *events):
        state.apply(event)
    state.take_pending()
    return state


def after(state: NodeState, *events: Event) -> list[MountMade]:
    """What is judged again after these."""
    for event in events:
        state.apply(event)
    return [each for each in state.take_pending() if isinstance(each, MountMade)]


def test_a_mount_that_nothing_takes_is_judged_a_while_later_and_once() -> None:
    state = node(made())
    assert after(state, SweepDone(LATER - 1, 1, 1, 1)) == []
    left = replace(made(), standing=Standing.LEFT, container_id=OWNER)
    assert after(state, SweepDone(LATER, 2, 1, 1)) == [left]
    assert after(state, SweepDone(LATER + 1, 3, 1, 1)) == []


def test_it_is_judged_also_when_its_process_has_ended() -> None:
    state = node(made())
    (left,) = after(state, Exit(NOW + 11, made().process.key), SweepDone(LATER, 1, 1, 1))
    assert (left.container_id, left.process) == (OWNER, made().process)


def test_one_that_is_attached_is_not_judged_as_left() -> None:
    attached = made(replace(DISK, point=b"/mnt", parent_id=1200), at_ns=NOW + 12)
    assert after(node(made(), attached), SweepDone(LATER, 1, 1, 1)) == []


def test_one_that_a_table_has_is_not_judged_as_left() -> None:
    first = build.first_process()
    namespace = first.confinement.namespaces.mnt
    assert isinstance(namespace, int)
    attached = replace(DISK, point=b"/mnt", parent_id=1200)
    table = MountTable(NOW + 12, namespace, OWNER, first.key, (*build.mount_table(), attached))
    assert after(node(made(), table), SweepDone(LATER, 1, 1, 1)) == []


def test_what_a_runtime_makes_on_its_way_in_is_not_kept() -> None:
    host = build.host_baseline()
    executable = build.executable(b"/usr/bin/runc", place=Place(next(iter(host.runtime_binaries)), 27))
    key = ProcessKey(5000, (NOW - host.boot_time_ns) * host.ticks_per_second // 1_000_000_000)
    stage = build.process(key=key, parent_pid=900, executable=executable, observed_ns=NOW + 10)
    state = node()
    state.apply(made(process=stage))
    assert state.is_becoming(stage)
    assert after(state, SweepDone(LATER, 1, 1, 1)) == []


def test_a_process_of_the_host_is_nobodys_business() -> None:
    assert after(node(made(process=build.host_process(901))), SweepDone(LATER, 1, 1, 1)) == []


def test_the_oldest_is_judged_when_there_is_no_more_room() -> None:
    kept = DetachedMounts(limit=2)
    events = [made(replace(DISK, mnt_id=1500 + number)) for number in range(3)]
    assert [kept.made(each, OWNER) for each in events[:2]] == [None, None]
    assert kept.made(events[2], OWNER) == replace(events[0], standing=Standing.LEFT, container_id=OWNER)
    assert [each.mount.mnt_id for each in kept.left(LATER)] == [1501, 1502]


def test_one_that_has_to_make_room_for_its_own_process_next_is_told() -> None:
    core = Pipeline(node(), (MOUNTS_WIDENED,), Policy(()), AlertBuilder(alerts.HOST, "0.1.0"), "boot")
    events = [made(replace(DISK, mnt_id=1500 + number)) for number in range(MAX_DETACHED + 1)]
    found = [alert for event in events for alert in core.feed(event)]
    assert [each.detector.id for each in found] == ["HW-112", "HW-001"]
    assert found[0].process == made().process
