"""``hullwatch ps``: the processes of containers, and what each shares with the host."""

from __future__ import annotations

from typing import Any

import click

from agent import describe
from agent.cli import documents, node
from agent.cli.filters import Filter, filter_options
from agent.cli.output import BAD, DOUBTFUL, HOST, Output, note, output_options, short_id
from agent.cli.select import choose_container, display_name
from agent.cli.tables import Cell, Column, Span
from agent.state import NodeState
from collectors.capabilities import ALL, NUMBERS, names
from collectors.facts import NAMESPACE_KINDS, Capabilities, Container, Ids, Process, Seccomp, SeccompMode, Unknown
from detectors.base import Member

COLUMNS = (
    Column("CONTAINER"),
    Column("NAME", 32),
    Column("PID"),
    Column("NS PID", is_wide=True),
    Column("PPID", is_wide=True),
    Column("USER"),
    Column("HOST", 48),
    Column("CAPS", 32),
    Column("SECCOMP"),
    Column("LABEL", 40, is_wide=True),
    Column("IMAGE", 48, is_wide=True),
    Column("COMMAND", 80),
)

USUAL = frozenset({"user", "cgroup", "time"})
"""Namespaces that runtimes leave the host's by default: shown, but no cause for alarm by themselves."""

_NOTABLE = (
    "CAP_SYS_ADMIN CAP_SYS_MODULE CAP_SYS_PTRACE CAP_SYS_RAWIO CAP_DAC_READ_SEARCH CAP_BPF CAP_PERFMON CAP_SYS_BOOT "
    "CAP_SYSLOG CAP_NET_ADMIN CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_CHECKPOINT_RESTORE"
)
NOTABLE_CAPABILITIES = sum(1 << NUMBERS[name] for name in _NOTABLE.split(" "))
"""Those of HW-303 that no runtime gives by default."""


@click.command()
@click.argument("wanted", metavar="[CONTAINER]...", nargs=-1)
@filter_options
@node.look_options
@output_options
@click.pass_obj
def ps(look: node.Look | None, wanted: tuple[str, ...], only: Filter, config_path: Any, output: Output) -> None:
    """List the processes of containers, and what each shares with the host.

    CONTAINER is a name, an id or the start of one. HOST names the host's namespaces that a process has, and "root" when
    its root directory is the host's: in red what is not the host's by default, with a "!" what the container's first
    process has not. CAPS counts the effective capabilities and names the powerful ones. USER is the uid on the host.
    """
    snapshot = (look or node.look)(node.read(config_path), False)  # noqa: FBT003 (a ``Look``)
    state = snapshot.state
    chosen = {choose_container(state, each, only.admits).id for each in wanted}
    found = [
        (container, process)
        for process in state.processes()
        if (container := state.container_of(process)) is not None
        and only.admits(container)
        and (not chosen or container.id in chosen)
    ]
    found.sort(key=lambda each: (display_name(each[0]), each[0].id, each[1].key))
    if output.is_table:
        if found:
            output.table(COLUMNS, (_row(state, *each, no_trunc=output.no_trunc) for each in found))
        else:
            note("no container runs on this node" if only.is_any else "no such container runs on this node")
    else:
        output.document(
            [
                {"container": documents.of_container(container), **documents.of_process(state, process)}
                for container, process in found
            ]
        )
    for line in snapshot.unseen:
        note(line)


def _row(state: NodeState, container: Container, process: Process, *, no_trunc: bool) -> tuple[Cell, ...]:
    confinement = process.confinement
    leader = process.thread_of
    return (
        short_id(container.id, no_trunc=no_trunc),
        display_name(container),
        str(process.key.pid) if leader is None else f"{leader.pid}/{process.key.pid}",
        str(process.ns_pid),
        str(process.parent_pid),
        str(confinement.uids.effective) if isinstance(confinement.uids, Ids) else "?",
        host_shared(state, process),
        capabilities(confinement.capabilities),
        seccomp(confinement.seccomp),
        describe.value(confinement.lsm_label),
        container.image or "-",
        documents.command(process),
    )


def host_shared(state: NodeState, process: Process) -> Cell:
    """The host's namespaces and root that the process has, the worst first; ``?`` after a kind that is not known."""
    beyond = documents.beyond_first(state, process)
    shared = describe.shared_with_host(process.confinement, state.host)
    words: list[Span] = []
    if describe.is_host_root(process.confinement.root, state.host):
        words.append(("root", BAD))
    member = state.member(process)
    if isinstance(member, Member) and not member.in_container_cgroup:
        words.append(("left-cgroup", BAD))
    words += ((f"{kind}!", BAD) for kind in beyond)
    words += ((kind, HOST) for kind in shared if kind not in beyond and kind not in USUAL)
    words += ((kind, "") for kind in shared if kind not in beyond and kind in USUAL)
    unknown = (kind for kind in NAMESPACE_KINDS if isinstance(getattr(process.confinement.namespaces, kind), Unknown))
    words += ((f"{kind}?", DOUBTFUL) for kind in unknown)
    if not words:
        return "-"
    spaced: list[Span] = []
    for index, word in enumerate(words):
        spaced += [(",", ""), word] if index else [word]
    return spaced


def capabilities(sets: Capabilities | Unknown) -> Cell:
    """How many capabilities are effective, and which of them are powerful."""
    if isinstance(sets, Unknown):
        return (("?", DOUBTFUL),)
    mask = sets.effective
    if not mask:
        return "none"
    if mask & ALL == ALL:
        return (("all", HOST),)
    notable = ",".join(name.removeprefix("CAP_") for name in names(mask & NOTABLE_CAPABILITIES))
    count = str(mask.bit_count())
    return ((count, ""), (f" {notable}", HOST)) if notable else count


def seccomp(found: Seccomp | Unknown) -> Cell:
    """The mode, and the number of filters."""
    if isinstance(found, Unknown):
        return (("?", DOUBTFUL),)
    if found.mode is SeccompMode.DISABLED:
        return (("off", HOST),)
    return describe.value(found)
