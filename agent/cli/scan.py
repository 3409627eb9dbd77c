"""``hullwatch scan``: one look at the node, judged by every detector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from agent.cli import documents, node
from agent.cli.filters import Filter, filter_options
from agent.cli.output import EXIT_CLEAN, EXIT_FINDINGS, SEVERITY_STYLES, Output, note, output_options, short_id
from agent.cli.select import display_name
from agent.cli.tables import Cell, Column
from detectors.base import Severity

if TYPE_CHECKING:
    from agent.report import Alert

COLUMNS = (
    Column("SEVERITY"),
    Column("RULE"),
    Column("NAME"),
    Column("CONTAINER"),
    Column("CALLED", 32),
    Column("PID"),
    Column("ATT&CK", is_wide=True),
    Column("IMAGE", 48, is_wide=True),
    Column("FINDING", 120),
)


@click.command()
@click.option(
    "--min-severity",
    type=click.Choice([each.name.lower() for each in Severity]),
    default=Severity.INFO.name.lower(),
    show_default=True,
    help="Leave out what is less severe, in the exit status too.",
)
@click.option(
    "--exposure",
    "is_exposure",
    is_flag=True,
    help="Instead of findings: the ways out of every container, ranked, and what is weak about the node.",
)
@filter_options
@node.look_options
@output_options
@click.pass_context
def scan(
    ctx: click.Context,
    min_severity: str,
    is_exposure: bool,  # noqa: FBT001 (click's)
    only: Filter,
    config_path: Any,
    output: Output,
) -> None:
    """Look at this node once, and say what got out or could.

    Sees what lives now, also what got out before: drift and exposures. An act that is over and left nothing behind
    needs the agent. JSON and YAML hold the alerts as the agent writes them (Elastic Common Schema). What could not be
    seen is said on stderr. Exit status: 0 clean, 1 findings, 2 wrong usage or no permission.
    """
    look: node.Look = ctx.obj or node.look
    config = node.read(config_path)
    snapshot = look(config, True)  # noqa: FBT003 (a ``Look``)
    least = Severity[min_severity.upper()]
    if is_exposure:
        from agent.cli import exposure  # knows every detector, which costs its time

        ctx.exit(exposure.show(snapshot, config, least, only, output))
    findings = (
        each
        for each in snapshot.alerts
        if each.phase is None and only.admits(each.container)  # incidents are for those who stay
    )
    alerts = sorted((each for each in findings if each.severity >= least), key=_order)
    for line in snapshot.unseen:
        note(line)
    if not output.is_table:
        output.document([documents.of_alert(each) for each in alerts])
    elif alerts:
        output.table(COLUMNS, (row(each, no_trunc=output.no_trunc) for each in alerts))
    if output.is_table:
        counts = snapshot.state.counts()
        note(
            f"looked at {counts['processes']} processes, {counts['container_processes']} of them in "
            f"{counts['containers']} containers: {len(alerts)} findings"
        )
    ctx.exit(EXIT_FINDINGS if alerts else EXIT_CLEAN)


def row(alert: Alert, *, no_trunc: bool) -> tuple[Cell, ...]:
    """A finding as a row of ``COLUMNS``."""
    return (
        ((alert.severity.name.lower(), SEVERITY_STYLES.get(alert.severity, "")),),
        alert.detector.id,
        alert.detector.name,
        short_id(alert.container_id or "-", no_trunc=no_trunc),
        display_name(alert.container) if alert.container is not None else "-",
        str(alert.subject.pid) if alert.subject is not None else "-",
        ",".join(each.id for each in alert.detector.techniques) or "-",
        (alert.container.image if alert.container is not None else None) or "-",
        alert.reason,
    )


def _order(alert: Alert) -> tuple[object, ...]:
    subject = alert.subject
    return (-alert.severity, alert.detector.id, alert.container_id or "", subject.pid if subject is not None else 0)
