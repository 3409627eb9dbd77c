"""A made-up node for the doctor: all is well, but for what a test changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from msgspec import structs

from agent.config_schema import Config, ContainersConfig, DockerConfig
from agent.doctor.base import Answer, Surroundings
from agent.state_schema import StateConfig
from collectors.errors import CollectorError, Unsupported
from collectors.host import Roots
from tests.support import build
from tests.support.proctree import Tree, build_tree, process_tree


def well(root: Path, **changes: Any) -> Surroundings:
    """A node on which nothing is missing."""
    proc: Tree = {
        **{str(pid): process_tree(pid) for pid in (1, 700, 701)},
        "sys": {
            "kernel": {"perf_event_paranoid": b"2\n"},
            "fs": {"inotify": {"max_user_watches": b"65536\n"}},
        },
    }
    sys: Tree = {
        "fs": {"cgroup": {"cgroup.controllers": b"cpu\n"}},
        "kernel": {
            "btf": {"vmlinux": b"x"},
            "security": {"lockdown": b"[none] integrity confidentiality\n"},
            "tracing": {"events": {"syscalls": {}}},
        },
    }
    roots = Roots(build_tree(root / "proc", proc), build_tree(root / "sys", sys), str(root / "host"))
    (root / "host/run/containerd/runc").mkdir(parents=True)
    (root / "state").mkdir(mode=0o700)
    config = Config(
        state=StateConfig(directory=str(root / "state")),
        containers=ContainersConfig(docker=DockerConfig(socket=str(root / "docker.sock"))),
    )
    base = Surroundings(
        config=config,
        roots=roots,
        host=build.host_baseline(),
        uid=0,
        capabilities=build.capabilities(build.FULL_CAPABILITIES),
        seccomp=build.seccomp(0),
        label=b"unconfined\n",
        own=build.host_namespaces(),
        kernel="6.1.0-18-amd64",
        try_connector=lambda: "the kernel answers",
        try_library=lambda: "loaded",
        try_ebpf=lambda: "one tracepoint for each watched system call",
        try_inotify=lambda: "to be had",
        try_docker=lambda: "HTTP/1.0 200 OK",
        is_clock_synchronised=lambda: True,
    )
    return replace(base, **changes)


def configured(surroundings: Surroundings, **changes: Any) -> Surroundings:
    """The same node under another configuration."""
    return replace(surroundings, config=structs.replace(surroundings.config, **changes))


def refused() -> str:
    """A trial that does not succeed."""
    error: CollectorError = Unsupported("ebpf", "not to be had")
    raise error


def by_name(answers: tuple[Answer, ...]) -> dict[str, Answer]:
    """The answers by the name of the check."""
    return {each.name: each for each in answers}
