"""The files and directories of the host that are watched, and how they are found. See ``WATCHED``.

Patterns are expanded below the host's root, on the host's side: what a container calls its files plays no part. A ``*``
stands for (a part of) one component. In the eBPF tier the kernel is given what was found, open, and takes the identity
from there, so that nothing depends on what stat(2) says on the file system at hand; below it both the host's file and
the container's descriptor are asked by stat(2), which says the same of both.

Sources: file-hierarchy(7), systemd.unit(5), cron(8), ld.so(8), sshd(8), pam.d(5), sudoers(5), modules-load.d(5),
udev(7), the documentation of the kubelet, kubeadm, k3s, containerd, CRI-O, podman, CNI, CDI and NRI.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntFlag
from typing import NamedTuple

from collectors.errors import CollectorError
from collectors.events import Watched, WatchKind
from collectors.hosttree import entries_below, open_below

MAX_OBJECTS = 8192
_MAX_ENTRIES = 4096  # of one directory


class Watch(IntFlag):
    """``enum watch_flag`` of ``kernel/watched.h``: what is told of an object."""

    READ = 1
    WRITE = 2
    ENTRIES = 4
    BELOW = 8


class Pattern(NamedTuple):
    """Objects of one kind. ``pod_component`` is where, in the path, the uid of the pod stands that may read it.

    ``is_own``: the path is one of the agent's own mounts, whose files another image may hold, and not of the host's.
    """

    path: str
    kind: WatchKind
    watch: Watch
    pod_component: int | None = None
    is_own: bool = False


_FILE, _ENTRIES, _BELOW = Watch.WRITE, Watch.WRITE | Watch.ENTRIES, Watch.WRITE | Watch.ENTRIES | Watch.BELOW
_PERSISTENCE, _SERVICED, _SECRET, _RUNTIME, _ = WatchKind

WATCHED = (
    *(
        Pattern(path, _PERSISTENCE, _FILE)
        for path in (
            "/etc/crontab",
            "/etc/anacrontab",
            "/etc/ld.so.preload",
            "/etc/ld.so.conf",
            "/etc/passwd",
            "/etc/shadow",
            "/etc/group",
            "/etc/gshadow",
            "/etc/sudoers",
            "/etc/rc.local",
            "/etc/inittab",
            "/etc/modules",
            "/etc/profile",
            "/etc/bash.bashrc",
            "/etc/bashrc",
            "/etc/environment",
            "/etc/sysctl.conf",
            "/var/lib/kubelet/config.yaml",
            "/var/lib/kubelet/kubeadm-flags.env",
            "/root/.bashrc",
            "/root/.bash_profile",
            "/root/.profile",
            "/home/*/.bashrc",
            "/home/*/.bash_profile",
            "/home/*/.profile",
        )
    ),
    *(
        Pattern(path, _PERSISTENCE, _ENTRIES)
        for path in (
            "/etc",
            "/etc/cron.d",
            "/etc/cron.hourly",
            "/etc/cron.daily",
            "/etc/cron.weekly",
            "/etc/cron.monthly",
            "/etc/init.d",
            "/etc/ld.so.conf.d",
            "/etc/modprobe.d",
            "/etc/modules-load.d",
            "/etc/pam.d",
            "/etc/profile.d",
            "/etc/ssh",
            "/etc/sudoers.d",
            "/etc/udev/rules.d",
            "/usr/lib/udev/rules.d",
            "/etc/apt/apt.conf.d",
            "/etc/binfmt.d",
            "/etc/default",
            "/etc/logrotate.d",
            "/etc/NetworkManager/dispatcher.d",
            "/etc/network/if-up.d",
            "/etc/ssh/sshd_config.d",
            "/etc/sysconfig",
            "/etc/sysctl.d",
            "/etc/update-motd.d",
            "/lib/security",
            "/lib64/security",
            "/usr/lib/*/security",
            "/root/.ssh",
            "/home/*/.ssh",
            "/usr/bin",
            "/usr/sbin",
            "/usr/local/bin",
            "/usr/local/sbin",
            "/bin",
            "/sbin",
        )
    ),
    *(
        Pattern(path, _PERSISTENCE, _BELOW)
        for path in (
            "/var/spool/cron",
            "/var/spool/at",
            "/etc/systemd",
            "/usr/local/lib/systemd",
            "/root/.config/systemd",
            "/home/*/.config/systemd",
            "/run/systemd/system",
            "/usr/lib/systemd",
            "/lib/systemd",
            "/lib/modules",
            "/boot",
            "/etc/docker",
            "/etc/containerd",
            "/etc/crio",
            "/etc/containers",
            "/etc/kubernetes",
            "/etc/rancher",
            "/etc/nvidia-container-runtime",
            "/usr/share/containers/oci/hooks.d",
            "/var/lib/k0s/manifests",
            "/var/lib/rancher/k3s/agent/etc/containerd",
            "/var/lib/rancher/k3s/server/manifests",
            "/var/lib/rancher/rke2/agent/etc/containerd",
            "/var/lib/rancher/rke2/agent/pod-manifests",
            "/var/lib/rancher/rke2/server/manifests",
            "/var/snap/microk8s/current/args",
        )
    ),
    *(
        Pattern(path, _SERVICED, _BELOW)
        for path in (
            "/etc/cni",
            "/opt/cni/bin",
            "/var/lib/rancher/k3s/agent/etc/cni",
            "/var/lib/kubelet/device-plugins",
            "/var/lib/kubelet/plugins",
            "/var/lib/kubelet/plugins_registry",
            "/usr/libexec/kubernetes/kubelet-plugins",
            "/etc/nri",
            "/opt/nri/plugins",
            "/etc/cdi",
            "/run/cdi",
        )
    ),
    *(
        Pattern(path, _SECRET, Watch.READ)
        for path in (
            "/etc/shadow",
            "/etc/gshadow",
            "/etc/kubernetes/*.conf",
            "/etc/kubernetes/pki/*.key",
            "/etc/kubernetes/pki/*/*.key",
            "/var/lib/kubelet/kubeconfig",
            "/var/lib/kubelet/pki/*",
            "/etc/rancher/k3s/k3s.yaml",
            "/var/lib/rancher/k3s/server/token",
            "/var/lib/rancher/k3s/server/tls/*.key",
            "/etc/ssh/ssh_host_*_key",
            "/root/.ssh/id_*",
            "/home/*/.ssh/id_*",
            "/root/.kube/config",
            "/home/*/.kube/config",
            "/root/.aws/credentials",
            "/home/*/.aws/credentials",
            "/root/.azure/*",
            "/root/.config/gcloud/*",
            "/root/.docker/config.json",
            "/home/*/.docker/config.json",
        )
    ),
    Pattern("/var/lib/kubelet/pods/*/volumes/kubernetes.io~projected/*/token", _SECRET, Watch.READ, 5),
    Pattern("/var/lib/kubelet/pods/*/volumes/kubernetes.io~secret/*/*", _SECRET, Watch.READ, 5),
    *(
        Pattern(f"{directory}/{name}", _RUNTIME, Watch.WRITE)
        for directory in ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/opt/bin")
        for name in ("runc", "crun", "containerd*", "dockerd", "crio", "conmon", "podman", "kubelet", "youki", "runsc")
    ),
    Pattern("/opt/cni/bin/*", _RUNTIME, Watch.WRITE),
)
"""Everything that is watched without an operator's word. One file may be of several kinds."""


def configured(path: str, kind: str, *, below: bool) -> Pattern:
    """What an operator adds."""
    kind_ = WatchKind(kind)
    if kind_ is WatchKind.SECRET:
        return Pattern(path, kind_, Watch.READ)
    if kind_ is WatchKind.RUNTIME:
        return Pattern(path, kind_, Watch.WRITE)
    return Pattern(path, kind_, _BELOW if below else _ENTRIES)


def static_pods(paths: Iterable[str]) -> tuple[Pattern, ...]:
    """The places from which the kubelet takes manifests; it does not look into directories below them."""
    return tuple(Pattern(path, _PERSISTENCE, _ENTRIES) for path in paths)


def of_agent(files: Iterable[str], directories: Iterable[str]) -> tuple[Pattern, ...]:
    """The agent's own files, and directories with all that is below them."""
    return (
        *(Pattern(path, WatchKind.AGENT, _FILE, is_own=True) for path in files),
        *(Pattern(path, WatchKind.AGENT, _BELOW, is_own=True) for path in directories),
    )


def expand(root: str, pattern: Pattern) -> Iterator[Watched]:
    """The paths below the host's root that a pattern names now, whether they are there or not."""
    for path in _match(root, "", pattern.path.strip("/").split("/")):
        pod = path.split("/")[pattern.pod_component] if pattern.pod_component is not None else ""
        yield Watched(path, pattern.kind, pod)


def _match(root: str, above: str, names: list[str]) -> Iterator[str]:
    """Paths below ``above``; directories are read only where a component is a pattern."""
    if not names:
        yield above
        return
    name, rest = names[0], names[1:]
    if not any(sign in name for sign in "*?["):
        yield from _match(root, f"{above}/{name}", rest)
        return
    try:
        entries = entries_below(root, os.fsencode(above or "/"), _MAX_ENTRIES)
    except CollectorError:
        return
    for entry in sorted(map(os.fsdecode, entries)):
        if fnmatch.fnmatchcase(entry, name) and (not entry.startswith(".") or name.startswith(".")):
            yield from _match(root, f"{above}/{entry}", rest)


@contextmanager
def opened(root: str, path: str) -> Iterator[int]:
    """An ``O_PATH`` descriptor of a watched object, links of the host followed; raises a ``CollectorError`` kind."""
    with open_below(root, os.fsencode(path), follow_links=True) as (found, _):
        yield found
