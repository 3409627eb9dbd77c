"""``hullwatch containers``: the containers of this node, and how each stands."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from agent.cli import documents, inquiry, told
from agent.cli import verdict as verdicts
from agent.cli.agent_link import Agent, agent_options
from agent.cli.filters import Filter, filter_options
from agent.cli.output import Output, note, output_options, short_id
from agent.cli.select import display_name
from agent.cli.tables import Cell, Column
from agent.cli.told import severity_cell
from agent.cli.verdict import Verdict
from agent.state import NodeState
from collectors.facts import Container, Unknown

COLUMNS = (
    Column("CONTAINER"),
    Column("NAME", 40),
    Column("RUNTIME"),
    Column("IMAGE", 40),
    Column("FIRST PID", is_wide=True),
    Column("PROCESSES"),
    Column("NOW"),
    Column("INCIDENT"),
    Column("SEVERITY"),
    Column("GIVEN", 60),
)


@click.command()
@filter_options
@agent_options
@output_options
def containers(agent: Agent, only: Filter, output: Output) -> None:
    """List the containers that the running agent watches, and how each stands.

    NOW is "out" when a live process of it is outside it, "widened" when one can do more than it may, "unknown" when one
    could not be compared, else "contained".
    INCIDENT is its latest story, GIVEN the rules of the ways out that it was given (hullwatch ways-out explains them).
    """
    state = inquiry.node_state(agent)
    known, exposures = inquiry.told_incidents(agent)
    found = sorted(filter(only.admits, state.containers()), key=lambda each: (display_name(each), each.id))
    latest = {str(each.summary.get("container_id") or told.text(each.alert, "container.id")): each for each in known}
    now = verdicts.verdicts(state)
    rows = [
        (
            each,
            now.get(each.id) or Verdict(each.id, frozenset(), (), 0),
            latest.get(each.id),
            _given(exposures.get(each.id, [])),
        )
        for each in found
    ]
    if not output.is_table:
        output.document([_document(state, *each) for each in rows])
    elif rows:
        output.table(COLUMNS, (_row(*each, no_trunc=output.no_trunc) for each in rows))
    else:
        note("no container" + (" fits" if not only.is_any else " runs on this node"))


def _given(chapters: list[dict[str, Any]]) -> list[str]:
    return list(Counter(str(each.get("rule_id")) for each in chapters))


def _row(
    container: Container, now: Verdict, incident: inquiry.Told | None, given: list[str], *, no_trunc: bool
) -> tuple[Cell, ...]:
    return (
        short_id(container.id, no_trunc=no_trunc),
        display_name(container),
        container.runtime,
        container.image or "-",
        str(container.first_pid or "-"),
        str(len(now.live)),
        ((now.word, verdicts.STYLES.get(now.word, "")),),
        (incident.id if no_trunc else incident.id[: told.SHORT]) if incident is not None else "-",
        severity_cell(told.severity_of(incident.summary.get("severity"))) if incident is not None else "-",
        ",".join(given) or "-",
    )


def _document(
    state: NodeState, container: Container, now: Verdict, incident: inquiry.Told | None, given: list[str]
) -> dict[str, Any]:
    first = state.first_process(container.id)
    return {
        "container": documents.of_container(container),
        "first_process": None if isinstance(first, Unknown) else first.key.pid,
        "now": verdicts.document(now),
        "incident": incident.id if incident is not None else None,
        "given": given,
    }
