"""``hullwatch tree``: who started whom, and where on the way confinement became wider or narrower."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import click

from agent import describe
from agent.cli import documents, node
from agent.cli.changes import Change, words
from agent.cli.filters import Filter, filter_options
from agent.cli.lineage import Node, grow
from agent.cli.output import BAD, DOUBTFUL, Output, note, output_options, short_id
from agent.cli.ps import host_shared
from agent.cli.select import choose, display_name
from agent.cli.tables import Cell, Column, Span
from agent.state import NodeState
from collectors.confinement import Relation
from collectors.facts import Ids

COLUMNS = (
    Column("PID"),
    Column("USER"),
    Column("CONTAINER", 20),
    Column("HOST", 48, is_wide=True),
    Column("TREE", 160),
)

LABEL_WIDTH = 72
_EDGES = (
    (Relation.WIDER, "WIDER", BAD),
    (Relation.APART, "other", ""),
    (Relation.UNKNOWN, "not known", DOUBTFUL),
    (Relation.NARROWER, "narrower", ""),
)


@click.command()
@click.argument("wanted", metavar="CONTAINER|PID")
@filter_options
@node.look_options
@output_options
@click.pass_obj
def tree(look: node.Look | None, wanted: str, only: Filter, config_path: Any, output: Output) -> None:
    """Draw who started whom, and where confinement became wider or narrower.

    CONTAINER is a name, an id or the start of one; PID is the host's ("pid:123" where a number could be both). Drawn
    are the ancestors and all descendants. What stands on the line between a process and its parent is what the process
    has other than its parent, as both are now: WIDER in red. "WIDER than first" is what it has beyond its container's
    first process.
    """
    snapshot = (look or node.look)(node.read(config_path), False)  # noqa: FBT003 (a ``Look``)
    state = snapshot.state
    grown = grow(state, choose(state, wanted, only.admits))
    if not output.is_table:
        output.document([_document(state, each) for each in grown.nodes])
    elif grown.nodes:
        output.table(COLUMNS, (row for each in grown.nodes for row in _rows(state, each, output)))
    else:
        note("no process of that container was seen")
    if grown.left_out:
        note(f"{grown.left_out} processes lie deeper than is drawn")
    for line in snapshot.unseen:
        note(line)


def _rows(state: NodeState, node_: Node, output: Output) -> Iterator[tuple[Cell, ...]]:
    """The labels of the edge, then the process."""
    lines = "".join("│  " if goes_on else "   " for goes_on in node_.branch[:-1])
    room = max(min(LABEL_WIDTH, (output.width or 1 << 16) - _left_of_tree() - len(lines) - 3), 24)
    for text, style in _labels(state, node_):
        for line in textwrap.wrap(text, room, subsequent_indent="  ", break_on_hyphens=False):
            yield "", "", "", "", ((f"{lines}│ " if node_.branch else "  ", ""), (line, style))
    process, container = node_.process, node_.container
    elbow = ("├─ " if node_.branch[-1] else "└─ ") if node_.branch else ""
    leader = process.thread_of
    uids = process.confinement.uids
    command: list[Span] = [(lines + elbow, ""), (documents.command(process), "bold" if node_.is_wanted else "")]
    yield (
        str(process.key.pid) if leader is None else f"{leader.pid}/{process.key.pid}",
        str(uids.effective) if isinstance(uids, Ids) else "?",
        _called(container.id, display_name(container), no_trunc=output.no_trunc) if container is not None else "-",
        host_shared(state, process) if container is not None else "-",
        command,
    )


def _called(container_id: str, name: str, *, no_trunc: bool) -> str:
    return name if name != "-" else short_id(container_id, no_trunc=no_trunc)


def _left_of_tree() -> int:
    """The room that the columns before the tree take at most."""
    return 7 + 2 + 6 + 2 + (COLUMNS[2].width or 0) + 2


def _labels(state: NodeState, node_: Node) -> Iterator[tuple[str, str]]:
    """What stands on the edge, the worst first. Between processes of the host nobody misses what could not be read."""
    is_ours = node_.container is not None or (node_.parent is not None and state.container_of(node_.parent) is not None)
    for relation, name, style in _EDGES:
        said = words(node_.edge, relation)
        if said and (is_ours or relation is not Relation.UNKNOWN):
            yield f"{name}: {'; '.join(said)}", style
    if beyond := words(node_.beyond, Relation.WIDER):
        yield f"WIDER than first: {'; '.join(beyond)}", BAD


def _document(state: NodeState, node_: Node) -> documents.Document:
    container = node_.container
    return {
        "depth": len(node_.branch),
        "parent": node_.parent.key.pid if node_.parent is not None else None,
        "container": documents.of_container(container) if container is not None else None,
        "change": {
            relation.value: [_change(each) for each in node_.edge if each.relation is relation]
            for relation, _, _ in _EDGES
        },
        "wider_than_first": [_change(each) for each in node_.beyond],
        **documents.of_process(state, node_.process),
    }


def _change(change: Change) -> documents.Document:
    return {
        "aspect": change.aspect.name,
        "dimension": change.aspect.dimension.value,
        "was": describe.value(change.was),
        "now": describe.value(change.now),
    }
