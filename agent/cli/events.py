"""``hullwatch events``: what containers do, live."""

from __future__ import annotations

from typing import Any

import click

from agent.cli import inquiry, told
from agent.cli.agent_link import Agent, agent_options
from agent.cli.moments import clock
from agent.cli.narrowing import Wanted, container_filters
from agent.cli.output import BAD, DOUBTFUL, HOST, Format, Output, note, output_options, short_id
from agent.cli.select import choose_container
from agent.cli.stream import Stream
from agent.cli.tables import Cell, Column

COLUMNS = (
    Column("TIME"),
    Column("EVENT"),
    Column("CONTAINER"),
    Column("CALLED"),
    Column("PID"),
    Column("PARENT", is_wide=True),
    Column("UID", is_wide=True),
    Column("WHAT"),
)
WIDTHS = (12, 11, 12, 20, 7, 7, 6)

_STYLES = {
    "namespaces": BAD,
    "root": BAD,
    "refused": HOST,
    "change": DOUBTFUL,
    "credentials": DOUBTFUL,
    "lost": BAD,
    "call": HOST,
    "file": HOST,
    "reached": BAD,
    "mounted": HOST,
}

_SIGHT = {
    "ebpf": "every program, end, change and watched call is seen; the same call of one process is told once",
    "netlink": "a program that ends before it is looked at is not seen, nor are system calls; changed namespaces and "
    "mounts are seen when the process is looked at next",
    "poll": "only what still lives at a sweep is seen: no short program, no system call, no exact time",
}
"""What a tier shows, and what it can't."""


@click.command()
@click.argument("wanted_container", metavar="[CONTAINER]", required=False)
@click.option("-f", "--follow", is_flag=True, help="Understood without being said: events are not kept.")
@click.option("--host", is_flag=True, help="The host's own processes too.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="End after so many events.")
@container_filters
@agent_options
@output_options
def events(
    agent: Agent,
    wanted: Wanted,
    wanted_container: str | None,
    output: Output,
    *,
    follow: bool,
    host: bool,
    limit: int | None,
) -> None:
    """Show what containers do, as it happens: programs, exits, changed namespaces and credentials, mounts.

    CONTAINER is a name, an id or the start of one; without it, all of them; one that is yet to come can be awaited with
    --container. What is seen is what the agent's sensor sees, and the first line on stderr says what it can't. The ebpf
    tier tells every program and every end of a process as long as somebody watches: of one container if CONTAINER is
    given, else of all. Times are UTC.
    """
    del follow
    if wanted_container is not None:
        wanted = {**wanted, "container": choose_container(inquiry.node_state(agent), wanted_container).id}
    stream = Stream(COLUMNS, WIDTHS, output)
    values = agent.follow("events", wanted=wanted, host=host, greet=True)
    tier = str(next(values).get("watching"))
    note(f"watching (sensor {tier}: {_SIGHT.get(tier, 'not known here')}); Ctrl-C ends it")
    if output.is_table:
        stream.heading()
    for number, value in enumerate(values, start=1):
        if output.is_table:
            stream.row(row(value, no_trunc=output.no_trunc))
        else:
            output.document(value if output.format is Format.JSON else [value])
        if number == limit:
            return


def row(event: told.Document, *, no_trunc: bool) -> tuple[Cell, ...]:
    """An event as a row of ``COLUMNS``."""
    kind = told.text(event, "kind")
    pod = told.text(event, "container.pod")
    name = told.text(event, "container.name")
    return (
        clock(told.text(event, "timestamp")),
        ((kind, _STYLES.get(kind, "")),),
        short_id(told.text(event, "container.id"), no_trunc=no_trunc) or "-",
        f"{told.text(event, 'container.namespace')}/{pod}" if pod else name or "-",
        told.text(event, "process.pid") or "-",
        told.text(event, "process.parent_pid") or "-",
        told.text(event, "process.uid") or "-",
        what(event),
    )


def what(event: told.Document) -> str:  # noqa: C901, PLR0911 (one return a kind of event)
    """What happened, in words."""
    command = told.text(event, "process.command_line") or f"[{told.text(event, 'process.name')}]"
    match event.get("kind"):
        case "container" | "container gone" | "lost":
            return "; ".join(f"{each}: {event[each]}" for each in ("source", "reason", "count") if each in event) or "-"
        case "mounts":
            parts = [f"+ {_mount(each)}" for each in event.get("added", ())]
            return "; ".join(parts + [f"- {_mount(each)}" for each in event.get("removed", ())])
        case "mounted":
            return f"+ {_mount(event)}: {command}"
        case "refused":
            return f"{told.text(event, 'call')} refused with errno {told.text(event, 'errno')}: {command}"
        case "call":
            path, error = told.text(event, "path"), told.text(event, "errno")
            refused = f" refused with errno {error}" if error != "0" else ""
            return f"{told.text(event, 'call')}{f' {path}' if path else ''}{refused}: {command}"
        case "file":
            return f"{told.text(event, 'touch')} {told.text(event, 'path')}: {command}"
        case "reached":
            return f"{told.text(event, 'call')} of process {told.text(event, 'target_pid')}: {command}"
        case "ptrace":
            return f"attached to process {told.text(event, 'target_pid')}: {command}"
        case "connected":
            server = told.text(event, "server")
            return f"to {told.text(event, 'to')}" + (f", served by {server}" if server else "")
        case "raw socket":
            return f"{told.text(event, 'family')} socket, protocol {told.text(event, 'protocol')}"
        case _:
            changed = "; ".join(_changed(each) for each in event.get("changed", ()))
            return f"{command}: {changed}" if changed else command


def _mount(mount: dict[str, Any]) -> str:
    return f"{mount.get('source')} on {mount.get('point') or 'no mount point'} ({mount.get('type')})"


def _changed(change: dict[str, Any]) -> str:
    return f"{change.get('aspect')} {change.get('was')} -> {change.get('now')}"
