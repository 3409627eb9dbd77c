"""Puts together what the node itself is like: ``read_node`` is the one entry to this package.

Every part is read for itself: what cannot be read is ``Unknown`` (or left out), the rest stands. A daemon is found by
the name of its process *and* by its mount namespace being the host's: a container may call a process what it likes.
Costs a pass over the names of all processes and one read of the package database: for once in some minutes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import TypeVar

from collectors.bounded import open_process, read_bounded, unknown
from collectors.errors import CollectorError, Gone
from collectors.facts import HostBaseline, Unknown
from collectors.host import Roots, read_host_mounts, read_lsms
from collectors.hosttree import open_below, read_below
from collectors.node import docker_daemon, kernel, kubelet
from collectors.node.build_info import read_build_version
from collectors.node.packages import read_packages
from collectors.node_facts import DockerDaemon, Kubelet, NodeFacts, NodeFile, Software
from collectors.proc.cmdline import parse_cmdline
from collectors.proc.ns import parse_ns_link

FILES = (
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/etc/docker/daemon.json",
    "/etc/kubernetes/kubelet.conf",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/kubeconfig",
    "/etc/kubernetes/admin.conf",
)
"""The files of the CIS benchmarks for which a wrong mode is a way out or up."""

# Program, its packages, and where it is installed without one. containerd.io holds a runc of its own.
PROGRAMS: tuple[tuple[str, tuple[str, ...], tuple[bytes, ...]], ...] = (
    ("runc", ("runc",), (b"/usr/bin/runc", b"/usr/sbin/runc", b"/usr/local/sbin/runc", b"/usr/local/bin/runc")),
    ("containerd", ("containerd", "containerd.io"), (b"/usr/bin/containerd", b"/usr/local/bin/containerd")),
    ("docker", ("docker.io", "docker-ce", "moby-engine"), (b"/usr/bin/dockerd", b"/usr/local/bin/dockerd")),
    ("cri-o", ("cri-o",), (b"/usr/bin/crio", b"/usr/local/bin/crio")),
    ("nvidia-container-toolkit", ("nvidia-container-toolkit",), (b"/usr/bin/nvidia-container-runtime-hook",)),
)

_MAX_PROCESSES = 65_536
_MAX_ARGUMENTS_BYTES = 65_536
_NAMES = {b"dockerd\n": "dockerd", b"kubelet\n": "kubelet"}

T = TypeVar("T")


def read_node(roots: Roots, host: HostBaseline) -> NodeFacts:
    """The node as it is now. Raises nothing."""
    daemons = _find_daemons(roots, host)
    return NodeFacts(
        software=(kernel.read_version(roots), *_read_software(roots)),
        docker=_configured(roots, daemons.get("dockerd"), _read_docker),
        kubelet=_configured(roots, daemons.get("kubelet"), _read_kubelet),
        files=tuple(_read_files(roots)),
        sysctls=kernel.read_sysctls(roots),
        lsms=read_lsms(roots),
        lockdown=kernel.read_lockdown(roots),
        cgroups=kernel.cgroup_layout(read_host_mounts(roots)),
    )


def _find_daemons(roots: Roots, host: HostBaseline) -> dict[str, tuple[bytes, ...]]:
    """The arguments of each daemon that runs on the host itself; of several of one name, the one with the least pid."""
    found: dict[str, tuple[bytes, ...]] = {}
    try:
        pids = sorted(int(name) for name in os.listdir(roots.proc) if name.isascii() and name.isdigit())
    except OSError:
        return found
    for pid in pids[:_MAX_PROCESSES]:
        try:
            name = _NAMES.get(read_bounded(f"{roots.proc}/{pid}/comm", 64, source="proc/comm"))
            if name is not None and name not in found:
                found[name] = _arguments_on_host(roots, pid, host)
        except CollectorError:
            continue  # it ended, or is none of the host's
    return found


def _arguments_on_host(roots: Roots, pid: int, host: HostBaseline) -> tuple[bytes, ...]:
    """The arguments of a process in the host's mount namespace; ``Gone`` when it is in another."""
    process = open_process(roots.proc, pid)
    try:
        namespace = parse_ns_link(os.readlink(b"ns/mnt", dir_fd=process), "mnt")
        if namespace != host.namespaces.mnt:
            raise Gone("proc/ns/mnt", "not in the host's mount namespace")
        return parse_cmdline(read_bounded(b"cmdline", _MAX_ARGUMENTS_BYTES, dir_fd=process, source="proc/cmdline"))
    except OSError as error:
        raise Gone("proc/ns/mnt", str(error)) from error
    finally:
        os.close(process)


def _configured(
    roots: Roots, arguments: tuple[bytes, ...] | None, read: Callable[[Roots, tuple[bytes, ...]], T]
) -> T | Unknown | None:
    """A daemon's configuration, ``None`` when it does not run here."""
    if arguments is None:
        return None
    try:
        return read(roots, arguments)
    except CollectorError as error:
        return unknown(error)


def _read_docker(roots: Roots, arguments: tuple[bytes, ...]) -> DockerDaemon:
    path = os.fsencode(docker_daemon.config_path(arguments))
    try:
        config = read_below(roots.host, path, docker_daemon.MAX_BYTES)
    except Gone:
        config = b""
    return docker_daemon.parse_docker_daemon(arguments, config)


def _read_kubelet(roots: Roots, arguments: tuple[bytes, ...]) -> Kubelet:
    path = kubelet.config_path(arguments)
    config = None if path is None else read_below(roots.host, os.fsencode(path), kubelet.MAX_BYTES)
    return kubelet.parse_kubelet(arguments, config)


def _read_software(roots: Roots) -> Iterator[Software]:
    """The programs that are there: by their package, else by what their linker wrote."""
    packages = read_packages(roots, tuple(name for _, names, _ in PROGRAMS for name in names))
    for program, names, paths in PROGRAMS:
        package = next((packages[name] for name in names if name in packages), None)
        if package is not None:
            yield Software(program, *package)
        elif (built := _built_version(roots, paths)) is not None:
            yield Software(program, built, "build info")


def _built_version(roots: Roots, paths: tuple[bytes, ...]) -> str | Unknown | None:
    """What the first of the files that is there says; ``None`` when there is none."""
    for path in paths:
        try:
            return read_build_version(roots.host, path)
        except Gone:
            continue
        except CollectorError as error:
            return unknown(error)
    return None


def _read_files(roots: Roots) -> Iterator[NodeFile]:
    """Those of ``FILES`` that are there."""
    for path in FILES:
        try:
            with open_below(roots.host, path.encode(), follow_links=True) as (found, _):
                status = os.fstat(found)
        except CollectorError:
            continue
        yield NodeFile(path, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
