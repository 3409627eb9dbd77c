"""What ``hullwatch scan --exposure`` shows: the ways out of every container, and what is weak about the node."""

from __future__ import annotations

from agent.cli import documents, node, ways_out
from agent.cli.filters import Filter
from agent.cli.output import EXIT_CLEAN, EXIT_FINDINGS, SEVERITY_STYLES, Output, note, short_id
from agent.cli.select import display_name
from agent.cli.tables import Column
from agent.config_schema import Config
from detectors.base import Severity

COLUMNS = (Column("CONTAINER"), Column("CALLED", 32), *ways_out.COLUMNS)
NODE_COLUMNS = (Column("SEVERITY"), Column("RULE"), Column("NODE", 160))


def show(snapshot: node.Snapshot, config: Config, least: Severity, only: Filter, output: Output) -> int:
    """Write it, without what is less severe than ``least`` or not asked for; the exit status."""
    containers = sorted(
        filter(only.admits, snapshot.state.containers()), key=lambda each: (display_name(each), each.id)
    )
    found = []
    for container in containers:
        ways, unknown = ways_out.of_container(container, snapshot, config, with_node=False)
        found.append((container, tuple(way for way in ways if way.severity >= least), unknown))
    of_node = (each for each in snapshot.alerts if each.detector.id == ways_out.NODE_RULE and only.is_any)
    weak = [each for each in of_node if each.severity >= least]
    weak.sort(key=lambda each: -each.severity)
    if output.is_table:
        rows = [
            (short_id(container.id, no_trunc=output.no_trunc), display_name(container), *ways_out.row(number, way))
            for container, ways, _ in found
            for number, way in enumerate(ways, start=1)
        ]
        if rows:
            output.table(COLUMNS, rows)
        if weak:
            output.table(
                NODE_COLUMNS,
                (
                    (
                        ((each.severity.name.lower(), SEVERITY_STYLES.get(each.severity, "")),),
                        each.detector.id,
                        each.reason,
                    )
                    for each in weak
                ),
            )
        note(f"{len(containers)} containers: {len(rows)} ways out, {len(weak)} weaknesses of the node")
    else:
        output.document(
            {
                "containers": [ways_out.document(*each) for each in found],
                "node": [documents.of_alert(each) for each in weak],
            }
        )
    for why in dict.fromkeys(why for _, _, unknown in found for why in unknown):
        note(f"could not tell: {why}")
    for line in snapshot.unseen:
        note(line)
    return EXIT_FINDINGS if weak or any(ways for _, ways, _ in found) else EXIT_CLEAN
