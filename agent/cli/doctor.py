"""``hullwatch doctor``: what the agent needs of this node, what is missing, what that costs, and how to mend it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli import node
from agent.cli.output import (
    BAD,
    DOUBTFUL,
    EXIT_CLEAN,
    EXIT_FINDINGS,
    Output,
    Refused,
    note,
    output_options,
    paragraph,
)
from agent.cli.tables import Cell, Column
from collectors.errors import CollectorError

if TYPE_CHECKING:
    from agent.doctor.base import Answer, Surroundings

COLUMNS = (
    Column("AREA"),
    Column("CHECK"),
    Column("VERDICT"),
    Column("FOUND", 160),
    Column("COSTS", 120, is_wide=True),
    Column("MEND", 120, is_wide=True),
)

_STYLES = {"failed": BAD, "warning": DOUBTFUL}
_WIDEST = 100


@click.command()
@click.option(
    "--bundle",
    "bundle_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write a support archive (tar.gz) there: nothing secret is in it, and an existing file is kept.",
)
@node.config_option
@output_options
@click.pass_context
def doctor(ctx: click.Context, bundle_path: Path | None, config_path: Path | None, output: Output) -> None:
    """Say what the agent needs of this node, what is missing, what it costs and how to mend it.

    Sensors are really tried: the process connector is asked, the eBPF programs are loaded and at once taken out again.
    "failed" is what costs sight that the configuration asks for, "warning" what the agent can do without. Exit status:
    0 nothing failed, 1 something failed, 2 wrong usage or configuration.
    """
    from agent.doctor import bundle
    from agent.doctor.examination import examine, is_well, read_surroundings

    config = node.read(config_path)
    try:
        surroundings: Surroundings = ctx.obj if ctx.obj is not None else read_surroundings(config)
    except (OSError, CollectorError) as error:
        raise Refused(f"this node can't be examined: {error}") from error
    answers = examine(surroundings)
    if output.is_table:
        output.table(COLUMNS, map(_row, answers))
        if output.format.value == "table":
            _tell_what_is_wrong(answers, output)
    else:
        output.document([bundle.document(each) for each in answers])
    if bundle_path is not None:
        try:
            size = bundle.write_archive(bundle_path, bundle.members(surroundings, answers))
        except OSError as error:
            raise Refused(f"{bundle_path}: {error.strerror or error}") from error
        note(f"{bundle_path}: {size >> 10} KiB")
    ctx.exit(EXIT_CLEAN if is_well(answers) else EXIT_FINDINGS)


def _row(answer: Answer) -> tuple[Cell, ...]:
    style = _STYLES.get(answer.verdict.value, "")
    return (
        answer.area,
        answer.name,
        ((answer.verdict.value, style),),
        answer.found,
        answer.costs or "-",
        answer.mend or "-",
    )


def _tell_what_is_wrong(answers: tuple[Answer, ...], output: Output) -> None:
    """Below the table, what each missing thing costs and how to mend it."""
    width = min(output.width or shutil.get_terminal_size((_WIDEST, 0)).columns, _WIDEST)
    for answer in answers:
        if answer.verdict.value not in _STYLES:
            continue
        output.text(f"\n{answer.name}: {answer.verdict.value}")
        for title, text in (("costs", answer.costs), ("mend", answer.mend)):
            if text:
                output.text(paragraph(text, width=width, indent="  ", bullet=f"{title}: "))
