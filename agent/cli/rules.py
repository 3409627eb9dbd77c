"""``hullwatch rules``: the catalogue of detectors, and operators' own rules with their tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.cli.output import BAD, EXIT_CLEAN, EXIT_FINDINGS, SEVERITY_STYLES, Output, note, output_options
from agent.cli.tables import Cell, Column
from detectors.base import Detector
from detectors.catalog import DETECTORS

if TYPE_CHECKING:
    from agent.config_schema import Config
    from agent.rules_schema import RuleConfig

COLUMNS = (
    Column("ID"),
    Column("NAME"),
    Column("FAMILY"),
    Column("SEVERITY"),
    Column("SENSOR"),
    Column("ATT&CK"),
    Column("SUMMARY", 160, is_wide=True),
)
TEST_COLUMNS = (Column("RESULT"), Column("RULE"), Column("CASE", 60), Column("EXPECTED"), Column("PROBLEM", 120))

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The agent's configuration, for the rules in it.",
)


@click.group(invoke_without_command=True)
@config_option
@output_options
@click.pass_context
def rules(ctx: click.Context, config_path: Path | None, output: Output) -> None:
    """List what hullwatch detects.

    SEVERITY is the usual one; a detector may find a case worse or milder. SENSOR is the weakest sensor tier that sees
    the act reliably. "hullwatch explain ID" says more. With --config, the rules of that file are listed too.
    """
    if ctx.invoked_subcommand is not None:
        return
    own = of_operator(config_path)
    detectors = sorted((*DETECTORS, *own), key=lambda each: each.id)
    if output.is_table:
        output.table(COLUMNS, (_row(each) for each in detectors))
    else:
        output.document([of_detector(each, own.get(each)) for each in detectors])


@rules.command(name="test")
@click.argument("file", type=click.Path(path_type=Path))
@output_options
@click.pass_context
def try_cases(ctx: click.Context, file: Path, output: Output) -> None:
    """Try the tests that stand beside the rules in FILE, a configuration.

    Exit status: 0 every case came as expected, 1 one did not, or there is none, 2 FILE is wrong, and where.
    """
    from agent.rules import cases

    config = _read(file)
    results = list(cases.run(config.rules))
    if output.is_table and results:
        output.table(
            TEST_COLUMNS,
            (
                ((("failed", BAD),) if each.problem else "passed", each.rule_id, each.case, each.expected, each.problem)
                for each in results
            ),
        )
    elif not output.is_table:
        output.document(
            [
                {"rule": each.rule_id, "case": each.case, "expected": each.expected, "problem": each.problem or None}
                for each in results
            ]
        )
    failed = sum(bool(each.problem) for each in results)
    untried = [each.id for each in config.rules if not each.tests]
    note(f"{file}: {len(config.rules)} rules, {len(results)} cases, {failed} failed")
    if untried:
        note(f"{file}: without a test: {', '.join(untried)}")
    ctx.exit(EXIT_FINDINGS if failed or not results else EXIT_CLEAN)


def of_operator(config_path: Path | None) -> dict[Detector, RuleConfig]:
    """The rules of a configuration, as detectors and as they are written; none where no file is given."""
    if config_path is None:
        return {}
    found = _read(config_path).rules
    if not found:
        return {}
    from agent.rules.rule import detectors_of

    return dict(zip(detectors_of(found), found, strict=True))


def _read(config_path: Path) -> Config:
    from agent.cli.node import read  # late: it brings all collectors with it

    return read(config_path)


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


def of_detector(detector: Detector, rule: RuleConfig | None = None) -> dict[str, Any]:
    """The declaration as plain values; ``rule`` is what an operator wrote, where that is what it was made of."""
    written = {} if rule is None else {"events": list(rule.events), "scope": rule.scope, "when": rule.when}
    return {
        **written,
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
