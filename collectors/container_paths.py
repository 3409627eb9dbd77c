"""Whose file a path of the host is: a container's, because it lies in its layers, its root file system or its volume.

Pure: values in, values out. The paths are the kernel's, canonical, and of the host's mount namespace.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from collectors.confinement import is_within
from collectors.facts import Container, Declared, Mount

# Volumes that a runtime keeps: docker, podman and nerdctl; the kubelet.
_MANAGED_VOLUME = re.compile(rb"/volumes/[^/]+/_data(/|\Z)|/pods/[0-9a-fA-F-]+/(volumes|volume-subpaths)/")

# The directory of one layer in a store of layers (docker, podman and CRI-O; containerd), next to all the others.
_LAYER = re.compile(rb"\A(/.+)/[^/]+/(diff|fs)\Z")

# A process' view of the file system, whoever it is: what stands behind it is its own root.
_THROUGH_A_PROCESS = re.compile(rb"/(root|cwd|fd|map_files)(/|\Z)|/exe\Z")

AMONG_LAYERS = "it lies among the layers of images and containers"
THROUGH_A_PROCESS = "it leads through /proc into what a process sees"


def reason_in_container(paths: tuple[bytes, ...], container: Container, root: Mount | None) -> str | None:
    """How one of the paths belongs to this container and no other; ``None`` when none does.

    ``root`` is the mount of the container's root, where its table is known.
    """
    if is_below(paths, (upper_layer(root),)):
        return "it lies in the layer of the container"
    declared = container.declared
    if not isinstance(declared, Declared):
        return None
    if is_below(paths, (_encode(declared.root_path),)):
        return "it lies in the container's root file system"
    if any(map(_MANAGED_VOLUME.search, paths)):
        volumes = (_encode(each.source) for each in declared.mounts if each.source.startswith("/"))
        if is_below(paths, (volume for volume in volumes if _MANAGED_VOLUME.search(volume))):
            return "it lies in a volume of the container"
    return None


def owner_of_path(path: bytes, containers: Iterable[tuple[Container, Mount | None]]) -> tuple[str | None, str] | None:
    """The container that the path belongs to and how; no container where several share it; ``None`` for the host's."""
    stores: set[bytes] = set()
    for container, root in containers:
        if (reason := reason_in_container((path,), container, root)) is not None:
            return container.id, reason
        stores |= layer_stores(root)
    if is_below((path,), stores):
        return None, AMONG_LAYERS
    if path.startswith(b"/proc/") and _THROUGH_A_PROCESS.search(path):
        return None, THROUGH_A_PROCESS
    return None


def layer_stores(root: Mount | None) -> frozenset[bytes]:
    """The directory in which the layers of this container lie next to all others."""
    layer = _LAYER.match(upper_layer(root))
    return frozenset() if layer is None else frozenset({layer[1]})


def upper_layer(root: Mount | None) -> bytes:
    """The directory of the host that overlay writes to; empty where the root is no overlay."""
    options = () if root is None else root.super_options
    return next((option[len(b"upperdir=") :] for option in options if option.startswith(b"upperdir=")), b"")


def is_below(paths: tuple[bytes, ...], directories: Iterable[bytes]) -> bool:
    """One path lies in one of the directories; those that hold the whole host, or are relative, count for nothing."""
    return any(
        directory.startswith(b"/") and directory.strip(b"/") != b"" and is_within(path, directory.rstrip(b"/"))
        for directory in directories
        for path in paths
    )


def _encode(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
