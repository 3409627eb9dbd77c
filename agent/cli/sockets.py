"""``hullwatch sockets``: who listens for orders on this node, and which containers can give them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from agent.cli import documents, node
from agent.cli.filters import Filter, filter_options
from agent.cli.output import BAD, HOST, Output, note, output_options, short_id
from agent.cli.reach import Hold, holds
from agent.cli.select import choose_container, display_name
from agent.cli.tables import Cell, Column
from agent.text import to_text
from collectors.errors import CollectorError

if TYPE_CHECKING:
    from collectors.governing import GoverningSocket

COLUMNS = (
    Column("SOCKET", 64),
    Column("MODE", is_wide=True),
    Column("LISTENS", 48),
    Column("CONTAINER", 32),
    Column("HOW"),
    Column("AS", 64),
    Column("PID"),
)


@click.command()
@click.argument("wanted", metavar="[CONTAINER]", required=False)
@filter_options
@node.look_options
@output_options
@click.pass_obj
def sockets(look: node.Look | None, wanted: str | None, only: Filter, config_path: Any, output: Output) -> None:
    """List the sockets that govern containers or the host, and which containers reach or hold them.

    Who listens decides: a container runtime, a kubelet; and the places where their sockets are by default. HOW is
    "mount" (the container sees the socket's file, at AS), "host net namespace" or "host mnt namespace" (it sees what
    the host sees), or "connected", in bold red: it is being used. With CONTAINER only what that one comes to.
    """
    snapshot = (look or node.look)(node.read(config_path), True)  # noqa: FBT003 (a ``Look``)
    state = snapshot.state
    chosen = choose_container(state, wanted, only.admits).id if wanted is not None else None
    try:
        governing = snapshot.read_governing()
    except CollectorError as error:
        note(f"the host's sockets are not known: {error}")
        governing = ()
    found = [
        (socket, [each for each in holds(state, socket, snapshot.connections) if _is_meant(each, chosen, only)])
        for socket in governing
    ]
    if chosen is not None or not only.is_any:
        found = [(socket, held) for socket, held in found if held]
    if not output.is_table:
        output.document([_document(socket, held) for socket, held in found])
    elif found:
        output.table(COLUMNS, (row for socket, held in found for row in _rows(socket, held, output)))
    else:
        note("no governing socket was found" if chosen is None and only.is_any else "none is in reach of it")
    for line in snapshot.unseen:
        note(line)


def _is_meant(hold: Hold, chosen: str | None, only: Filter) -> bool:
    return only.admits(hold.container) and chosen in {None, hold.container.id}


def _rows(socket: GoverningSocket, held: Iterable[Hold], output: Output) -> Iterable[tuple[Cell, ...]]:
    left = (to_text(socket.name), _mode(socket), _listeners(socket))
    shown = [(*left, *_cells(each, output)) for each in held]
    return shown or [(*left, "-", "-", "-", "-")]


def _cells(hold: Hold, output: Output) -> tuple[Cell, ...]:
    style = BAD if hold.is_connected else HOST
    name = display_name(hold.container)
    return (
        short_id(hold.container.id, no_trunc=output.no_trunc) if name == "-" else name,
        ((hold.how, style),),
        to_text(hold.path) if hold.path is not None else "-",
        str(hold.pid) if hold.pid is not None else "-",
    )


def _mode(socket: GoverningSocket) -> str:
    return "-" if socket.mode is None else f"{socket.mode:04o} {socket.uid}:{socket.gid}"


def _listeners(socket: GoverningSocket) -> str:
    names = (f"{to_text(each.program.rsplit(b'/', 1)[-1])}({each.key.pid})" for each in socket.listeners)
    return ",".join(names) or "nobody"


def _document(socket: GoverningSocket, held: Iterable[Hold]) -> documents.Document:
    return {
        "socket": to_text(socket.name),
        "kind": socket.kind,
        "mode": None if socket.mode is None else f"{socket.mode:04o}",
        "uid": socket.uid,
        "gid": socket.gid,
        "listeners": [{"pid": each.key.pid, "program": to_text(each.program)} for each in socket.listeners],
        "containers": [
            {
                "container": documents.of_container(each.container),
                "how": each.how.replace(" ", "_"),
                "path": to_text(each.path) if each.path is not None else None,
                "pid": each.pid,
            }
            for each in held
        ],
    }
