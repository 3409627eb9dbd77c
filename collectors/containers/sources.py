"""What the host's side of a bundle is: the files behind its bind mounts, and ``/dev`` of its root file system.

A source is found below the host's root (``collectors.hosttree``) and known by (device, inode), as is every place of
``collectors.host_places``: through a symbolic link or a bind mount of the host it is the same file. A source on a
network or FUSE file system is not touched, since its server may be dead or a container's: it is told by its path.

Not thread-safe: the registry has the lock. Remembered for a second: the places and the host's mounts. At most
``MAX_SOURCES`` bind mounts of a bundle are looked at; a bundle with more is ``Unknown``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from collectors.bounded import unknown
from collectors.confinement import is_within
from collectors.errors import CollectorError
from collectors.facts import (
    Declared,
    DeclaredMount,
    FileId,
    FileKind,
    Mount,
    MountSource,
    Reach,
    Reached,
    Unknown,
)
from collectors.host import REMOTE_TYPES, Roots, read_host_mounts
from collectors.host_places import PLACES
from collectors.hosttree import entries_below, locate_below, open_below

MAX_SOURCES = 1024
MAX_EXPANDED = 64

MAX_SOCKETS = 16  # told of one source

_LOOK_AGAIN_NS = 1_000_000_000
_BIND = frozenset({"bind", "rbind"})
_NOT_TOUCHED = Unknown("not_read: a network or FUSE file system")
_KINDS = (
    (stat.S_ISDIR, FileKind.DIRECTORY),
    (stat.S_ISREG, FileKind.REGULAR),
    (stat.S_ISSOCK, FileKind.SOCKET),
    (stat.S_ISBLK, FileKind.BLOCK_DEVICE),
    (stat.S_ISCHR, FileKind.CHARACTER_DEVICE),
)


@dataclass(frozen=True, slots=True)
class GoverningFile:
    """A socket's file of the host on which somebody who governs listens; ``chain`` as in ``hosttree.Located``.

    ``place`` is its entry of ``host_places`` where it has one, else its path.
    """

    place: str
    chain: tuple[FileId, ...]
    server: str


class SourceFinder:
    """Finds the sources of bundles on one host."""

    def __init__(self, roots: Roots, clock_ns: Callable[[], int]) -> None:
        self._roots = roots
        self._clock_ns = clock_ns
        self._looked_ns: int | None = None
        self._places: tuple[tuple[str, tuple[FileId, ...]], ...] = ()
        self._mounts: tuple[Mount, ...] = ()

    def find(self, declared: Declared) -> tuple[MountSource, ...] | Unknown:
        """The sources of the declared bind mounts, in their order."""
        binds = [each for each in declared.mounts if is_bind(each)]
        if len(binds) > MAX_SOURCES:
            return Unknown(f"too_large: more than {MAX_SOURCES} bind mounts")
        if binds:
            self._look()
        return tuple(self._source(each) for each in binds)

    def has_linked_dev(self, declared: Declared) -> bool | Unknown:
        """Whether ``dev`` in the root file system is a symbolic link, which no honest image has."""
        path = declared.root_path.encode("utf-8", "replace")
        host = self._roots.host.rstrip("/").encode()
        path = path.removeprefix(host) if path.startswith(host + b"/") else path  # a relative one was made ours
        self._look()
        if self._is_remote(path):
            return _NOT_TOUCHED
        try:
            with open_below(self._roots.host, path, follow_links=True) as (found, _):
                return stat.S_ISLNK(os.stat("dev", dir_fd=found, follow_symlinks=False).st_mode)
        except CollectorError as error:
            return unknown(error)

    def _look(self) -> None:
        now = self._clock_ns()
        if self._looked_ns is not None and 0 <= now - self._looked_ns < _LOOK_AGAIN_NS:
            return
        self._looked_ns = now
        self._mounts = read_host_mounts(self._roots)
        self._places = tuple(self._locate_places())

    def _locate_places(self) -> Iterator[tuple[str, tuple[FileId, ...]]]:
        """Every place that is there; one with a ``*`` may be there several times."""
        for place in PLACES:
            for path in self._expanded(place):
                try:
                    yield place, locate_below(self._roots.host, path).chain
                except CollectorError:
                    continue

    def _expanded(self, place: str) -> Iterator[bytes]:
        before, star, after = place.encode().partition(b"*")
        if not star:
            yield before
            return
        try:
            names = entries_below(self._roots.host, before, MAX_EXPANDED)
        except CollectorError:
            return
        yield from (before + name + after for name in names)

    def _source(self, declared: DeclaredMount) -> MountSource:
        path = declared.source.encode("utf-8", "replace")
        read_only = "ro" in declared.options
        why = _NOT_TOUCHED
        if not self._is_remote(path):
            try:
                found = locate_below(self._roots.host, path)
            except CollectorError as error:
                why = unknown(error)
            else:
                return MountSource(
                    declared.destination,
                    os.fsdecode(found.path),
                    read_only,
                    found.chain[-1],
                    _kind(found.mode),
                    tuple(_reached(found.chain, self._places)),
                )
        return MountSource(declared.destination, declared.source, read_only, why, why, reached_by_path(declared.source))

    def _is_remote(self, path: bytes) -> bool:
        """The mount of the host that holds the path, as far as its text tells, may wait for somebody."""
        point = max(
            (each for each in self._mounts if is_within(path, each.point)),
            key=lambda each: len(each.point),
            default=None,
        )
        return point is not None and point.fs_type.startswith(REMOTE_TYPES)


def with_sockets(sources: tuple[MountSource, ...], sockets: Iterable[GoverningFile]) -> tuple[MountSource, ...]:
    """The sources with the governing sockets that come with each, in the place of those that were told before. Pure."""
    by_file: dict[FileId, list[Reached]] = {}
    for socket in sockets:
        for file in socket.chain:
            reach = Reach.IS if file == socket.chain[-1] else Reach.ABOVE
            by_file.setdefault(file, []).append(Reached(socket.place, reach, socket.server))
    return tuple(_with_reached(each, by_file) for each in sources)


def _with_reached(source: MountSource, by_file: dict[FileId, list[Reached]]) -> MountSource:
    listening = by_file.get(source.file, []) if isinstance(source.file, FileId) else []
    known = [each for each in source.reached if not each.server]
    named = {each.place for each in known}
    new = sorted((each for each in listening if each.place not in named), key=lambda each: (each.place, each.server))
    reached = (*known, *new[:MAX_SOCKETS])
    return source if reached == source.reached else replace(source, reached=reached)


def is_bind(mount: DeclaredMount) -> bool:
    """The mount shows a file of the host (mount(8): the type is ignored then)."""
    return mount.fs_type == "bind" or not _BIND.isdisjoint(mount.options)


def _reached(source: tuple[FileId, ...], places: Iterable[tuple[str, tuple[FileId, ...]]]) -> Iterator[Reached]:
    """Every place that comes with the source; each once, the nearest way."""
    told: set[str] = set()
    for place, chain in places:
        if place in told:
            continue
        if source[-1] == chain[-1]:
            reach = Reach.IS
        elif source[-1] in chain:
            reach = Reach.ABOVE
        elif chain[-1] in source and place != "/":
            reach = Reach.BELOW
        else:
            continue
        told.add(place)
        yield Reached(place, reach)


def reached_by_path(source: str) -> tuple[Reached, ...]:
    """The places that come with a source that could not be found, by its text alone. Pure."""
    path = os.path.normpath("/" + source.lstrip("/"))
    if path == "/var/run" or path.startswith("/var/run/"):  # a link to /run everywhere (file-hierarchy(7))
        path = path.removeprefix("/var")
    found: list[Reached] = []
    for place in PLACES:
        if path == place:
            found.append(Reached(place, Reach.IS))
        elif path == "/" or place.startswith(path + "/"):
            found.append(Reached(place, Reach.ABOVE))
        elif place != "/" and path.startswith(place + "/"):
            found.append(Reached(place, Reach.BELOW))
    return tuple(found)


def _kind(mode: int) -> FileKind:
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), FileKind.OTHER)
