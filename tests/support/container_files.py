"""A node's files as the registry of containers reads them: bundles, states of runtimes, processes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from collectors.containers.registry import ContainerRegistry
from collectors.facts import (
    CgroupMembership,
    Container,
)
from collectors.host import Roots

A = "a1" * 32
B = "b2" * 32
UID = "2040f34c-1567-4a38-8d6e-578444975420"
DOCKER = "run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby"
CONTAINERD = "run/containerd/io.containerd.runtime.v2.task/k8s.io"
SECOND = 1_000_000_000


class Node:
    """A node's file tree below a directory, and a clock that stands still."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now_ns = 1_700_000_000 * SECOND
        (root / "proc").mkdir()
        (root / "host").mkdir()

    def registry(self, **options: Any) -> ContainerRegistry:
        """A registry over these files."""
        roots = Roots(proc=str(self.root / "proc"), sys=str(self.root / "sys"), host=str(self.root / "host"))
        return ContainerRegistry(roots, clock_ns=lambda: self.now_ns, **options)

    def path(self, path: str) -> Path:
        """Where the host's path is."""
        return self.root / "host" / path

    def write(self, path: str, data: bytes | str | dict[str, Any]) -> Path:
        """Make a file of the host, with the directories above it."""
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(
            data if isinstance(data, bytes) else (data if isinstance(data, str) else json.dumps(data)).encode()
        )
        return file

    def process(self, pid: int, cgroup: str = "0::/\n") -> None:
        """Make a process that lives."""
        (self.root / "proc" / str(pid)).mkdir(exist_ok=True)
        (self.root / "proc" / str(pid) / "cgroup").write_text(cgroup)

    def bundle(self, path: str, pid: int | None, pid_name: str = "init.pid", **annotations: str) -> None:
        """Make a bundle, and its first process where it has one."""
        self.write(f"{path}/config.json", config(annotations))
        if pid is not None:
            self.write(f"{path}/{pid_name}", str(pid))
            self.process(pid)


def config(annotations: dict[str, str] | None = None, cgroups_path: str = "") -> dict[str, Any]:
    """A bundle's ``config.json``."""
    return {
        "process": {"cwd": "/", "args": ["sh"]},
        "root": {"path": "rootfs"},
        "annotations": annotations or {},
        "linux": {"cgroupsPath": cgroups_path, "maskedPaths": ["/proc/kcore"]},
    }


def state(pid: int, *paths: str, bundle: str | None = None) -> dict[str, Any]:
    """A ``state.json`` of runc."""
    return {
        "init_process_pid": pid,
        "init_process_start": pid * 10,
        "created": "2026-11-21T20:00:00Z",
        "cgroup_paths": {f"c{number}": f"/sys/fs/cgroup/c{number}{path}" for number, path in enumerate(paths)},
        "config": {"labels": [] if bundle is None else [f"bundle={bundle}"]},
    }


def lines(*paths: str) -> tuple[CgroupMembership, ...]:
    """Membership in these cgroups, each of another hierarchy."""
    return tuple(CgroupMembership(number, b"", os.fsencode(path)) for number, path in enumerate(paths))


def noticed(found: Container | None) -> Container:
    """The container that was noticed."""
    assert found is not None
    return found
