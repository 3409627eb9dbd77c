"""A made-up /proc with an observer and a sweep over it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from collectors.containers.registry import ContainerRegistry
from collectors.events import (
    Event,
    ProcessEvent,
)
from collectors.host import Roots
from collectors.observer import Observer
from collectors.proc.process import ProcessReader
from collectors.sweep import Sweep
from tests.support import build
from tests.support.proctree import Link, Tree, build_tree, namespace_links, process_tree, stat_line

CONTAINER = "ab" * 32
CGROUP = f"0::/system.slice/docker-{CONTAINER}.scope\n".encode()
UPTIME_NS = 50_000_000_000  # 5,000 ticks, the start of every made-up process
HOST_CGROUP = b"0::/system.slice/ssh.service\n"
SHIM = 50


class Node:
    """A made-up /proc with an observer and a sweep over it; ``events`` is what they told."""

    def __init__(self, root: Path) -> None:
        self.proc = Path(build_tree(root / "proc", {"1": process_tree(1), str(SHIM): process_tree(SHIM)}))
        self.events: list[Event] = []
        self.now_ns = build.NOW_NS
        roots = Roots(str(self.proc), str(root / "sys"), str(root / "host"))
        host = build.host_baseline()
        self.observer = Observer(
            ProcessReader(roots, self.clock),
            ContainerRegistry(roots, clock_ns=self.clock),
            host,
            roots,
            self.events.append,
            clock_ns=self.clock,
            uptime_ns=lambda: UPTIME_NS,
            descriptors=16,
            limit=1000,
        )
        self.sweep = Sweep(
            self.observer, roots, self.events.append, clock_ns=self.clock, cpu_ns=self.clock, full_every=1000
        )

    def clock(self) -> int:
        """A later moment at each call."""
        self.now_ns += 1
        return self.now_ns

    def put(self, pid: int, **entries: Tree | bytes | Link) -> None:
        """Make a process, or another one of the same pid (with another directory inode)."""
        if (self.proc / str(pid)).exists():
            (self.proc / str(pid)).rename(self.proc.parent / f"gone-{pid}-{self.clock()}")
        build_tree(self.proc / str(pid), process_tree(pid, **entries))

    def put_member(self, pid: int, *, parent: int = SHIM, **entries: Tree | bytes | Link) -> None:
        """Make a process of the container; its mount namespace is 77."""
        defaults: Tree = {
            "stat": stat_line(pid, parent_pid=parent),
            "cgroup": CGROUP,
            "ns": namespace_links(mnt=77, net=78),
            "mountinfo": b"900 1 0:50 / / rw - overlay overlay rw,upperdir=/upper\n",
            "task": {str(pid): {}},
        }
        self.put(pid, **(defaults | entries))

    def relink(self, path: str, text: str) -> None:
        """Have a link below /proc lead elsewhere."""
        (self.proc / path).unlink()
        os.symlink(text, self.proc / path)

    def remove(self, pid: int) -> None:
        """End a process."""
        shutil.rmtree(self.proc / str(pid))

    def told(self, kind: type[Event] = Event) -> list[Event]:
        """What was told since the last call."""
        told, self.events[:] = [event for event in self.events if isinstance(event, kind)], []
        return told

    def told_pids(self, kind: type[ProcessEvent] = ProcessEvent) -> list[int]:
        """The pids that events of processes were about since the last call."""
        return [event.process.key.pid for event in self.told(kind) if isinstance(event, ProcessEvent)]
