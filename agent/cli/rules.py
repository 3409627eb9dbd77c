"""``hullwatch rules``: the catalogue of detectors."""

from __future__ import annotations

from typing import Any

import click

from agent.cli.output import SEVERITY_STYLES, Output, output_options
from agent.cli.tables import Cell, Column
from detectors.base import Detector
from detectors.catalog import DETECTORS

COLUMNS = (
    Column("ID"),
    Column("NAME"),
    Column("FAMILY"),
    Column("SEVERITY"),
    Column("SENSOR"),
    Column("ATT&CK"),
    Column("SUMMARY", 160, is_wide=True),
)


@click.command()
@output_options
def rules(output: Output) -> None:
    """List what hullwatch detects.

    SEVERITY is the usual one; a detector may find a case worse or milder. SENSOR is the weakest sensor tier that sees
    the act reliably. "hullwatch explain ID" says more.
    """
    detectors = sorted(DETECTORS, key=lambda each: each.id)
    if output.is_table:
        output.table(COLUMNS, (_row(each) for each in detectors))
    else:
        output.document([of_detector(each) for each in detectors])


def _row(detector: Detector) -> tuple[Cell, ...]:
    return (
        detector.id,
        detector.name,
        detector.family.value,
        ((detector.severity.name.lower(), SEVERITY_STYLES.get(detector.severity, "")),),
        detector.weakest.value,
        ", ".join(each.id for each in detector.techniques) or "-",
        " ".join(detector.summary.split()),
    )


def of_detector(detector: Detector) -> dict[str, Any]:
    """The declaration as plain values."""
    return {
        "id": detector.id,
        "name": detector.name,
        "family": detector.family.value,
        "severity": detector.severity.name.lower(),
        "severity_number": int(detector.severity),
        "weakest_sensor": detector.weakest.value,
        "summary": detector.summary,
        "techniques": [
            {"id": each.id, "name": each.name, "tactic_id": each.tactic_id, "tactic": each.tactic}
            for each in detector.techniques
        ],
        "benign": list(detector.benign),
        "misses": list(detector.misses),
        "advice": list(detector.advice),
        "references": list(detector.references),
    }
