"""``hullwatch inspect``: what confines a container or a process, beside what was declared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from agent.cli import documents, node, scan
from agent.cli.comparison import Row, Subject, host_mounts, plain, resolve, rows
from agent.cli.filters import Filter, filter_options
from agent.cli.output import BAD, DOUBTFUL, Output, note, output_options, write
from agent.cli.select import choose, display_name
from agent.cli.tables import Cell, Column
from agent.state import NodeState
from agent.text import to_text
from collectors.confinement import Relation
from collectors.facts import Mount, Unknown

if TYPE_CHECKING:
    from agent.report import Alert

ASPECT_WIDTH = 60
MOUNT_COLUMNS = (Column("MOUNT POINT", 60), Column("ACCESS"), Column("TYPE"), Column("SOURCE", 80))
FINDING_COLUMNS = (Column("SEVERITY"), Column("RULE"), Column("PID"), Column("FINDING", 120))

_VERDICTS: dict[Relation, tuple[str, str]] = {
    Relation.EQUAL: ("", ""),
    Relation.WIDER: ("WIDER", BAD),
    Relation.NARROWER: ("narrower", ""),
    Relation.APART: ("differs", ""),
    Relation.UNKNOWN: ("unknown", DOUBTFUL),
}


@click.command()
@click.argument("wanted", metavar="CONTAINER|PID")
@filter_options
@node.look_options
@output_options
@click.pass_obj
def inspect(look: node.Look | None, wanted: str, only: Filter, config_path: Any, output: Output) -> None:
    """Set what confines a container or process beside what was declared.

    CONTAINER is a name, an id or the start of one; PID is the host's ("pid:123" where a number could be both). For a
    container, its first process is compared with the bundle; for a process, with its container's first process. Then
    the mounts that lead to file systems of the host, and what detectors find.
    """
    snapshot = (look or node.look)(node.read(config_path), True)  # noqa: FBT003 (a ``Look``)
    state = snapshot.state
    subject = resolve(state, choose(state, wanted, only.admits))
    aspects = rows(state, subject)
    mounts = host_mounts(state, subject)
    alerts = [each for each in snapshot.alerts if _concerns(each, subject)]
    if output.is_table:
        _write_tables(state, subject, aspects, mounts, alerts, output)
    else:
        output.document(_document(state, subject, aspects, mounts, alerts))
    for line in snapshot.unseen:
        note(line)


def _concerns(alert: Alert, subject: Subject) -> bool:
    if subject.is_container:
        return subject.container is not None and alert.container_id == subject.container.id
    if subject.process is not None and alert.subject == subject.process.key:
        return True
    return subject.container is not None and alert.subject is None and alert.container_id == subject.container.id


def _write_tables(
    state: NodeState,
    subject: Subject,
    aspects: tuple[Row, ...],
    mounts: tuple[Mount, ...] | Unknown,
    alerts: list[Alert],
    output: Output,
) -> None:
    output.text("\n".join(_heading(state, subject)))
    if aspects:
        write("\n" + output.rendered_table(_aspect_columns(subject), (_aspect_row(each, subject) for each in aspects)))
    write("\n")
    if isinstance(mounts, Unknown):
        output.text(f"Mounts that lead to the host: {mounts.why}")
    elif mounts:
        write("Mounts that lead to the host:\n" + output.rendered_table(MOUNT_COLUMNS, map(_mount_row, mounts)))
    else:
        output.text("Mounts that lead to the host: none")
    write("\n")
    if alerts:
        write("Findings:\n" + output.rendered_table(FINDING_COLUMNS, (_finding_row(each) for each in alerts)))
    else:
        output.text("Findings: none")


def _heading(state: NodeState, subject: Subject) -> Iterator[str]:
    container, process = subject.container, subject.process
    if container is not None:
        image = f", image {_line(container.image)}" if container.image else ""
        yield f"Container {_line(container.id)}: {_line(display_name(container))} ({_line(container.runtime)}{image})"
        if isinstance(container.declared, Unknown):
            yield f"What was declared is not known: {_line(container.declared.why)}"
    if process is None:
        yield "Its first process was not seen."
        return
    what = "First process" if subject.is_container else "Process"
    yield f"{what} {process.key.pid}: {_line(documents.command(process))}"
    if container is None:
        yield "It belongs to no container."
    elif state.is_becoming(process):
        yield "It is the runtime's, on its way into the container."


def _line(text: str) -> str:
    return text.replace("\n", "\\n")


def _aspect_columns(subject: Subject) -> tuple[Column, ...]:
    observed = Column("OBSERVED", ASPECT_WIDTH)
    if subject.container is None:
        return (Column("ASPECT"), observed)
    if subject.is_container:
        return (Column("ASPECT"), Column("DECLARED", ASPECT_WIDTH), observed, Column("THAN DECLARED"))
    return (
        Column("ASPECT"),
        Column("DECLARED", ASPECT_WIDTH),
        Column("FIRST PROCESS", ASPECT_WIDTH),
        observed,
        Column("THAN FIRST"),
    )


def _aspect_row(row: Row, subject: Subject) -> tuple[Cell, ...]:
    verdict, style = _VERDICTS[row.relation] if row.relation is not None else ("?", DOUBTFUL)
    if row.beyond:
        verdict = f"{verdict} by {row.beyond}"
    observed: Cell = ((plain(row.observed), style if row.relation is Relation.WIDER else ""),)
    if subject.container is None:
        return (row.aspect.name, observed)
    asked = plain(row.declared or "?")
    if subject.is_container:
        return (row.aspect.name, asked, observed, ((verdict, style),))
    return (row.aspect.name, asked, plain(row.first or "?"), observed, ((verdict, style),))


def _mount_row(mount: Mount) -> tuple[Cell, ...]:
    access: Cell = "ro" if mount.is_read_only else (("rw", DOUBTFUL),)
    source = to_text(mount.source) + (f" [{to_text(mount.root)}]" if mount.root != b"/" else "")
    return (to_text(mount.point), access, to_text(mount.fs_type), source)


def _finding_row(alert: Alert) -> tuple[Cell, ...]:
    cells = scan.row(alert, no_trunc=False)
    return (cells[0], cells[1], cells[5], cells[-1])


def _document(
    state: NodeState,
    subject: Subject,
    aspects: tuple[Row, ...],
    mounts: tuple[Mount, ...] | Unknown,
    alerts: list[Alert],
) -> dict[str, Any]:
    container, process = subject.container, subject.process
    return {
        "container": documents.of_container(container) if container is not None else None,
        "process": documents.of_process(state, process) if process is not None else None,
        "compared_with": "declared" if subject.is_container else "first_process",
        "aspects": [
            {
                "aspect": each.aspect.name,
                "dimension": each.aspect.dimension.value,
                "declared": each.declared,
                "first_process": each.first,
                "observed": each.observed,
                "relation": each.relation.value if each.relation is not None else None,
            }
            for each in aspects
        ],
        "host_mounts_unknown": mounts.why if isinstance(mounts, Unknown) else None,
        "host_mounts": []
        if isinstance(mounts, Unknown)
        else [
            {
                "point": to_text(each.point),
                "read_only": each.is_read_only,
                "type": to_text(each.fs_type),
                "source": to_text(each.source),
                "root": to_text(each.root),
            }
            for each in mounts
        ],
        "findings": [documents.of_alert(each) for each in alerts],
    }
