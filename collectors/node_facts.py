"""The node itself as values: how its daemons and its kernel are configured, and which versions run. No I/O.

Each value is what the node's own files and processes say. ``None`` is *there is none of it here*, ``Unknown`` is *we
could not tell*.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from collectors.facts import Unknown


class CgroupLayout(StrEnum):
    """Which cgroup hierarchies the host has mounted (cgroups(7))."""

    V1 = "v1"
    HYBRID = "hybrid"
    V2 = "v2"


@dataclass(frozen=True, slots=True)
class Software:
    """A program of the node that confines containers, and its version as ``source`` writes it (dpkg, rpm, ...)."""

    name: str
    version: str | Unknown
    source: str


@dataclass(frozen=True, slots=True)
class DockerDaemon:
    """A running Docker daemon: ``daemon.json`` and its arguments, with the daemon's defaults for what neither says."""

    hosts: tuple[str, ...]
    verifies_tls: bool
    userns_remap: str
    icc: bool
    live_restore: bool
    no_new_privileges: bool
    seccomp_profile: str


@dataclass(frozen=True, slots=True)
class Kubelet:
    """A running kubelet: its configuration file and arguments, with the kubelet's defaults for what neither says."""

    anonymous_auth: bool
    authorization_mode: str
    has_client_ca: bool
    read_only_port: int
    seccomp_default: bool
    protect_kernel_defaults: bool
    root_directory: str = "/var/lib/kubelet"
    pod_logs_directory: str = "/var/log/pods"
    static_pod_path: str | None = None  # where it looks for manifests of static pods: a directory or a file


@dataclass(frozen=True, slots=True)
class NodeFile:
    """A file of the host on whose mode its safety hangs."""

    path: str
    mode: int  # permission bits only
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """Everything that HW-351 judges. ``sysctls`` are those that exist on this kernel and can be read."""

    software: tuple[Software, ...]
    docker: DockerDaemon | Unknown | None
    kubelet: Kubelet | Unknown | None
    files: tuple[NodeFile, ...]
    sysctls: tuple[tuple[str, int], ...]
    lsms: frozenset[str] | Unknown
    lockdown: str | Unknown
    cgroups: CgroupLayout | Unknown

    def sysctl(self, name: str) -> int | None:
        """The value, ``None`` when this kernel has no such setting (or does not show it)."""
        return dict(self.sysctls).get(name)
