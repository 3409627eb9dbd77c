"""``hullwatch incidents``: the stories, and one of them from its beginning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from agent.cli import documents, inquiry, told
from agent.cli import verdict as verdicts
from agent.cli.agent_link import Agent, agent_options
from agent.cli.moments import instant, second
from agent.cli.output import BAD, Output, Refused, note, output_options, short_id, write
from agent.cli.story import Node, Story, drawn, tree
from agent.cli.tables import Cell, Column
from agent.cli.told import severity_cell, text
from agent.cli.verdict import Verdict
from agent.state import NodeState
from agent.text import clipped, to_text, valid, visible
from collectors.facts import Process, ProcessKey

COLUMNS = (
    Column("INCIDENT"),
    Column("SEVERITY"),
    Column("STATE"),
    Column("START"),
    Column("END"),
    Column("CONTAINER"),
    Column("CALLED", 32),
    Column("FINDINGS"),
    Column("WHY", 160),
)
STORY_COLUMNS = (
    Column("TIME"),
    Column("SEVERITY"),
    Column("RULE"),
    Column("NAME", is_wide=True),
    Column("PID"),
    Column("EVENT", is_wide=True),
    Column("WHAT", 200),
)
_LEAST_COMMAND = 20


@click.command()
@click.argument("wanted", metavar="[ID]", required=False)
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the story as one self-contained page.",
)
@agent_options
@output_options
def incidents(agent: Agent, wanted: str | None, page: Path | None, output: Output) -> None:
    """List the incidents: findings of one container that make a story. With an ID, tell it from its beginning.

    ID is that of an incident, or of an alert of it (event.id), or the start of one. The story says what happened in
    order, which process did it and who started that, and whether the container is contained now. Times are UTC.
    """
    if wanted is not None:
        _tell(agent, wanted, page, output)
        return
    if page is not None:
        raise click.UsageError("--html needs the ID of an incident")
    known, _ = inquiry.told_incidents(agent)
    if not output.is_table:
        output.document([_listed(each) for each in known])
    elif known:
        output.table(COLUMNS, (_row(each, no_trunc=output.no_trunc) for each in known))
    else:
        note("no incident was told yet: hullwatch alerts lists single findings")


def _row(incident: inquiry.Told, *, no_trunc: bool) -> tuple[Cell, ...]:
    summary = incident.summary
    container_id = _container_id(incident)
    return (
        incident.id if no_trunc else incident.id[: told.SHORT],
        severity_cell(told.severity_of(summary.get("severity"))),
        (("open", BAD),) if incident.is_open else "over",
        second(str(summary.get("start") or "")),
        second(str(summary.get("end") or "")),
        short_id(container_id, no_trunc=no_trunc) or "-",
        told.called(incident.alert),
        str(summary.get("findings") or ""),
        str(summary.get("why") or ""),
    )


def _container_id(incident: inquiry.Told) -> str:
    return text(incident.alert, "container.id") or str(incident.summary.get("container_id") or "")


def _listed(incident: inquiry.Told) -> dict[str, Any]:
    summary = incident.summary
    return {
        "id": incident.id,
        "is_open": incident.is_open,
        "severity": summary.get("severity"),
        "start": summary.get("start"),
        "end": summary.get("end"),
        "findings": summary.get("findings"),
        "why": summary.get("why"),
        "container": {"id": _container_id(incident), "called": told.called(incident.alert)},
    }


def _tell(agent: Agent, wanted: str, page: Path | None, output: Output) -> None:
    story = inquiry.find_story(agent, wanted)
    now = None
    if story.container_id:
        state = inquiry.node_state(agent, story.container_id)
        now = verdicts.verdict(state, story.container_id)
        story = replace(story, living=tuple(chain(state, each.process) for each in now.wide))
    if page is not None:
        from agent.cli.incident_page import render

        try:
            page.write_text(render(story, now), encoding="utf-8")
        except OSError as error:
            raise Refused(f"{page}: {error.strerror}") from error
        note(f"written: {page}")
    elif not output.is_table:
        output.document(document(story, now))
    else:
        _write(story, now, output)


def chain(state: NodeState, process: Process) -> tuple[told.Document, ...]:
    """A process and its ancestors, with the names that they have in alerts."""
    from agent.formats.ecs_process import entity_id

    return tuple(
        {
            "entity_id": entity_id(state.host.boot_id, each.key),
            "pid": each.key.pid,
            "name": to_text(each.name),
            "command_line": documents.command(each),
        }
        for each in (process, *state.ancestors(process))
    )


def document(story: Story, now: Verdict | None) -> dict[str, Any]:
    """The story as plain values."""
    return {
        "incident": {
            "id": story.id,
            "is_open": story.is_open,
            "severity": int(story.severity),
            "why": story.why,
            "start": story.start,
            "end": story.end,
            "findings": story.findings,
        },
        "container": {"id": story.container_id, "called": told.called(story.about)} if story.container_id else None,
        "now": verdicts.document(now) if now is not None else None,
        "exposures": list(story.exposures),
        "processes": [_process(node) for node in tree(story)],
        "alerts": list(story.alerts),
    }


def _process(node: Node) -> dict[str, Any]:
    return {
        "pid": node.pid,
        "entity_id": node.entity_id,
        "name": node.name,
        "command_line": node.command_line,
        "rules": node.rules,
        "children": [_process(each) for each in node.children],
    }


def _write(story: Story, now: Verdict | None, output: Output) -> None:
    output.lines(_heading(story, now, no_trunc=output.no_trunc))
    write("\n")
    given = [(str(each.get("timestamp") or ""), _exposure_row(each)) for each in story.exposures]
    found = [(text(each, "@timestamp"), _story_row(each)) for each in story.alerts]
    output.table(STORY_COLUMNS, (row for _, row in sorted((*given, *found), key=lambda each: each[0])))
    if story.findings > len(story.alerts):
        note(f"{story.findings - len(story.alerts)} of {story.findings} findings are no longer kept, or repeat others")
    roots = tree(story)
    if roots:
        output.text("\nPROCESSES")
        output.lines(
            (
                (f"  {branch}", ""),
                (process_line(node, now, _room(output, branch)), BAD if "LIVES" in fate(node, now) else ""),
            )
            for branch, node in drawn(roots)
        )
    output.text("\nNEXT")
    output.text("\n".join(_next(story)))


def _heading(story: Story, now: Verdict | None, *, no_trunc: bool) -> Iterator[Cell]:
    state = "still open" if story.is_open else "over"
    yield (
        (f"Incident {story.id}: ", ""),
        *severity_cell(story.severity),
        (f", {state}, {story.findings} findings", ""),
    )
    yield f"from {second(story.start)} to {second(story.end)} UTC"
    if story.container_id:
        image = text(story.about, "container.image.name")
        whose = f"Container {short_id(story.container_id, no_trunc=no_trunc)}: {told.called(story.about)}"
        yield whose + (f", image {image}" if image else "")
    else:
        yield "It is about the node, not about a container."
    if story.why:
        yield f"Why this severity: {story.why}"
    if now is not None:
        sentence, *processes = verdicts.lines(now)
        yield ""
        yield ((sentence, verdicts.STYLES.get(now.word, "")),)
        yield from processes


def _exposure_row(chapter: dict[str, Any]) -> tuple[Cell, ...]:
    return (
        instant(str(chapter.get("timestamp") or "")),
        severity_cell(told.severity_of(chapter.get("severity"))),
        str(chapter.get("rule_id") or ""),
        str(chapter.get("rule_name") or ""),
        "-",
        str(chapter.get("alert_id") or ""),
        f"given before: {chapter.get('reason')}",
    )


def _story_row(alert: dict[str, Any]) -> tuple[Cell, ...]:
    return (
        instant(text(alert, "@timestamp")),
        severity_cell(told.severity(alert)),
        text(alert, "rule.id"),
        text(alert, "rule.name"),
        text(alert, "process.pid") or "-",
        text(alert, "event.id"),
        told.finding(alert),
    )


def _room(output: Output, branch: str) -> int | None:
    """What the terminal leaves for a process of the tree."""
    return None if output.width is None or output.no_trunc else output.width - len(branch) - 2


def process_line(node: Node, now: Verdict | None, room: int | None = None) -> str:
    """A process of the tree: who it is, what was found of it, and whether it lives; the command gives way."""
    found = f"  <- {' '.join(node.rules)}" if node.rules else ""
    rest = f"{found}{fate(node, now)}"
    command = visible(valid(node.command_line or f"[{node.name}]"))
    if room is not None:
        command = clipped(command, max(room - len(f"{node.pid} {rest}"), _LEAST_COMMAND))
    return f"{node.pid} {command}{rest}"


def fate(node: Node, now: Verdict | None) -> str:
    """Of those of which something was found, and of those that are out."""
    if now is None or node.start_ticks is None:
        return ""
    key = ProcessKey(node.pid, node.start_ticks)
    wide = next((each for each in now.wide if each.process.key == key), None)
    if wide is not None:
        return " (LIVES, outside)" if wide.is_out else " (LIVES, widened)"
    if not node.rules:
        return ""
    return " (lives)" if key in now.live else " (ended)"


def _next(story: Story) -> Iterator[str]:
    worst = max(story.alerts, key=told.severity, default=None)  # the first of those that are as bad
    if worst is not None:
        rule = text(worst, "rule.id")
        yield f"  hullwatch explain {text(worst, 'event.id')}    what {rule} means, and what to do"
    if story.container_id:
        short = story.container_id[:12]
        yield f"  hullwatch ps {short}    its processes now"
        yield f"  hullwatch events {short}    what they do, live"
    yield f"  hullwatch incidents {story.id[: told.SHORT]} --html FILE    this story as a page"
