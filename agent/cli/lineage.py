"""The tree of processes around a container or a process: who started it, what it started, what changed between. Pure.

A look sees who is whose parent *now*: a process whose parent has ended hangs below whoever took it over, and what
confines the two is compared as it is now, not as it was at the fork. Bounded: 16 ancestors, 40 levels in all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from agent.cli.changes import Change, changes
from agent.cli.comparison import frame_of
from agent.records import MAX_ANCESTORS
from agent.state import NodeState
from collectors.confinement import Relation
from collectors.facts import Container, Process, ProcessKey
from detectors.base import Member

MAX_DEPTH = 40


@dataclass(frozen=True, slots=True)
class Node:
    """One process of the tree. ``branch`` says for each level above, itself last, whether siblings follow there.

    ``edge`` is what changed from the parent; ``beyond`` is what is wider than the container's first process, and was
    not gained on that edge.
    """

    process: Process
    container: Container | None
    parent: Process | None
    branch: tuple[bool, ...]
    edge: tuple[Change, ...]
    beyond: tuple[Change, ...]
    is_wanted: bool


@dataclass(frozen=True, slots=True)
class Tree:
    """The nodes in the order in which they are drawn; ``left_out`` processes lie deeper than is drawn."""

    nodes: tuple[Node, ...]
    left_out: int


def grow(state: NodeState, chosen: Container | Process) -> Tree:
    """The tree around ``chosen``; empty for a container without processes."""
    everybody = {each.key: each for each in state.processes()}
    parents = {each.key: parent for each in everybody.values() if (parent := _parent(state, each)) is not None}
    children: dict[ProcessKey, list[Process]] = {}
    for key, parent in parents.items():
        children.setdefault(parent.key, []).append(everybody[key])
    wanted = _wanted(state, chosen)
    shown = set(wanted)
    for key in wanted:
        shown.update(_chain(key, parents))
    shown.update(_below(wanted, children))
    roots = sorted((everybody[key] for key in shown if key not in parents or parents[key].key not in shown), key=_age)
    nodes: list[Node] = []
    waiting: list[tuple[Process, tuple[bool, ...]]] = [(each, ()) for each in reversed(roots)]
    while waiting:  # no recursion: whoever forks for ever makes a tree deeper than Python goes
        process, branch = waiting.pop()
        is_root = not branch
        nodes.append(_node(state, process, None if is_root else parents[process.key], branch, wanted))
        if len(branch) < MAX_DEPTH:
            below = sorted((each for each in children.get(process.key, ()) if each.key in shown), key=_age)
            following = [(each, (*branch, index + 1 < len(below))) for index, each in enumerate(below)]
            waiting += reversed(following)
    return Tree(tuple(nodes), len(shown) - len(nodes))


def _wanted(state: NodeState, chosen: Container | Process) -> frozenset[ProcessKey]:
    if isinstance(chosen, Process):
        return frozenset({chosen.key})
    return frozenset(
        each.key
        for each in state.processes()
        if (container := state.container_of(each)) is not None and container.id == chosen.id
    )


def _parent(state: NodeState, process: Process) -> Process | None:
    """Who has the parent's pid; for a thread its process."""
    if process.thread_of is not None:
        return state.process(process.thread_of)
    return state.process_by_pid(process.parent_pid) if process.parent_pid != process.key.pid else None


def _chain(key: ProcessKey, parents: Mapping[ProcessKey, Process]) -> Iterator[ProcessKey]:
    for _ in range(MAX_ANCESTORS):
        if key not in parents:
            return
        key = parents[key].key
        yield key


def _below(wanted: Iterable[ProcessKey], children: Mapping[ProcessKey, list[Process]]) -> set[ProcessKey]:
    found: set[ProcessKey] = set()
    waiting = list(wanted)
    while waiting:
        fresh = [each.key for each in children.get(waiting.pop(), ()) if each.key not in found]
        found.update(fresh)
        waiting += fresh
    return found


def _node(
    state: NodeState,
    process: Process,
    parent: Process | None,
    branch: tuple[bool, ...],
    wanted: frozenset[ProcessKey],
) -> Node:
    edge: tuple[Change, ...] = ()
    if parent is not None:
        edge = changes(process.confinement, parent.confinement, frame_of(state, process, parent))
    gained = {each.aspect.name for each in edge if each.relation is Relation.WIDER}
    member = state.member(process)
    beyond: tuple[Change, ...] = ()
    if isinstance(member, Member) and isinstance(member.first, Process) and member.first.key != process.key:
        beyond = tuple(
            each
            for each in changes(process.confinement, member.first.confinement, member.frame)
            if each.relation is Relation.WIDER and each.aspect.name not in gained
        )
    return Node(process, state.container_of(process), parent, branch, edge, beyond, process.key in wanted)


def _age(process: Process) -> tuple[int, int]:
    return process.key.start_ticks, process.key.pid
