"""Container ids in cgroup paths: who owns a process, by a table of how runtimes name cgroups.

Sources: the paths seen in a real cluster and on real engines (``cgroups(7)`` for the lines themselves), the runtimes'
own code: runc ``libcontainer/cgroups/systemd``, containerd ``internal/cri/server/helpers_linux.go``, CRI-O
``internal/config/cgmgr``, podman ``libpod/container_internal_linux.go``, moby ``daemon/oci_linux.go``. Pure.

A container can make child cgroups, and name them like containers. So the *owner* is the outermost id of a path, and ids
further in are ``nested``: containers of a runtime inside a container (kind, docker in docker), or lies.
Read from a private cgroup namespace, paths begin with ``/..`` (``cgroup_namespaces(7)``); that carries no id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from collectors.facts import CgroupMembership

UNKNOWN_RUNTIME = "unknown"
"""The path alone does not say: a bare id below a pod (containerd, CRI-O) or a parent of the operator's choice."""

MAX_IDS = 16
"""Ids of one path that are looked at; the outermost come first, so what is cut off is never an owner."""

_ID = rb"(?P<id>[0-9a-f]{64})"

# One component each, by fullmatch. `slice:prefix:id` is what a systemd-style `linux.cgroupsPath` becomes when the
# runtime itself runs with cgroupfs: one directory, colons and all.
_COMPONENTS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"docker-" + _ID + rb"\.scope"), "docker"),
    (re.compile(rb"cri-containerd-" + _ID + rb"\.scope"), "containerd"),
    (re.compile(rb"nerdctl-" + _ID + rb"\.scope"), "containerd"),
    (re.compile(rb"crio-" + _ID + rb"(?:\.scope)?"), "cri-o"),
    (re.compile(rb"libpod(?:-payload)?-" + _ID + rb"(?:\.scope)?"), "podman"),
    (re.compile(rb"(?:.*:)?docker:" + _ID, re.DOTALL), "docker"),
    (re.compile(rb"(?:.*:)?(?:cri-containerd|nerdctl):" + _ID, re.DOTALL), "containerd"),
    (re.compile(rb"(?:.*:)?crio:" + _ID, re.DOTALL), "cri-o"),
    (re.compile(rb"(?:.*:)?libpod:" + _ID, re.DOTALL), "podman"),
)
_BARE = re.compile(_ID)
_BUILD_STEP = re.compile(rb"(?P<id>[0-9a-z]{25})")  # below .../buildkit/: BuildKit's own random ids (identity.NewID)
_CONMON = (b"conmon-", b"crio-conmon-", b"libpod-conmon-")  # the monitor's own cgroup: a process of the host

_RUNTIME_OF_PARENT: dict[bytes, str] = {
    b"docker": "docker",
    b"actions_job": "docker",
    b"libpod_parent": "podman",
    b"default": "containerd",
    b"moby": "docker",
    b"k8s.io": "containerd",
}

_POD = re.compile(
    rb"(?:.*-)?pod(?P<uid>[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?(?::.*)?",
    re.DOTALL,
)
_WORTH_LOOKING = re.compile(rb"[0-9a-f]{64}|/buildkit/[0-9a-z]{25}")


@dataclass(frozen=True, slots=True)
class CgroupId:
    """One container id in a cgroup path; ``prefix`` is the path up to and including the component that bears it."""

    id: str
    runtime: str
    pod_uid: str | None
    prefix: bytes


@dataclass(frozen=True, slots=True)
class Ownership:
    """Whose a process is by its cgroups: ``owner``'s, with its ``prefixes`` in the hierarchies that name it."""

    owner: CgroupId
    nested: tuple[CgroupId, ...]
    prefixes: frozenset[bytes]


def parse_path(path: bytes) -> tuple[CgroupId, ...]:
    """Every container id of one cgroup path, outermost first; empty for ``/`` and for the host's own cgroups."""
    if _WORTH_LOOKING.search(path) is None:
        return ()
    found: list[CgroupId] = []
    pod_uid: str | None = None
    parent = b""
    end = 0
    for component in path.split(b"/"):
        end += len(component)
        pod = _POD.fullmatch(component)
        if pod is not None:
            pod_uid = pod["uid"].decode().replace("_", "-")
        match = _match(component, parent)
        if match is not None:
            found.append(CgroupId(match[0], match[1], pod_uid, path[:end]))
            if len(found) == MAX_IDS:
                break
            pod_uid = None  # a pod further out is not the pod of a container further in
        parent = component
        end += 1
    return tuple(found)


def _match(component: bytes, parent: bytes) -> tuple[str, str] | None:
    if component.startswith(_CONMON):
        return None
    for pattern, runtime in _COMPONENTS:
        match = pattern.fullmatch(component)
        if match is not None:
            return match["id"].decode(), runtime
    match = _BARE.fullmatch(component)
    if match is not None:
        return match["id"].decode(), _RUNTIME_OF_PARENT.get(parent, UNKNOWN_RUNTIME)
    if parent == b"buildkit":
        match = _BUILD_STEP.fullmatch(component)
        if match is not None:
            return match["id"].decode(), "buildkit"
    return None


def parse_cgroups(cgroups: Iterable[CgroupMembership]) -> Ownership | None:
    """The owner that most hierarchies name (a tie goes to cgroup v2); lines that name nobody say nothing."""
    votes: dict[str, list[tuple[CgroupId, tuple[CgroupId, ...], int]]] = {}
    paths: dict[bytes, tuple[CgroupId, ...]] = {}
    for line in cgroups:
        if line.path not in paths:
            paths[line.path] = parse_path(line.path)
        ids = paths[line.path]
        if ids:
            votes.setdefault(ids[0].id, []).append((ids[0], ids[1:], line.hierarchy))
    if not votes:
        return None
    best = max(votes.values(), key=lambda each: (len(each), any(hierarchy == 0 for _, _, hierarchy in each)))
    nested = tuple(dict.fromkeys(each for _, inner, _ in best for each in inner))
    return Ownership(best[0][0], nested, frozenset(owner.prefix for owner, _, _ in best))


def parse_declared_path(cgroups_path: str) -> bytes | None:
    """The cgroup that ``linux.cgroupsPath`` asks for; ``None`` when it leaves the choice to the runtime.

    ``/a/b`` is a path of cgroupfs; ``slice:prefix:name`` is systemd's unit ``prefix-name.scope`` (or ``name`` where it
    ends in ``.slice``) below the slice, whose own name spells its ancestors (systemd.slice(5)).
    """
    path = cgroups_path.encode("utf-8", "surrogateescape")
    if path.startswith(b"/"):
        trimmed = path.rstrip(b"/")
        return trimmed or None
    parts = path.split(b":")
    if len(parts) != 3 or not parts[2]:  # noqa: PLR2004 (slice, prefix, name)
        return None
    slice_name, prefix, name = parts
    unit = name if name.endswith(b".slice") else (prefix + b"-" if prefix else b"") + name + b".scope"
    return _expand_slice(slice_name or b"system.slice") + b"/" + unit


def _expand_slice(name: bytes) -> bytes:
    """``a-b.slice`` is ``/a.slice/a-b.slice``; ``-.slice`` is the root."""
    stem = name.removesuffix(b".slice")
    if stem in (b"", b"-"):
        return b""
    parts = stem.split(b"-")
    return b"".join(b"/" + b"-".join(parts[: count + 1]) + b".slice" for count in range(len(parts)))
