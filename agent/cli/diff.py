"""``hullwatch diff``: what a container has against what was declared, or against what another one has."""

from __future__ import annotations

from typing import Any

import click

from agent.cli import documents, node
from agent.cli.comparison import resolve
from agent.cli.difference import Difference, between, from_declared
from agent.cli.filters import Filter, filter_options
from agent.cli.output import BAD, DOUBTFUL, EXIT_CLEAN, EXIT_FINDINGS, Output, Refused, note, output_options, short_id
from agent.cli.select import choose_container, display_name
from agent.cli.tables import Cell, Column
from agent.state import NodeState
from collectors.confinement import Relation
from collectors.facts import Container, Unknown

_WIDTH = 56
_VERDICTS = {
    Relation.WIDER: ("WIDER", BAD),
    Relation.NARROWER: ("narrower", ""),
    Relation.APART: ("differs", ""),
    Relation.UNKNOWN: ("unknown", DOUBTFUL),
    Relation.EQUAL: ("", ""),
}


@click.command()
@click.argument("wanted", metavar="CONTAINER")
@click.argument("other", metavar="[OTHER]", required=False)
@filter_options
@node.look_options
@output_options
@click.pass_context
def diff(ctx: click.Context, wanted: str, other: str | None, only: Filter, config_path: Any, output: Output) -> None:
    """Show where a container is not as it was declared, or not as another one.

    With one CONTAINER (a name, an id or the start of one): what its bundle declared on the left, what it has on the
    right. With OTHER: both first processes as they are, then both declarations. The last column says whether the right
    side is wider. Exit status: 0 no difference, 1 differences, 2 wrong usage or no permission.
    """
    look: node.Look = ctx.obj or node.look
    snapshot = look(node.read(config_path), False)  # noqa: FBT003 (a ``Look``)
    state = snapshot.state
    container = choose_container(state, wanted, only.admits)
    if other is None:
        sides = ("DECLARED", "OBSERVED")
        found = _against_declared(state, container)
    else:
        second = choose_container(state, other, only.admits)
        sides = (_side(container, output), _side(second, output))
        found = between(state, container, second)
    if not output.is_table:
        output.document([_document(each) for each in found])
    elif found:
        left, right = (Column(each, _WIDTH) for each in sides)
        output.table((Column("WHAT", 48), left, right, Column("RIGHT SIDE IS", 80)), map(_row, found))
    else:
        note("no difference")
    for line in snapshot.unseen:
        note(line)
    ctx.exit(EXIT_FINDINGS if any(_counts(each) for each in found) else EXIT_CLEAN)


def _against_declared(state: NodeState, container: Container) -> tuple[Difference, ...]:
    if isinstance(container.declared, Unknown):
        raise Refused(f"what was declared for that container is not known: {container.declared.why}")
    subject = resolve(state, container)
    if subject.process is None:
        raise Refused("the first process of that container was not seen")
    return from_declared(state, subject)


def _side(container: Container, output: Output) -> str:
    name = display_name(container)
    return short_id(container.id, no_trunc=output.no_trunc) if name == "-" else name


def _counts(difference: Difference) -> bool:
    """What both share is told, and is no difference."""
    return difference.left != difference.right


def _row(difference: Difference) -> tuple[Cell, ...]:
    verdict, style = _VERDICTS[difference.relation] if difference.relation is not None else ("", "")
    if difference.beyond:
        verdict = f"{verdict} by {difference.beyond}"
    return (
        difference.what,
        difference.left,
        ((difference.right, style if difference.relation is Relation.WIDER else ""),),
        ((verdict, style),),
    )


def _document(difference: Difference) -> documents.Document:
    return {
        "what": difference.what,
        "left": difference.left,
        "right": difference.right,
        "relation": difference.relation.value if difference.relation is not None else None,
        "beyond": difference.beyond or None,
    }
