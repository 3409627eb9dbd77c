"""Programs of the host that are known by who they are: those the kernel runs by itself, and container runtimes.

Both are recognised by (device, inode), found once at start below the host's root. What the kernel is configured to run
may have been configured by an attacker before the agent came, so a program counts only if it is a regular file that
root alone can write, as are all directories above it, and lies where distributions install programs: a payload in a
container's layer (``/var/lib/docker/...``) is root's too.

Sources: callers of the kernel's ``call_usermodehelper`` (``kernel/umh.c``), core(5),
``Documentation/admin-guide/sysctl/kernel.rst``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from collectors.errors import CollectorError
from collectors.facts import FileId
from collectors.hosttree import entries_below, open_below

# Paths that are compiled into the kernel: security/keys/request_key.c, kernel/reboot.c, net/bridge/br_private.h,
# fs/nfs/cache_lib.c, fs/nfsd/nfs4recover.c, drivers/block/drbd, CONFIG_MODPROBE_PATH, CONFIG_UEVENT_HELPER_PATH.
KERNEL_HELPERS = (
    b"/sbin/request-key",
    b"/sbin/poweroff",
    b"/sbin/reboot",
    b"/sbin/modprobe",
    b"/sbin/bridge-stp",
    b"/sbin/nfs_cache_getent",
    b"/sbin/nfsdcltrack",
    b"/sbin/drbdadm",
)
_INSTALLED = (b"/usr/", b"/bin/", b"/sbin/", b"/lib/", b"/lib64/", b"/opt/", b"/nix/store/", b"/gnu/store/")
_STATE_OF_DISTRIBUTIONS = (b"/var/lib/rancher/", b"/var/lib/k0s/bin/", b"/snap/", b"/home/kubernetes/bin/")

# Not docker-init or catatonit: the runtime mounts those into containers, where they are the first process.
RUNTIME_NAMES = frozenset(
    {b"runc", b"crun", b"youki", b"runsc", b"kata-runtime", b"conmon", b"conmonrs"}
    | {b"dockerd", b"containerd", b"crio", b"cri-o", b"podman", b"buildah", b"buildkitd", b"docker-runc", b"nerdctl"}
    | {b"docker-proxy", b"k3s", b"rke2", b"lxc-start", b"systemd-nspawn", b"containerd-shim"}
    | {b"kubelet", b"cri-dockerd"},  # they have the runtime do it: as much worth to whoever takes them
)
RUNTIME_PREFIX = b"containerd-shim-"
RUNTIME_DIRECTORIES = (
    b"/usr/bin",
    b"/usr/sbin",
    b"/usr/local/bin",
    b"/usr/local/sbin",
    b"/bin",
    b"/sbin",
    b"/opt/bin",
    b"/opt/containerd/bin",
    b"/opt/kata/bin",
    b"/usr/libexec",
    b"/usr/libexec/docker",
    b"/usr/libexec/podman",
    b"/usr/libexec/crio",
    b"/usr/lib/podman",
    b"/usr/lib/cri-o-runc/sbin",
    b"/home/kubernetes/bin",
    b"/var/lib/k0s/bin",
    b"/snap/microk8s/current/bin",
    b"/snap/docker/current/bin",
)
_DATA_DIRECTORIES = (b"/var/lib/rancher/k3s/data", b"/var/lib/rancher/rke2/data")  # one child for each release
_MAX_ENTRIES = 20_000
_MAX_RELEASES = 32
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def parse_core_pattern(data: bytes) -> bytes | None:
    """The program that ``/proc/sys/kernel/core_pattern`` pipes dumps to (core(5)); ``None`` when it names files."""
    return parse_program(data[1:]) if data.startswith(b"|") else None


def parse_program(data: bytes) -> bytes | None:
    """The program that a value such as ``release_agent`` names: its first word; ``None`` when that is no path."""
    words = data.split(b"\n", 1)[0].split(None, 1)
    return words[0] if words and words[0].startswith(b"/") else None


def find_trusted(root: str, path: bytes) -> FileId | None:
    """The identity of an installed program of the host; ``None`` when there is none, or not only root writes it."""
    try:
        with open_below(root, path, follow_links=True) as (found, real_path):
            status = os.fstat(found)
            trusted = (
                real_path.startswith(_INSTALLED + _STATE_OF_DISTRIBUTIONS)
                and stat.S_ISREG(status.st_mode)
                and _is_roots_alone(status)
                and _are_directories_roots_alone(root, real_path)
            )
            return FileId(status.st_dev, status.st_ino) if trusted else None
    except CollectorError:
        return None


def find_all_trusted(root: str, paths: Iterable[bytes]) -> frozenset[FileId]:
    """The identities of those of ``paths`` that are installed programs of the host."""
    return frozenset(found for path in paths if (found := find_trusted(root, path)) is not None)


def find_runtimes(root: str) -> frozenset[FileId]:
    """The container runtimes' executables in the places where distributions put them."""
    directories = list(RUNTIME_DIRECTORIES)
    for data in _DATA_DIRECTORIES:
        directories += [data + b"/" + release + b"/bin" for release in _entries(root, data, _MAX_RELEASES)]
    return find_all_trusted(
        root,
        (
            directory + b"/" + name
            for directory in directories
            for name in _entries(root, directory, _MAX_ENTRIES)
            if name in RUNTIME_NAMES or name.startswith(RUNTIME_PREFIX)
        ),
    )


def _entries(root: str, directory: bytes, limit: int) -> list[bytes]:
    """The names in a directory; none when it is not there."""
    try:
        return entries_below(root, directory, limit)
    except CollectorError:
        return []


def _is_roots_alone(status: os.stat_result) -> bool:
    """Owned by root, and nobody else may write."""
    return status.st_uid == 0 and not status.st_mode & _WRITABLE_BY_OTHERS


def _are_directories_roots_alone(root: str, real_path: bytes) -> bool:
    """All directories above a file can be written by root alone."""
    parts = real_path.split(b"/")[1:-1]
    for count in range(len(parts) + 1):
        with open_below(root, b"/".join(parts[:count]), follow_links=False) as (found, _):
            if not _is_roots_alone(os.fstat(found)):
                return False
    return True
