"""Finds the bundle and the runtime's state of one container in the state directories of this node.

Without memory of containers: ``registry`` remembers. It holds one short-lived table, the directories that are there
(looked at again after a second), and is not thread-safe: its owner has the lock.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from collectors.bounded import read_bounded
from collectors.containers.bundle import read_bundle
from collectors.containers.runtime_state import (
    BUNDLE_DIRECTORIES,
    MAX_PID_BYTES,
    MAX_STATE_BYTES,
    STATE_DIRECTORIES,
    BundleDirectory,
    RuntimeState,
    StateDirectory,
    of_operator,
    parse_crun_status,
    parse_pid,
    parse_runc_state,
)
from collectors.containers.state_directory import list_below, read_below, resolve_directory
from collectors.errors import CollectorError, Gone
from collectors.facts import Declared, Unknown
from collectors.host import Roots

_NAME = re.compile(r"[\w+.-]{1,1024}", re.ASCII)  # runc: libcontainer/factory_linux.go, validateID
_LOOK_AGAIN_NS = 1_000_000_000
_MAX_CGROUP_BYTES = 65_536
_MANAGERS = {"cri-o": "cri-o", "libpod": "podman"}  # annotation io.container.manager

Stamp = tuple[int, int, int, int]
"""Device, inode, size and modification time: what changes when a file or directory is made anew."""


@dataclass(frozen=True, slots=True)
class Found:
    """What lies on disk for one container.

    ``declared`` is ``Unknown`` when the bundle could not be read; ``problems`` are (source, why), for remarks too.
    ``watch`` is the directory whose change means that it is worth looking again; ``config`` is the bundle's file.
    """

    id: str
    runtime: str
    declared: Declared | Unknown
    bundle_path: str | None
    state: RuntimeState | None
    first_pid: int | None
    watch: str
    config: str | None
    problems: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """A directory of one of the tables that exists: its real path, and its namespaces ("" where it has none)."""

    row: BundleDirectory | StateDirectory
    directory: str
    namespaces: tuple[str, ...]


class Locator:
    """Looks through the state directories of every known runtime, and those that the operator added."""

    def __init__(self, roots: Roots, extra_state_directories: Sequence[str], clock_ns: Callable[[], int]) -> None:
        self._roots = roots
        self._clock_ns = clock_ns
        extra = [of_operator(path) for path in extra_state_directories]
        self._rows: tuple[BundleDirectory | StateDirectory, ...] = (
            *BUNDLE_DIRECTORIES,
            *STATE_DIRECTORIES,
            *(row for rows in extra for kind in rows for row in kind),
        )
        self._places: tuple[_Place, ...] = ()
        self._denied: str | None = None
        self._looked_ns: int | None = None

    def find(self, container_id: str, user: str | None = None) -> Found | Unknown:
        """The container's bundle and state; ``Unknown`` says whether there was anywhere to look.

        ``user`` is the user id in whose slice the container's cgroup lies: only then is that user's directory asked,
        and for nothing but this container.
        """
        if _NAME.fullmatch(container_id) is None or container_id in (".", ".."):
            return Unknown("malformed: no name of a container")
        places = (*self._look(), *self._look_at_user(user))
        problems: list[tuple[str, str]] = []
        state, state_place, state_path = self._find_state(container_id, places, problems)
        for place in places:
            if not isinstance(place.row, BundleDirectory):
                continue
            for namespace in place.namespaces:
                path = place.row.bundle(container_id, namespace)
                if self.stamp(f"{place.directory}/{path}/config.json") is not None:
                    return self._read(container_id, place, namespace, state, problems)
        if state is not None and state_place is not None:
            return self._read_plain(container_id, state, state_place, state_path, problems)
        if self._denied is not None:
            return Unknown(f"denied: {self._denied}")
        return Unknown("no_bundle" if places else "no_state_directory")

    def list_ids(self) -> tuple[str, ...]:
        """The ids of all bundles and all plain containers that are there; users' own directories are not asked."""
        self._looked_ns = None
        found: dict[str, None] = {}
        for place in self._look():
            if isinstance(place.row, BundleDirectory):
                for namespace in place.namespaces:
                    for name in self._list(place.directory, namespace):
                        path = place.row.bundle(name, namespace)
                        if self.stamp(f"{place.directory}/{path}/config.json") is not None:
                            found[name] = None
        found.update(dict.fromkeys(self.list_plain()))
        return tuple(found)

    def list_plain(self) -> tuple[str, ...]:
        """The names in the state directories of runtimes that are used without a higher one."""
        return tuple(name for place in self._plain() for name in self._list(place.directory, ""))

    def plain_stamps(self) -> tuple[Stamp | None, ...]:
        """Changes when a plain container is made or removed."""
        return tuple(self.stamp(place.directory) for place in self._plain())

    def stamp(self, path: str) -> Stamp | None:
        """The stamp of a file or directory, ``None`` when it is not there, or may not be looked at (remembered)."""
        try:
            found = os.stat(path, follow_symlinks=False)
        except PermissionError:
            self._denied = path
            return None
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def is_alive(self, pid: int) -> bool:
        """A process of that id exists; whether it is the same one is not asked."""
        return self.stamp(f"{self._roots.proc}/{pid}") is not None

    def _plain(self) -> Iterator[_Place]:
        return (place for place in self._look() if isinstance(place.row, StateDirectory) and place.row.is_plain)

    def _look(self) -> tuple[_Place, ...]:
        now = self._clock_ns()
        if self._looked_ns is not None and 0 <= now - self._looked_ns < _LOOK_AGAIN_NS:
            return self._places
        self._looked_ns = now
        self._denied = None
        rows = [row for row in self._rows if "*" not in row.path]
        self._places = self._resolve(rows, "")
        return self._places

    def _look_at_user(self, user: str | None) -> tuple[_Place, ...]:
        if user is None:
            return ()
        return self._resolve([row for row in self._rows if "*" in row.path], user)

    def _resolve(self, rows: Sequence[BundleDirectory | StateDirectory], user: str) -> tuple[_Place, ...]:
        """The rows whose directory is there; one that two rows reach (``/run`` and ``/var/run``) counts once."""
        places: dict[tuple[object, ...], _Place] = {}
        for row in rows:
            try:
                directory = resolve_directory(self._roots.host, row.path.replace("*", user))
            except Gone:
                continue
            except CollectorError as error:
                self._denied = error.source
                continue
            namespaces = self._list(directory, "") if row.by_namespace else ("",)
            key = (directory, type(row), row.by_namespace, row.inner if isinstance(row, BundleDirectory) else row.file)
            places.setdefault(key, _Place(row, directory, namespaces))
        return tuple(places.values())

    def _list(self, directory: str, path: str) -> tuple[str, ...]:
        try:
            return tuple(name for name in list_below(directory, path) if _NAME.fullmatch(name) is not None)
        except Gone:
            return ()
        except CollectorError as error:
            self._denied = error.source
            return ()

    def _find_state(
        self, container_id: str, places: Sequence[_Place], problems: list[tuple[str, str]]
    ) -> tuple[RuntimeState | None, _Place | None, str]:
        for place in places:
            if not isinstance(place.row, StateDirectory):
                continue
            for namespace in place.namespaces:
                path = f"{namespace}/{container_id}" if namespace else container_id
                if self.stamp(f"{place.directory}/{path}/{place.row.file}") is None:
                    continue
                parse = parse_runc_state if place.row.file == "state.json" else parse_crun_status
                name = f"{path}/{place.row.file}"
                try:
                    data = read_below(place.directory, name, MAX_STATE_BYTES)
                    state = parse(data, f"{place.directory}/{name}")
                except CollectorError as error:
                    _note(problems, error)
                    continue
                if "*" in place.row.path:  # a user's word
                    pid = state.pid if self._bears(state.pid, container_id) else 0
                    state = replace(state, pid=pid, cgroup_paths=frozenset())
                return state, place, path
        return None, None, ""

    def _read(
        self,
        container_id: str,
        place: _Place,
        namespace: str,
        state: RuntimeState | None,
        problems: list[tuple[str, str]],
    ) -> Found:
        row = place.row
        assert isinstance(row, BundleDirectory)
        path = row.bundle(container_id, namespace)
        declared = self._declared(place.directory, path, problems)
        runtime = "docker" if namespace == "moby" else row.runtime
        if row.inner and isinstance(declared, Declared):
            runtime = _MANAGERS.get(dict(declared.annotations).get("io.container.manager", ""), runtime)
        bundle_path = f"{place.directory}/{path}"
        watch, pid = bundle_path, self._first_pid(place.directory, f"{path}/{row.pid_name}", problems)
        if pid is None and row.pid_path is not None:
            elsewhere = f"{self._roots.host.rstrip('/')}/{row.pid_path}"
            pid = self._first_pid(elsewhere, f"{path}/{row.pid_name}", problems)
            watch = f"{elsewhere}/{path}"
        pid = (state.pid or None) if state is not None else pid
        if pid is not None and "*" in row.path and not self._bears(pid, container_id):
            pid = None
        return Found(
            id=container_id,
            runtime=runtime,
            declared=declared,
            bundle_path=bundle_path,
            state=state,
            first_pid=pid,
            watch=watch,
            config=f"{bundle_path}/config.json",
            problems=tuple(problems),
        )

    def _read_plain(
        self,
        container_id: str,
        state: RuntimeState,
        place: _Place,
        path: str,
        problems: list[tuple[str, str]],
    ) -> Found:
        declared: Declared | Unknown = Unknown("no_bundle")
        config = None
        if state.bundle is not None:
            root = self._roots.host.rstrip("/")
            declared = self._declared(root or "/", state.bundle.strip("/"), problems)
            config = f"{root}{state.bundle}/config.json"
        return Found(
            id=container_id,
            runtime=place.row.runtime,
            declared=declared,
            bundle_path=state.bundle,
            state=state,
            first_pid=state.pid or None,
            watch=f"{place.directory}/{path}",
            config=config,
            problems=tuple(problems),
        )

    def _declared(self, directory: str, path: str, problems: list[tuple[str, str]]) -> Declared | Unknown:
        try:
            declared, remarks = read_bundle(directory, path)
        except Gone as error:
            return Unknown(f"gone: {error.source}")
        except CollectorError as error:
            _note(problems, error)
            return Unknown(f"{error.kind}: {error.source}: {error.detail}")
        problems.extend((f"{directory}/{path}/config.json", remark) for remark in remarks)
        return declared

    def _first_pid(self, directory: str, path: str, problems: list[tuple[str, str]]) -> int | None:
        try:
            return parse_pid(read_below(directory, path, MAX_PID_BYTES), f"{directory}/{path}")
        except Gone:  # not written yet
            return None
        except CollectorError as error:
            _note(problems, error)
            return None

    def _bears(self, pid: int, container_id: str) -> bool:
        """The process' cgroup has the container's id in it: a user's word about a process is not taken without."""
        try:
            data = read_bounded(f"{self._roots.proc}/{pid}/cgroup", _MAX_CGROUP_BYTES, source=f"/proc/{pid}/cgroup")
        except CollectorError:
            return False
        return container_id.encode() in data


def _note(problems: list[tuple[str, str]], error: CollectorError) -> None:
    if not isinstance(error, Gone):
        problems.append((error.source, f"{error.kind}: {error.detail}"))
