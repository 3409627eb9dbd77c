"""``hullwatch mounts``: what was declared, what came later, and what leads to the host."""

from __future__ import annotations

import os
from typing import Any

import click

from agent.cli import documents, node
from agent.cli.comparison import resolve
from agent.cli.filters import Filter, filter_options
from agent.cli.mount_rows import Origin, Row, mount_rows, source_text
from agent.cli.output import BAD, DOUBTFUL, HOST, Output, Refused, note, output_options
from agent.cli.select import choose
from agent.cli.tables import Cell, Column
from agent.state import NodeState
from agent.text import to_text
from collectors.facts import Container, Mount, Process, Unknown

COLUMNS = (
    Column("MOUNT POINT", 48),
    Column("ORIGIN"),
    Column("ACCESS"),
    Column("TYPE", 16),
    Column("OPTIONS", 48, is_wide=True),
    Column("PROPAGATION", is_wide=True),
    Column("SOURCE", 48, is_wide=True),
    Column("ON THE HOST", 64),
    Column("GIVES", 80),
)

_STYLES = {Origin.NOT_DECLARED: DOUBTFUL, Origin.LATER: DOUBTFUL, Origin.MISSING: DOUBTFUL, Origin.UNKNOWN: DOUBTFUL}


@click.command()
@click.argument("wanted", metavar="CONTAINER|PID")
@filter_options
@node.look_options
@output_options
@click.pass_obj
def mounts(look: node.Look | None, wanted: str, only: Filter, config_path: Any, output: Output) -> None:
    """Tell a container's mounts apart: declared, the runtime's, later; and what leads to the host.

    CONTAINER is a name, an id or the start of one; a PID stands for the mount namespace of that process. ORIGIN is
    "declared" (in the bundle), "runtime" (its own doing), "propagated" (with a mount of the host), "not declared",
    "later" (not there when the container entered) or "missing". ON THE HOST is where the host has the same directory,
    and GIVES what a declared one opens. In red: what nobody declared and lies on a disk of the host, and what may be
    written though it was declared read-only ("rw!").
    """
    snapshot = (look or node.look)(node.read(config_path), False)  # noqa: FBT003 (a ``Look``)
    state = snapshot.state
    subject = resolve(state, choose(state, wanted, only.admits))
    if subject.container is None:
        raise Refused("that process belongs to no container: its mounts are the host's affair (findmnt -N shows them)")
    if subject.process is None:
        raise Refused("the first process of that container was not seen, so its mounts are not known")
    rows = mount_rows(state, subject.container, subject.process)
    if isinstance(rows, Unknown):
        note(f"the mounts are not known: {rows.why}")
        rows = ()
    if not output.is_table:
        output.document([_document(each) for each in rows])
    elif rows:
        output.table(COLUMNS, map(_row, rows))
    if isinstance(subject.container.declared, Unknown):
        note(f"what was declared is not known: {subject.container.declared.why}")
    for process in _elsewhere(state, subject.container, subject.process):
        pid = process.key.pid
        note(f"process {pid} of it has a mount namespace of its own: hullwatch mounts pid:{pid}")
    for line in snapshot.unseen:
        note(line)


def _row(row: Row) -> tuple[Cell, ...]:
    mount = row.mount
    style = BAD if row.is_suspect else _STYLES.get(row.origin, "")
    return (
        ((to_text(row.point), style),),
        ((row.origin.value, style),),
        _access(row),
        to_text(mount.fs_type) if mount is not None else (row.declared.fs_type if row.declared is not None else "-"),
        to_text(b",".join(mount.options)) if mount is not None else "-",
        _propagation(mount) if mount is not None else "-",
        source_text(mount) if mount is not None else (row.declared.source if row.declared is not None else "-"),
        ((to_text(row.host_path), BAD if row.is_suspect else ""),) if row.host_path is not None else "-",
        (("; ".join(row.gives), HOST),) if row.gives else "-",
    )


def _access(row: Row) -> Cell:
    if row.mount is None:
        return "-"
    if row.is_writable_beyond:
        return (("rw!", BAD),)
    return "ro" if row.mount.is_read_only else "rw"


def _propagation(mount: Mount) -> str:
    """As findmnt(8) names it."""
    if mount.shared is not None:
        return "shared" if mount.master is None else "shared,slave"
    return "private" if mount.master is None else "slave"


def _elsewhere(state: NodeState, container: Container, process: Process) -> list[Process]:
    """The first process in each further mount namespace of the container; the host's is no table to show."""
    found: dict[int, Process] = {}
    for each in sorted(state.processes(), key=lambda each: each.key):
        namespace = each.confinement.namespaces.mnt
        if not isinstance(namespace, int) or namespace in {
            process.confinement.namespaces.mnt,
            state.host.namespaces.mnt,
        }:
            continue
        if (owner := state.container_of(each)) is not None and owner.id == container.id:
            found.setdefault(namespace, each)
    return list(found.values())


def _document(row: Row) -> documents.Document:
    mount, declared = row.mount, row.declared
    return {
        "point": to_text(row.point),
        "origin": row.origin.value.replace(" ", "_"),
        "host_path": to_text(row.host_path) if row.host_path is not None else None,
        "is_host_disk": row.is_hosts,
        "is_writable_beyond_declared": row.is_writable_beyond,
        "gives": list(row.gives),
        "mount": None
        if mount is None
        else {
            "id": mount.mnt_id,
            "parent_id": mount.parent_id,
            "device": f"{os.major(mount.device)}:{os.minor(mount.device)}",
            "root": to_text(mount.root),
            "type": to_text(mount.fs_type),
            "source": to_text(mount.source),
            "options": [to_text(each) for each in mount.options],
            "read_only": mount.is_read_only,
            "propagation": _propagation(mount),
        },
        "declared": None
        if declared is None
        else {
            "destination": declared.destination,
            "source": declared.source,
            "type": declared.fs_type,
            "options": list(declared.options),
        },
    }
