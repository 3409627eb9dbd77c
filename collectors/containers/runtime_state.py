"""Where every runtime keeps bundles and state, and what its own state files say of a container's first process.

The two tables are the whole knowledge of places; paths are relative to the host's root. Parsers are pure. Sources: runc
``libcontainer/container_linux.go`` (``State``), crun ``src/libcrun/status.c``, containerd ``runtime/v2``, conmon.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from collectors.containers.ids import UNKNOWN_RUNTIME
from collectors.errors import Malformed

MAX_STATE_BYTES = 1 << 20
MAX_PID_BYTES = 32

_PID_MAX = 1 << 22  # PID_MAX_LIMIT, include/linux/threads.h


@dataclass(frozen=True, slots=True)
class BundleDirectory:
    """A directory of bundles: ``<path>[/<namespace>]/<id>[/<inner>]/config.json``.

    ``pid_path`` is where the file ``pid_name`` lies when that is another directory of the same layout. One ``*`` in
    ``path`` stands for a user id: such a directory is the user's own, and speaks only of cgroups of that user.
    """

    runtime: str
    path: str
    by_namespace: bool = False
    inner: str = ""
    pid_name: str = "init.pid"
    pid_path: str | None = None

    def bundle(self, container_id: str, namespace: str = "") -> str:
        """The bundle, relative to ``path``."""
        return "/".join(part for part in (namespace, container_id, self.inner) if part)


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """A directory of a low-level runtime's state: ``<path>[/<namespace>]/<name>/<file>``.

    ``is_plain`` marks those where somebody may have started a container without a higher runtime, so under any name.
    """

    runtime: str
    path: str
    by_namespace: bool = False
    file: str = "state.json"
    is_plain: bool = False


def of_operator(path: str) -> tuple[tuple[BundleDirectory, ...], tuple[StateDirectory, ...]]:
    """What a state directory that the operator added may be: any of the layouts, its runtime left to the cgroup."""
    path = path.strip("/")
    return (
        BundleDirectory(UNKNOWN_RUNTIME, path, by_namespace=True),
        BundleDirectory(UNKNOWN_RUNTIME, path),
        BundleDirectory(UNKNOWN_RUNTIME, path, inner="userdata", pid_name="pidfile"),
    ), (
        StateDirectory("runc", path, is_plain=True),
        StateDirectory("crun", path, file="status", is_plain=True),
    )


_TASKS = "io.containerd.runtime.v2.task"
_STORAGE = "overlay-containers"

BUNDLE_DIRECTORIES: tuple[BundleDirectory, ...] = (
    BundleDirectory("docker", f"run/docker/containerd/daemon/{_TASKS}", by_namespace=True),
    BundleDirectory("docker", f"var/run/docker/containerd/daemon/{_TASKS}", by_namespace=True),
    BundleDirectory("docker", "run/docker/containerd/daemon/io.containerd.runtime.v1.linux", by_namespace=True),
    BundleDirectory("containerd", f"run/containerd/{_TASKS}", by_namespace=True),
    BundleDirectory("containerd", f"var/run/containerd/{_TASKS}", by_namespace=True),
    BundleDirectory("containerd", "run/containerd/io.containerd.runtime.v1.linux", by_namespace=True),
    BundleDirectory("containerd", f"run/k3s/containerd/{_TASKS}", by_namespace=True),
    BundleDirectory("containerd", f"var/snap/microk8s/common/run/containerd/{_TASKS}", by_namespace=True),
    BundleDirectory("containerd", f"run/k0s/containerd/{_TASKS}", by_namespace=True),
    BundleDirectory("cri-o", f"run/containers/storage/{_STORAGE}", inner="userdata", pid_name="pidfile"),
    BundleDirectory(
        "podman",
        f"var/lib/containers/storage/{_STORAGE}",
        inner="userdata",
        pid_name="pidfile",
        pid_path=f"run/containers/storage/{_STORAGE}",
    ),
    BundleDirectory("buildkit", "var/lib/docker/buildkit/executor"),
    BundleDirectory("buildkit", "var/lib/buildkit/runc-overlayfs/executor"),
    BundleDirectory("containerd", f"run/user/*/containerd/{_TASKS}", by_namespace=True),
    BundleDirectory("docker", f"run/user/*/docker/containerd/daemon/{_TASKS}", by_namespace=True),
)

STATE_DIRECTORIES: tuple[StateDirectory, ...] = (
    StateDirectory("docker", "run/docker/runtime-runc", by_namespace=True),
    StateDirectory("docker", "var/run/docker/runtime-runc", by_namespace=True),
    StateDirectory("containerd", "run/containerd/runc", by_namespace=True),
    StateDirectory("containerd", "run/k3s/containerd/runc", by_namespace=True),
    StateDirectory("containerd", "var/snap/microk8s/common/run/containerd/runc", by_namespace=True),
    StateDirectory("containerd", "run/k0s/containerd/runc", by_namespace=True),
    StateDirectory("runc", "run/runc", is_plain=True),
    StateDirectory("crun", "run/crun", file="status", is_plain=True),
    StateDirectory("crun", "run/user/*/crun", file="status"),
    StateDirectory("runc", "run/user/*/runc"),
)


@dataclass(frozen=True, slots=True)
class RuntimeState:
    """What runc or crun keeps of one container. ``bundle`` is an absolute path of the host, as the runtime was told."""

    pid: int
    start_ticks: int | None
    created_ns: int | None
    cgroup_paths: frozenset[bytes]
    bundle: str | None


class _RuncConfig(msgspec.Struct, gc=False):
    labels: tuple[str, ...] | None = None


class _RuncState(msgspec.Struct, gc=False):
    init_process_pid: int
    init_process_start: int | None = None
    created: str | None = None
    cgroup_paths: dict[str, str] | None = None
    config: _RuncConfig | None = None


class _CrunStatus(msgspec.Struct, gc=False, rename="kebab"):
    pid: int
    process_start_time: int | None = None
    created: str | None = None
    cgroup_path: str | None = None
    bundle: str | None = None


_RUNC = msgspec.json.Decoder(_RuncState)
_CRUN = msgspec.json.Decoder(_CrunStatus)


def parse_runc_state(data: bytes, source: str) -> RuntimeState:
    """Decodes runc's ``state.json``; raises ``Malformed``."""
    try:
        state = _RUNC.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(source, str(error)) from error
    _require_pid(state.init_process_pid, source)
    paths = (_path_in_hierarchy(key, path) for key, path in (state.cgroup_paths or {}).items())
    labels = (state.config.labels if state.config is not None else None) or ()
    bundle = next((label.removeprefix("bundle=") for label in labels if label.startswith("bundle=/")), None)
    return RuntimeState(
        pid=state.init_process_pid,
        start_ticks=state.init_process_start or None,
        created_ns=parse_time(state.created or ""),
        cgroup_paths=_own(paths),
        bundle=bundle,
    )


def parse_crun_status(data: bytes, source: str) -> RuntimeState:
    """Decodes crun's ``status``; raises ``Malformed``."""
    try:
        status = _CRUN.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(source, str(error)) from error
    _require_pid(status.pid, source)
    return RuntimeState(
        pid=status.pid,
        start_ticks=status.process_start_time or None,
        created_ns=parse_time(status.created or ""),
        cgroup_paths=_own([_encode(status.cgroup_path)] if status.cgroup_path else []),
        bundle=status.bundle if (status.bundle or "").startswith("/") else None,
    )


def parse_pid(data: bytes, source: str) -> int:
    """``init.pid`` of containerd's shim, ``pidfile`` of conmon: a decimal number; raises ``Malformed``."""
    text = data.strip()
    if not text.isdigit():
        raise Malformed(source, f"expected a process id, got {data[:32]!r}")
    return _require_pid(int(text), source)


_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)  # RFC 3339; Go writes up to nine digits, of which datetime would keep six


def parse_time(text: str) -> int | None:
    """An RFC 3339 time as nanoseconds since the epoch; ``None`` for anything else and for Go's zero time."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    zone = "+00:00" if match[3] in "Zz" else match[3]
    try:
        since_epoch = datetime.fromisoformat(match[1].upper() + zone) - datetime.fromtimestamp(0, UTC)
    except (ValueError, OverflowError):
        return None
    seconds = since_epoch.days * 86_400 + since_epoch.seconds
    return seconds * 1_000_000_000 + int((match[2] or "0").ljust(9, "0")) if seconds > 0 else None


def _require_pid(pid: int, source: str) -> int:
    if not 0 < pid <= _PID_MAX:
        raise Malformed(source, f"expected a process id, got {pid}")
    return pid


def _path_in_hierarchy(controller: str, path: str) -> bytes:
    """The path in ``/proc/PID/cgroup`` of a directory below ``/sys/fs/cgroup``; empty when it does not lie there."""
    parts = path.split("/")
    if parts[:4] != ["", "sys", "fs", "cgroup"]:
        return b""
    # v1 mounts every controller below it; runc's key for cgroup2 is empty, and hybrid mounts that on `unified`.
    below = parts[5:] if controller or parts[4:5] == ["unified"] else parts[4:]
    return _encode("/" + "/".join(below))


def _encode(path: str) -> bytes:
    return path.encode("utf-8", "surrogatepass")


def _own(paths: Iterable[bytes]) -> frozenset[bytes]:
    """The cgroups that can be one container's own: not the root, no slice or service (``--cgroups=disabled``)."""
    return frozenset(
        path
        for path in (each.rstrip(b"/") for each in paths)
        if path.startswith(b"/") and not path.endswith((b".slice", b".service"))
    )
