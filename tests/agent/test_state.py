from __future__ import annotations

from dataclasses import replace

import pytest

from agent.state import NodeState
from collectors.events import ContainerGone, ContainerSeen, Event, Exec, Exit, Fork, MountTable, Seen, SweepDone
from collectors.facts import (
    CgroupMembership,
    Executable,
    Layer,
    Place,
    Process,
    ProcessKey,
    Seccomp,
    SeccompMode,
    Unknown,
)
from detectors.base import Member, Tier
from tests.support import build

NOW = build.NOW_NS
HOST_CGROUP = (CgroupMembership(0, b"", b"/system.slice/cron.service"),)


def state_of(*events: Event, max_processes: int = 1000, max_containers: int = 100) -> NodeState:
    state = NodeState(build.host_baseline(), Tier.NETLINK, max_processes=max_processes, max_containers=max_containers)
    for event in events:
        state.apply(event)
    return state


def with_container(number: int = 1, **overrides: object) -> NodeState:
    """A node on which container ``number`` and its first process were seen by a sweep."""
    first = build.first_process(number)
    assert isinstance(first.confinement.namespaces.mnt, int)
    return state_of(
        Seen(NOW, build.host_process(900)),
        ContainerSeen(NOW, build.container(number, **overrides)),
        MountTable(
            NOW, first.confinement.namespaces.mnt, build.container_id(number), first.key, build.mount_table(number)
        ),
        Exec(NOW, first),
    )


def moved(process: Process, cgroups: tuple[CgroupMembership, ...]) -> Process:
    return replace(process, confinement=replace(process.confinement, cgroups=cgroups), observed_ns=NOW + 1)


def member_of(state: NodeState, process: Process) -> Member:
    member = state.member(process)
    assert isinstance(member, Member)
    return member


def runtime_executable() -> Executable:
    runtime = next(iter(build.host_baseline().runtime_binaries))
    return Executable(b"/usr/bin/runc", Place(runtime, 27), 0o100755, 0, 1, NOW, layer=Layer.FOREIGN)


def test_first_process_belongs_by_its_cgroup() -> None:
    state = with_container()
    member = member_of(state, build.first_process())
    assert member.container.id == build.container_id()
    assert member.is_first
    assert not member.by_lineage
    assert member.in_container_cgroup
    assert member.frame.given_mounts == frozenset(each.mnt_id for each in build.mount_table())


def test_process_is_found_by_its_pid_while_it_lives() -> None:
    state = with_container()
    assert state.process_by_pid(900) == build.host_process(900)
    state.apply(Exit(NOW, build.key(900)))
    assert state.process_by_pid(900) is None


def test_the_same_question_has_another_answer_after_an_event() -> None:
    state = with_container()
    first = build.first_process()
    assert member_of(state, first).container.name == "web-1"
    state.apply(ContainerSeen(NOW, build.container(name="renamed")))
    assert member_of(state, first).container.name == "renamed"


def test_host_process_belongs_to_no_container() -> None:
    state = with_container()
    assert state.member(build.host_process(900)) is None
    assert not state.is_becoming(build.host_process(900))


def test_membership_survives_a_move_to_another_cgroup() -> None:
    state = with_container()
    process = build.process()
    state.apply(Seen(NOW, process))
    state.apply(Seen(NOW + 1, moved(process, HOST_CGROUP)))
    member = member_of(state, moved(process, HOST_CGROUP))
    assert member.container.id == build.container_id()
    assert not member.in_container_cgroup


def test_membership_survives_double_fork_and_reparenting_to_pid_1() -> None:
    state = with_container()
    child, grandchild = ProcessKey(5000, 900_001), ProcessKey(5001, 900_002)
    state.apply(Fork(NOW, build.first_process().key, child))
    state.apply(Fork(NOW, child, grandchild))
    state.apply(Exit(NOW, child))
    escaped = replace(
        build.host_process(5001),
        key=grandchild,
        parent_pid=1,
        confinement=build.host_confinement(),
        observed_ns=NOW + 5,
    )
    state.apply(Exec(NOW + 5, escaped))
    member = member_of(state, escaped)
    assert member.by_lineage
    assert not member.in_container_cgroup
    assert [each.key for each in state.ancestors(escaped)] == [child, build.first_process().key, build.key(900)]


def test_membership_by_lineage_beats_a_cgroup_that_names_another_container() -> None:
    state = with_container(1)
    state.apply(ContainerSeen(NOW, build.container(2)))
    liar = moved(build.process(parent_pid=build.first_pid(1)), build.cgroups(number=2))
    state.apply(Seen(NOW + 1, liar))
    assert member_of(state, liar).container.id == build.container_id(1)


def test_outermost_container_owns_a_nested_one() -> None:
    state = with_container(1)
    inner = build.cgroup_path(1) + b"/docker/" + build.container_id(2).encode()
    state.apply(ContainerSeen(NOW, build.container(2, cgroup_paths=frozenset({inner}))))
    nested = build.process(6000, 2, parent_pid=1, confinement=build.confinement(2, cgroups=build.cgroups(inner)))
    state.apply(Seen(NOW, nested))
    assert member_of(state, nested).container.id == build.container_id(1)


def test_runtime_on_its_way_into_the_container_is_becoming_until_its_exec() -> None:
    state = with_container()
    stage = build.process(
        7000,
        parent_pid=900,
        executable=runtime_executable(),
        confinement=build.host_confinement(cgroups=build.cgroups()),
    )
    fresh = replace(stage, key=ProcessKey(7000, _ticks_at(NOW)))
    state.apply(Exec(NOW, fresh))
    assert state.is_becoming(fresh)
    assert state.member(fresh) is None
    entered = replace(build.process(7000, parent_pid=900), key=fresh.key, observed_ns=NOW + 1)
    state.apply(Exec(NOW + 1, entered))
    member = member_of(state, entered)
    assert member.entry == entered
    assert not member.is_first


def test_becoming_does_not_last_longer_than_ten_seconds() -> None:
    state = with_container()
    stage = build.process(7000, parent_pid=900, executable=runtime_executable())
    fresh = replace(stage, key=ProcessKey(7000, _ticks_at(NOW)))
    state.apply(Seen(NOW, fresh))
    state.take_pending()
    state.apply(SweepDone(NOW + 5 * 10**9, 1, 3, 0))
    assert state.is_becoming(fresh)
    state.apply(SweepDone(NOW + 11 * 10**9, 2, 3, 0))
    assert not state.is_becoming(fresh)
    assert state.take_pending() == (Seen(NOW + 11 * 10**9, fresh),)


def test_runtime_that_leaves_the_cgroup_before_it_entered_belongs_no_more() -> None:
    state = with_container()
    fresh = build.process(7000, parent_pid=900, executable=runtime_executable(), key=ProcessKey(7000, _ticks_at(NOW)))
    state.apply(Seen(NOW, fresh))
    state.apply(Seen(NOW + 1, moved(fresh, HOST_CGROUP)))
    assert not state.is_becoming(moved(fresh, HOST_CGROUP))
    assert state.member(moved(fresh, HOST_CGROUP)) is None


def test_members_seen_before_the_first_process_are_pending_when_it_enters() -> None:
    early = build.process()
    state = state_of(
        Seen(NOW, build.host_process(900)),
        ContainerSeen(NOW, build.container()),
        Seen(NOW, early),
    )
    assert isinstance(state.first_process(build.container_id()), Unknown)
    assert isinstance(member_of(state, early).first, Unknown)
    state.apply(Seen(NOW, build.first_process()))
    assert Seen(NOW, early) in state.take_pending()
    assert member_of(state, early).first == build.first_process()


def test_entry_of_a_container_that_was_there_before_is_the_least_of_observed_and_declared() -> None:
    tightened = build.first_process(
        confinement=build.confinement(
            no_new_privs=True, seccomp=Seccomp(SeccompMode.FILTER, 3), capabilities=build.capabilities(0)
        )
    )
    state = state_of(ContainerSeen(NOW, build.container()), Seen(NOW, tightened))
    first = state.first_process(build.container_id())
    assert isinstance(first, Process)
    assert first.confinement.no_new_privs is False
    assert first.confinement.seccomp == Seccomp(SeccompMode.FILTER, 1)
    assert first.confinement.capabilities == build.capabilities()


def test_exec_gives_the_entry_exactly_as_it_was() -> None:
    strict = build.first_process(confinement=build.confinement(no_new_privs=True))
    state = state_of(ContainerSeen(NOW, build.container()), Exec(NOW, strict))
    assert state.first_process(build.container_id()) == strict


def test_restart_of_a_container_forgets_its_former_first_process() -> None:
    state = with_container()
    again = replace(build.container(), first_pid=9000, first_start_ticks=5)
    state.apply(ContainerSeen(NOW + 1, again))
    assert isinstance(state.first_process(build.container_id()), Unknown)
    new_first = replace(build.first_process(), key=ProcessKey(9000, 5))
    state.apply(Exec(NOW + 2, new_first))
    assert state.first_process(build.container_id()) == new_first


def test_what_a_task_was_before_it_entered_is_becoming_also_when_it_is_told_later() -> None:
    entered = replace(build.first_process(), observed_ns=NOW + 5)
    state = state_of(ContainerSeen(NOW, build.container()), Seen(NOW + 5, entered))
    on_its_way = replace(entered, confinement=build.host_confinement(), observed_ns=NOW + 4)
    state.apply(Seen(NOW + 4, on_its_way))
    assert state.member(on_its_way) is None
    assert state.is_becoming(on_its_way)
    assert isinstance(state.member(entered), Member)
    assert not state.is_becoming(entered)


def test_a_thread_of_the_runtime_that_ended_with_its_exec_is_becoming_also_when_it_is_told_later() -> None:
    entered = replace(build.first_process(), observed_ns=NOW + 5)
    state = state_of(ContainerSeen(NOW, build.container()), Seen(NOW + 5, entered))
    runtimes = replace(build.thread(entered, 1000, build.host_confinement()), observed_ns=NOW + 4)
    state.apply(Seen(NOW + 4, runtimes))
    assert state.member(runtimes) is None
    own = replace(build.thread(entered, 1001, build.host_confinement()), observed_ns=NOW + 6)
    state.apply(Seen(NOW + 6, own))
    assert isinstance(state.member(own), Member)


def test_a_child_that_was_seen_before_its_parents_entry_was_is_a_member_all_the_same() -> None:
    entered = replace(build.first_process(), observed_ns=NOW + 5)
    child = replace(build.process(parent_pid=entered.key.pid), observed_ns=NOW + 4)
    state = state_of(ContainerSeen(NOW, build.container()), Seen(NOW + 5, entered), Seen(NOW + 4, child))
    assert isinstance(state.member(child), Member)


def test_restarted_container_has_no_past_from_before_though_its_namespace_has_the_old_number() -> None:
    """The kernel gives the inode of a namespace again; the new table was met half-built, and the old life lingers."""
    state = with_container()
    state.apply(Seen(NOW, build.process()))  # of the former life: whoever looks has not heard of its end
    namespace = build.mnt_namespace()
    new_first = replace(build.first_process(), key=ProcessKey(9000, 5))
    state.apply(MountTable(NOW + 1, namespace, build.container_id(), new_first.key, build.mount_table()[:2]))
    state.apply(MountTable(NOW + 2, namespace, build.container_id(), new_first.key, build.mount_table()))
    state.apply(Exec(NOW + 2, new_first))
    state.apply(ContainerSeen(NOW + 3, replace(build.container(), first_pid=9000, first_start_ticks=5)))
    assert state.first_process(build.container_id()) == new_first
    assert isinstance(state.mounts_before(namespace), Unknown)
    assert isinstance(state.mounts_at_start(build.container_id()), Unknown)


def test_container_is_kept_while_a_process_that_left_it_lives() -> None:
    state = with_container()
    escaped = moved(build.process(), HOST_CGROUP)
    state.apply(Seen(NOW, build.process()))
    state.apply(Seen(NOW + 1, escaped))
    state.apply(Exit(NOW + 2, build.first_process().key))
    state.apply(ContainerGone(NOW + 3, build.container_id()))
    assert state.container(build.container_id()) is not None
    state.apply(Exit(NOW + 4, escaped.key))
    assert state.container(build.container_id()) is None


def test_an_observation_that_is_older_than_the_state_changes_nothing() -> None:
    state = with_container()
    newer = moved(build.process(), HOST_CGROUP)
    state.apply(Seen(NOW + 1, newer))
    state.apply(Seen(NOW + 2, build.process()))
    assert state.process(newer.key) == newer


def test_a_shim_that_outlives_its_containers_is_no_memory_of_them() -> None:
    state = state_of(Seen(NOW, build.host_process(900)))
    for number in range(1, 500):
        first = build.first_process(number)
        state.apply(ContainerSeen(NOW, build.container(number)))
        state.apply(Exec(NOW, replace(first, parent_pid=900)))
        if number > 1:  # one goes on
            state.apply(Exit(NOW, first.key))
            state.apply(ContainerGone(NOW, build.container_id(number)))
    assert state._senders._into == {900: {build.container_id(1)}}


@pytest.mark.parametrize("seconds", [6, 3600, 10 * 365 * 86_400])
def test_what_is_seen_after_the_clock_was_set_back_counts(seconds: int) -> None:
    """Else whoever can set the clock back leaves its container unseen, the container's first process too."""
    state = with_container()
    for before in (build.first_process(), build.process()):
        state.apply(Seen(NOW, before))
        out = replace(before, confinement=build.host_confinement(), observed_ns=NOW - seconds * 10**9)
        state.apply(Seen(out.observed_ns, out))
        assert state.process(out.key) == out
        assert member_of(state, out).process == out


def test_reused_pid_is_another_process() -> None:
    state = with_container()
    state.apply(Seen(NOW, build.process()))
    other = replace(build.host_process(4242), key=ProcessKey(4242, 999_999), parent_pid=1, observed_ns=NOW + 1)
    state.apply(Seen(NOW + 1, other))
    assert state.process(build.process().key) is None
    assert state.member(other) is None


def test_thread_belongs_with_its_process() -> None:
    state = with_container()
    process = build.process()
    state.apply(Seen(NOW, process))
    thread = build.thread(process, 4300, build.host_confinement())
    state.apply(Seen(NOW, thread))
    assert member_of(state, thread).container.id == build.container_id()


def test_processes_beyond_the_limit_are_counted_and_not_kept() -> None:
    state = state_of(*(Seen(NOW, build.host_process(pid)) for pid in range(100, 110)), max_processes=5)
    assert state.counts()["processes"] == 5
    assert state.overflow["processes"] == 5


def test_chain_of_parents_is_cut_behind_the_sixteenth() -> None:
    state = with_container()
    parent = build.first_process().key
    for number in range(40):
        child = ProcessKey(20_000 + number, 1_000_000 + number)
        state.apply(Fork(NOW, parent, child))
        state.apply(Exit(NOW, parent))
        parent = child
    last = state.process(parent)
    assert last is not None
    assert len(state.ancestors(last)) == 16


def test_mount_tables_remember_what_was_before() -> None:
    state = with_container()
    namespace = build.first_process().confinement.namespaces.mnt
    assert isinstance(namespace, int)
    assert isinstance(state.mounts_before(namespace), Unknown)
    shorter = build.mount_table()[:-1]
    state.apply(MountTable(NOW + 1, namespace, build.container_id(), build.first_process().key, shorter))
    assert state.mounts(namespace) == shorter
    assert state.mounts_before(namespace) == build.mount_table()
    assert build.mount_table()[-1].mnt_id in state.mount_ids_ever(namespace)
    assert state.mounts_at_start(build.container_id()) == build.mount_table()


@pytest.mark.parametrize("kind", ["mnt", "pid", "net"])
def test_namespace_owners_are_containers_whose_first_process_has_it(kind: str) -> None:
    state = with_container()
    inode = getattr(build.first_process().confinement.namespaces, kind)
    assert state.namespace_owners(kind, inode) == (build.container_id(),)
    assert state.namespace_owners(kind, 1) == ()


def _ticks_at(at_ns: int) -> int:
    host = build.host_baseline()
    return (at_ns - host.boot_time_ns) * host.ticks_per_second // 10**9


def test_mount_table_of_a_container_has_no_past_from_before_its_first_process_entered() -> None:
    first = build.first_process()
    namespace = first.confinement.namespaces.mnt
    assert isinstance(namespace, int)
    half_built = build.mount_table()[:2]
    state = state_of(
        ContainerSeen(NOW, build.container()),
        MountTable(NOW, namespace, build.container_id(), first.key, half_built),
        MountTable(NOW, namespace, build.container_id(), first.key, build.mount_table()),
    )
    assert state.mounts_before(namespace) == half_built
    state.apply(Seen(NOW + 1, first))
    assert isinstance(state.mounts_before(namespace), Unknown)


def test_process_that_a_shim_sent_in_belongs_although_it_left_the_cgroup_before_it_was_seen() -> None:
    state = with_container()
    left = build.process(parent_pid=900, confinement=build.confinement(cgroups=HOST_CGROUP))
    state.apply(Seen(NOW + 1, left))
    member = member_of(state, left)
    assert member.container.id == build.container_id()
    assert member.by_lineage


def test_process_belongs_where_it_was_sent_also_while_a_runtime_stands_above_it() -> None:
    state = with_container()
    state.apply(Seen(NOW + 1, build.host_process(902, parent_pid=900)))
    left = build.process(parent_pid=902, confinement=build.confinement(cgroups=HOST_CGROUP))
    state.apply(Seen(NOW + 2, left))
    assert member_of(state, left).container.id == build.container_id()


def test_process_in_a_neighbours_cgroup_belongs_where_its_shim_and_namespaces_say() -> None:
    state = with_container(1)
    state.apply(ContainerSeen(NOW, build.container(2)))
    hidden = build.process(parent_pid=900, confinement=build.confinement(cgroups=build.cgroups(number=2)))
    state.apply(Seen(NOW + 1, hidden))
    assert member_of(state, hidden).container.id == build.container_id(1)


def test_host_process_that_entered_a_container_from_a_shell_belongs_to_none() -> None:
    state = with_container()
    state.apply(Seen(NOW, build.host_process(901)))
    administrator = build.process(parent_pid=901, confinement=build.confinement(cgroups=HOST_CGROUP))
    state.apply(Seen(NOW + 1, administrator))
    assert state.member(administrator) is None
