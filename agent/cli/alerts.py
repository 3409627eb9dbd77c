"""``hullwatch alerts``: what the agent has told, and tells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

import click

from agent.cli import told
from agent.cli.agent_link import Agent, agent_options
from agent.cli.narrowing import Wanted, alert_filters
from agent.cli.output import Format, Output, note, output_options
from agent.cli.stream import Stream


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with alerts as they come, until interrupted.")
@click.option(
    "--limit", type=click.IntRange(0, 10_000), default=100, show_default=True, help="At most so many of the past."
)
@alert_filters
@agent_options
@output_options
def alerts(agent: Agent, wanted: Wanted, output: Output, *, follow: bool, limit: int) -> None:
    """List the alerts of the running agent, the newest last.

    The history is as long as the agent keeps it (state.max_age_seconds); -f goes on with what comes. Times are UTC.
    JSON and YAML hold the alerts as the agent writes them (Elastic Common Schema). Next: "hullwatch incidents ID" with
    what INCIDENT shows tells the whole story, "hullwatch explain EVENT" what one alert means (-o wide shows EVENT).
    """
    ask = agent.follow if follow else agent.ask
    values = ask("alerts", wanted=wanted, limit=limit, follow=follow)
    past: list[told.Document] = []
    for value in values:
        if value is None:
            break
        past.append(decoded(value))
    past.reverse()
    if follow:
        _follow(chain(past, map(decoded, values)), output)
    elif not output.is_table:
        output.document(past)
    elif past:
        output.table(told.COLUMNS, (told.row(each, no_trunc=output.no_trunc) for each in past))
    if not follow and len(past) == limit:
        note(f"these are the newest {limit}: --limit shows more, --since and the other filters fewer")
    elif not follow and not past:
        note("no alert" + (" fits" if wanted else " was told yet"))


def decoded(value: Any) -> told.Document:
    """An alert as the agent sends it: the bytes of its JSON."""
    document = json.loads(value)
    return document if isinstance(document, dict) else {}


def _follow(documents: Iterator[told.Document], output: Output) -> None:
    stream = Stream(told.COLUMNS, told.WIDTHS, output)
    if output.is_table:
        stream.heading()
    for document in documents:
        if output.is_table:
            stream.row(told.row(document, no_trunc=output.no_trunc))
        elif output.format is Format.JSON:
            output.document(document)
        else:
            output.document([document])
