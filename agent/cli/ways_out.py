"""``hullwatch ways-out``: how somebody inside a container would get out, by what it was given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import click

from agent.cli import documents, node
from agent.cli.filters import Filter, filter_options
from agent.cli.output import SEVERITY_STYLES, Format, Output, note, output_options, paragraph, short_id
from agent.cli.select import choose_container, display_name
from agent.cli.tables import Cell, Column
from agent.config_schema import Config
from agent.report import Alert
from agent.ways_out import Exposure, Way, find_exposures, rank
from collectors.facts import Container
from detectors.catalog import DETECTORS, by_id

COLUMNS = (
    Column("#"),
    Column("TAKES"),
    Column("GIVES"),
    Column("BY RULE"),
    Column("DECLARED", 64),
    Column("SEEN BY"),
    Column("STEPS", 160),
)

NODE_RULE = "HW-351"
INDENT = 6
_UNWRAPPED = 1 << 20


@click.command("ways-out")
@click.argument("wanted", metavar="CONTAINER")
@filter_options
@node.look_options
@output_options
@click.pass_obj
def ways_out(look: node.Look | None, wanted: str, only: Filter, config_path: Any, output: Output) -> None:
    """Rank the ways out of a container: by which fact, which steps, seen by what.

    CONTAINER is a name, an id or the start of one. The list is made of what was declared for the container, exceptions
    or not, and of the node's own weaknesses. Each begins with how much it takes: one step, a few steps, or a fault of
    the kernel or the runtime besides. "Seen by" names the detectors that run here and would tell. -o wide has a line
    for each way.
    """
    config = node.read(config_path)
    snapshot = (look or node.look)(config, True)  # noqa: FBT003 (a ``Look``)
    container = choose_container(snapshot.state, wanted, only.admits)
    ways, unknown = of_container(container, snapshot, config, with_node=True)
    if not output.is_table:
        output.document(document(container, ways, unknown))
    elif ways:
        heading = f"Container {short_id(container.id, no_trunc=output.no_trunc)}: {display_name(container)}"
        output.text(heading.replace("\n", "\\n"))
        if output.format is Format.WIDE:
            output.table(COLUMNS, (row(number, way) for number, way in enumerate(ways, start=1)))
        else:
            output.lines(line for number, way in enumerate(ways, start=1) for line in told(number, way, output))
    else:
        note("no way out is known: nothing was declared that opens one")
    for why in unknown:
        note(f"could not tell: {why}")
    for line in snapshot.unseen:
        note(line)


def of_container(
    container: Container, snapshot: node.Snapshot, config: Config, *, with_node: bool
) -> tuple[tuple[Way, ...], tuple[str, ...]]:
    """The ranked ways out of a container, those that the node opens to all of them included or not; what is unknown."""
    enabled = {each.id for each in DETECTORS} - set(config.detectors.disabled)
    exposures, unknown = find_exposures(container, snapshot.state, DETECTORS)
    return rank(exposures, of_node(snapshot.alerts) if with_node else (), enabled), unknown


def of_node(alerts: Iterable[Alert]) -> tuple[Exposure, ...]:
    """What was found of the node itself."""
    return tuple(
        Exposure(each.detector.id, each.severity, dict(each.evidence))
        for each in alerts
        if each.detector.id == NODE_RULE
    )


def told(number: int, way: Way, output: Output) -> Iterator[Cell]:
    """A way in a few lines that need no wide terminal: what it takes, by what, how, and who would see it."""
    width = _UNWRAPPED if output.no_trunc or output.width is None else output.width
    head = paragraph(f"{way.ease.text}, gives {way.gain.text}: {way.declared} ({way.rule_id})", width=width - 4)
    first, *more = head.split("\n")
    style = SEVERITY_STYLES.get(way.severity, "")
    yield ((f"{number:>2}  ", "bold"), (way.ease.text, style), (first.removeprefix(way.ease.text), ""))
    yield from (f"    {line}" for line in more)
    for word, text in (("how", "; ".join(way.steps)), ("seen by", ", ".join(way.seen_by) or "nothing")):
        for line in paragraph(f"{word}: {text}", width=width - INDENT).split("\n"):
            yield f"{' ' * INDENT}{line}"


def row(number: int, way: Way) -> tuple[Cell, ...]:
    """A way as a row of ``COLUMNS``."""
    return (
        str(number),
        ((way.ease.text, SEVERITY_STYLES.get(way.severity, "")),),
        way.gain.text,
        way.rule_id,
        way.declared,
        ",".join(way.seen_by) or "-",
        "; ".join(way.steps),
    )


def document(container: Container, ways: tuple[Way, ...], unknown: tuple[str, ...]) -> documents.Document:
    """The list as plain values."""
    return {
        "container": documents.of_container(container),
        "ways": [
            {
                "rank": number,
                "takes": way.ease.text,
                "gives": way.gain.text,
                "declared": way.declared,
                "rule": _rule(way.rule_id),
                "severity": way.severity.name.lower(),
                "steps": list(way.steps),
                "seen_by": [_rule(each) for each in way.seen_by],
            }
            for number, way in enumerate(ways, start=1)
        ],
        "unknown": list(unknown),
    }


def _rule(rule_id: str) -> documents.Document:
    detector = by_id(rule_id)
    return {"id": rule_id, "name": detector.name if detector is not None else None}
