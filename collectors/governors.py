"""Which programs of the host govern containers, or the host itself: told by what they are, not by what they are called.

A host process governs if the file that it runs is

- one of the container runtimes, or the kubelet, that were installed at start (``HostBaseline.runtime_binaries``),
- or installed, by root alone, at one of the places of ``INSTALLED``,
- or built from the source of a runtime or a kubelet (``_PACKAGES``): nearly all are written in Go, whose programs tell
  their package (``collectors.go_program``). So a renamed one is known, and one that was put where no list looks.

Who forges such a package makes himself a governor, and so more is told of him, not less.

Any thread may ask: an answer is remembered in one assignment, and found twice at worst. Bounded: answers, and what is
read of a program. One on a network or FUSE file system is not touched, since its server may be dead.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum

from collectors.errors import CollectorError
from collectors.facts import Executable, FileId, HostBaseline, Place, Process
from collectors.go_program import read_main_package
from collectors.host import REMOTE_TYPES, Roots, read_host_mounts
from collectors.hosttree import open_below
from collectors.programs import find_trusted

MAX_REMEMBERED = 4096


class Scope(StrEnum):
    """Over what somebody who listens has power."""

    NODE = "node"
    CONTAINER = "container"  # one: a shim, a monitor
    BUS = "bus"  # the system's governs the node, another only its own user's session
    OTHERS = "others"  # systemd listens for those whom it will start


@dataclass(frozen=True, slots=True)
class Governor:
    """What a process is: ``name`` without regard to what its file is called, ``program`` the path of that."""

    name: str
    program: bytes
    scope: Scope


INSTALLED = {
    b"/usr/lib/systemd/systemd": ("systemd", Scope.OTHERS),
    b"/lib/systemd/systemd": ("systemd", Scope.OTHERS),
    b"/usr/bin/dbus-daemon": ("dbus-daemon", Scope.BUS),
    b"/usr/bin/dbus-broker": ("dbus-broker", Scope.BUS),
    b"/usr/bin/dbus-broker-launch": ("dbus-broker", Scope.BUS),
    b"/usr/sbin/libvirtd": ("libvirtd", Scope.NODE),
    b"/usr/sbin/virtqemud": ("libvirtd", Scope.NODE),
}
"""Beside the runtimes and the kubelet: who listens for orders, where distributions put it."""

# Package paths of the main programs in the repositories of moby, containerd, CRI-O, podman, BuildKit, cri-dockerd,
# Kubernetes, k3s, RKE2, k0s, LXD and Incus. A version of the module (/v2) stands in the middle.
_PACKAGES = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (rb"github\.com/(?:docker/docker|moby/moby)(?:/v\d+)?/cmd/dockerd", "dockerd"),
        (rb"github\.com/containerd/containerd(?:/v\d+)?/cmd/containerd", "containerd"),
        (rb"github\.com/containerd/containerd(?:/v\d+)?/cmd/containerd-shim(?:-.*)?", "containerd-shim"),
        (rb"github\.com/cri-o/cri-o/cmd/crio", "crio"),
        (rb"github\.com/containers/podman(?:/v\d+)?/cmd/podman", "podman"),
        (rb"github\.com/moby/buildkit/cmd/buildkitd", "buildkitd"),
        (rb"github\.com/Mirantis/cri-dockerd", "cri-dockerd"),
        (rb"k8s\.io/kubernetes/cmd/(?:kubelet|kubelite|hyperkube)", "kubelet"),
        (rb"github\.com/(?:k3s-io|rancher)/k3s(?:/.*)?", "k3s"),
        (rb"github\.com/rancher/rke2(?:/.*)?", "rke2"),
        (rb"github\.com/k0sproject/k0s", "k0s"),
        (rb"github\.com/(?:canonical|lxc)/lxd/lxd", "lxd"),
        (rb"github\.com/lxc/incus(?:/v\d+)?/cmd/incusd", "incusd"),
    )
)
_FOR_ONE = ("containerd-shim", "conmon", "docker-containerd-shim")
_FOR_CLIENTS_OF_CONTAINERS = frozenset({"docker-proxy"})  # it passes on what is sent to a published port


class Governors:
    """Tells who governs; see the module's docstring."""

    def __init__(self, roots: Roots, host: HostBaseline) -> None:
        self._roots = roots
        self._runtimes = host.runtime_binaries
        self._known: dict[tuple[FileId, bytes], Governor | None] = {}

    def of(self, process: Process) -> Governor | None:
        """What a process of the host governs as, ``None`` for all others and for what is not known."""
        executable = process.executable
        if not isinstance(executable, Executable) or not isinstance(executable.place, Place):
            return None
        key = (executable.place.file, executable.path)
        if key not in self._known:
            if len(self._known) >= MAX_REMEMBERED:
                self._known = {}
            self._known[key] = self._find(*key)
        return self._known.get(key)

    def _find(self, file: FileId, path: bytes) -> Governor | None:
        if file in self._runtimes:
            name = path.rsplit(b"/", 1)[-1].decode("ascii", "replace")
            return None if name in _FOR_CLIENTS_OF_CONTAINERS else Governor(name, path, _scope(name))
        if path in INSTALLED:
            if find_trusted(self._roots.host, path) != file:
                return None
            name, scope = INSTALLED[path]
            return Governor(name, path, scope)
        package = self._package(file, path)
        if package is None:
            return None
        name = next((name for pattern, name in _PACKAGES if pattern.fullmatch(package)), "")
        return Governor(name, path, _scope(name)) if name else None

    def _package(self, file: FileId, path: bytes) -> bytes | None:
        """The package that a program of the host was built from."""
        remote = (each.device for each in read_host_mounts(self._roots) if each.fs_type.startswith(REMOTE_TYPES))
        if file.device in set(remote):
            return None
        try:
            with open_below(self._roots.host, path, follow_links=True) as (found, _):
                status = os.fstat(found)
                if FileId(status.st_dev, status.st_ino) != file:
                    return None
                fd = os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    return read_main_package(fd)
                finally:
                    os.close(fd)
        except (OSError, CollectorError):
            return None


def _scope(name: str) -> Scope:
    return Scope.CONTAINER if name.startswith(_FOR_ONE) else Scope.NODE
