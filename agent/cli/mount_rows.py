"""A container's mounts set beside what its bundle declared: which is which, and which lead to the host. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from agent.state import NodeState
from agent.text import to_text
from collectors.confinement import is_within
from collectors.facts import Container, Declared, DeclaredMount, Mount, MountSource, Process, Reach, Unknown
from collectors.host_places import GOVERNING_SOCKETS
from collectors.mount_tables import (
    PRIVATE_TYPES,
    declared_point,
    declared_read_only,
    identity,
    is_host_disk,
    is_propagated,
    topmost,
    undeclared,
)

_GIVING = frozenset({Reach.IS, Reach.ABOVE})


class Origin(StrEnum):
    """Where a mount comes from, as far as a look can tell."""

    DECLARED = "declared"
    RUNTIME = "runtime"  # made or masked by the runtime, as the runtime specification has it
    PROPAGATED = "propagated"  # came with a mount of the host
    NOT_DECLARED = "not declared"
    LATER = "later"  # not declared, and not there when the container entered
    MISSING = "missing"  # declared, and not there
    UNKNOWN = "unknown"  # no bundle to ask


@dataclass(frozen=True, slots=True)
class Row:
    """One mount, or one that is missing. ``host_path`` is where the host has the same directory, if it has it at all.

    ``is_hosts`` says that the file system is one of the host's disks. ``gives`` says in words what the declared source
    opens. ``is_writable_beyond`` says that the bundle wanted it read-only.
    """

    point: bytes
    origin: Origin
    mount: Mount | None
    declared: DeclaredMount | None
    host_path: bytes | None
    is_hosts: bool
    is_writable_beyond: bool
    gives: tuple[str, ...]

    @property
    def is_suspect(self) -> bool:
        """Nobody asked for it, and it leads to a disk of the host; or it may be written against the declaration."""
        return (self.origin in {Origin.NOT_DECLARED, Origin.LATER} and self.is_hosts) or self.is_writable_beyond


def mount_rows(state: NodeState, container: Container, process: Process) -> tuple[Row, ...] | Unknown:
    """The mount table that ``process`` of ``container`` has, in the kernel's order, then what is missing."""
    namespace = process.confinement.namespaces.mnt
    if isinstance(namespace, Unknown):
        return namespace
    if namespace == state.host.namespaces.mnt:
        return Unknown("it is in the host's own mount namespace: every mount is the host's")
    table = state.mounts(namespace)
    if isinstance(table, Unknown):
        return table
    return tuple(_rows(state, container, table))


def _rows(state: NodeState, container: Container, table: tuple[Mount, ...]) -> Iterator[Row]:
    asked = container.declared
    of_host = host_table(state)
    gives = _gives(container, state)
    strange = {each.mnt_id for each in undeclared(table, asked)} if isinstance(asked, Declared) else set()
    frozen = declared_read_only(asked) if isinstance(asked, Declared) else frozenset()
    at_start = state.mounts_at_start(container.id)
    known_at_start = None if isinstance(at_start, Unknown) else {identity(each) for each in at_start}
    explained: set[DeclaredMount] = set()
    for mount in table:
        declaration = None
        if isinstance(asked, Unknown):
            origin = Origin.UNKNOWN
        elif mount.mnt_id not in strange:
            declaration = _declaration(mount, asked, table)
            origin = Origin.RUNTIME if declaration is None else Origin.DECLARED
        elif is_propagated(mount, table, of_host):
            origin = Origin.PROPAGATED
        elif known_at_start is not None and identity(mount) not in known_at_start:
            origin = Origin.LATER
        else:
            origin = Origin.NOT_DECLARED
        if declaration is not None:
            explained.add(declaration)
        yield Row(
            mount.point,
            origin,
            mount,
            declaration,
            host_path(mount, of_host),
            is_host_disk(mount, state.host),
            _is_writable_beyond(mount, table, frozen),
            gives.get(declaration.destination, ())
            if declaration is not None and not _is_below(mount, declaration)
            else (),
        )
    if isinstance(asked, Declared):
        for each in asked.mounts:
            if each not in explained:
                point = declared_point(each.destination)
                given = gives.get(each.destination, ())
                yield Row(
                    point, Origin.MISSING, None, each, None, is_hosts=False, is_writable_beyond=False, gives=given
                )


def _is_writable_beyond(mount: Mount, table: tuple[Mount, ...], frozen: frozenset[bytes]) -> bool:
    """A file system that is the container's own may be: runc's tmpfs for the controllers of cgroup v1 is."""
    return (
        mount.point in frozen
        and not mount.is_read_only
        and mount.fs_type not in PRIVATE_TYPES
        and topmost(table, mount.point) is mount
    )


def _is_below(mount: Mount, declaration: DeclaredMount) -> bool:
    """It came with a recursive bind: what the bind gives is told there."""
    point = declared_point(declaration.destination)
    return mount.point != point and is_within(mount.point, point)


def _declaration(mount: Mount, asked: Declared, table: Iterable[Mount]) -> DeclaredMount | None:
    """The entry of the bundle that explains a row: at its point, below a recursive bind, or behind a link."""
    at_point = [each for each in asked.mounts if declared_point(each.destination) == mount.point]
    if at_point:
        return at_point[-1]
    recursive = (each for each in asked.mounts if "rbind" in each.options)
    above = [each for each in recursive if is_within(mount.point, declared_point(each.destination))]
    if above:
        return max(above, key=lambda each: len(each.destination))
    points = {each.point for each in table}
    last = mount.point.rsplit(b"/", 1)[-1]
    moved = (each for each in asked.mounts if declared_point(each.destination) not in points)
    return next((each for each in moved if declared_point(each.destination).rsplit(b"/", 1)[-1] == last), None)


def host_table(state: NodeState) -> tuple[Mount, ...]:
    """The host's own mounts; none where they could not be read."""
    namespace = state.host.namespaces.mnt
    table = state.mounts(namespace) if isinstance(namespace, int) else ()
    return () if isinstance(table, Unknown) else table


def host_path(mount: Mount, of_host: Iterable[Mount]) -> bytes | None:
    """Where the host has the directory that ``mount`` shows; ``None`` where it has not mounted it."""
    showing = [each for each in of_host if each.device == mount.device and is_within(mount.root, each.root)]
    if not showing:
        return None
    widest = min(showing, key=lambda each: (len(each.root), len(each.point)))
    below = mount.root.removeprefix(widest.root.rstrip(b"/")).lstrip(b"/")
    return widest.point.rstrip(b"/") + b"/" + below if below else widest.point


def _gives(container: Container, state: NodeState) -> dict[str, tuple[str, ...]]:
    """What each declared source opens, by its destination."""
    from agent.ways_out import find_exposures  # with the steps of every way
    from detectors import host_path_mounted

    found: dict[str, list[str]] = {}
    for exposure in find_exposures(container, state, (host_path_mounted.DETECTOR,))[0]:
        for destination, opens in zip(exposure.texts("destinations"), exposure.texts("opens"), strict=False):
            found.setdefault(destination, []).append(opens)
    for source in () if isinstance(container.sources, Unknown) else container.sources:
        found.setdefault(source.destination, []).extend(f"socket {each}" for each in governing_sockets(source))
    return {destination: tuple(words) for destination, words in found.items() if words}


def governing_sockets(source: MountSource) -> tuple[str, ...]:
    """The sockets of ``GOVERNING_SOCKETS`` that come with a declared source."""
    return tuple(
        each.place
        for each in source.reached
        if (each.server or each.place in GOVERNING_SOCKETS) and each.reach in _GIVING
    )


def source_text(mount: Mount) -> str:
    """The source as mount(8) would show it: the device, and the directory in it where that is not its root."""
    return to_text(mount.source) + (f"[{to_text(mount.root)}]" if mount.root != b"/" else "")
