from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from collectors.containers.sources import GoverningFile
from collectors.events import ContainerSeen, Event
from collectors.facts import Container, FileId, Place, Process
from collectors.governing_watch import EVERY, GoverningWatch
from collectors.governors import Governors
from collectors.host import Roots
from tests.support import build
from tests.support.proctree import Link, build_tree

UNIX = b"Num       RefCount Protocol Flags    Type St Inode Path\n"
RUNTIME = Place(FileId(build.HOST_DEVICE, 600_001), build.HOST_ROOT_MOUNT)
DOCKERD, SHIM, LOGGER = 700, 701, 702
PROGRAMS = {DOCKERD: b"/usr/bin/dockerd", SHIM: b"/usr/bin/containerd-shim-runc-v2", LOGGER: b"/usr/sbin/rsyslogd"}


class Registry:
    """Keeps what it is told, and one container that each change concerns."""

    def __init__(self) -> None:
        self.told: list[tuple[GoverningFile, ...]] = []

    def learn_sockets(self, sockets: tuple[GoverningFile, ...]) -> list[Container]:
        """Takes the place of ``ContainerRegistry.learn_sockets``."""
        self.told.append(sockets)
        return [build.container()]


class Node:
    """A host whose daemons each listen on a socket of their own."""

    def __init__(self, root: Path) -> None:
        self.roots = Roots(str(root / "proc"), str(root / "sys"), str(root / "host"))
        self.registry, self.events = Registry(), list[Event]()
        self.processes: list[tuple[str | None, Process]] = []
        self._servers: list[socket.socket] = []
        for pid, program in PROGRAMS.items():
            place = RUNTIME if pid != LOGGER else Place(FileId(build.HOST_DEVICE, 5), build.HOST_ROOT_MOUNT)
            executable = build.executable(program, place=place)
            self.processes.append((None, build.host_process(pid, executable=executable)))
        for index, name in enumerate(("srv/mine.sock", "run/shim.sock", "run/log")):
            self.bind(name, 50 + index, DOCKERD + index)
        self.watch = GoverningWatch(
            self.roots,
            build.host_baseline(),
            self,  # type: ignore[arg-type]
            self.registry,  # type: ignore[arg-type]
            self.events.append,
            governors=Governors(self.roots, build.host_baseline()),
            clock_ns=lambda: build.NOW_NS,
        )

    def told_processes(self) -> list[tuple[str | None, Process]]:
        """Takes the place of ``Observer.told_processes``."""
        return self.processes

    def bind(self, name: str, inode: int, pid: int) -> None:
        """A listening socket, as /proc of every process shows it, and of its holder its descriptor."""
        path = Path(self.roots.host) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = Path.cwd()
        os.chdir(path.parent)  # the name of a socket is short
        try:
            server = socket.socket(socket.AF_UNIX)
            self._servers.append(server)
            server.bind(path.name)
        finally:
            os.chdir(before)
        row = b"0000000000000000: 00000002 00000000 00010000 0001 01 %5d /%s\n" % (inode, name.encode())
        build_tree(Path(self.roots.proc) / str(pid), {"fd": {str(inode): Link(f"socket:[{inode}]")}})
        for each in PROGRAMS:
            table = Path(self.roots.proc) / str(each) / "net/unix"
            table.parent.mkdir(parents=True, exist_ok=True)
            table.write_bytes((table.read_bytes() if table.exists() else UNIX) + row)

    def close(self) -> None:
        for each in self._servers:
            each.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.close()


def test_tells_the_sockets_of_who_governs_more_than_one_container(node: Node) -> None:
    node.watch.look_now()
    ((socket_of_dockerd,),) = node.registry.told
    assert (socket_of_dockerd.place, socket_of_dockerd.server) == ("/srv/mine.sock", "dockerd")
    assert node.events == [ContainerSeen(build.NOW_NS, build.container())]


def test_reads_nothing_more_while_nothing_changes(node: Node) -> None:
    for _ in range(3):
        node.watch.look_now()
    assert node.watch.counts == {"looks": 3, "read": 1, "unread": 0}
    assert len(node.events) == 1


def test_tells_a_socket_that_came_later(node: Node) -> None:
    node.watch.look_now()
    node.bind("srv/new.sock", 60, DOCKERD)
    node.watch.look_now()
    assert [each.place for each in node.registry.told[-1]] == ["/srv/mine.sock", "/srv/new.sock"]


def test_forgets_those_of_who_has_ended(node: Node) -> None:
    node.watch.look_now()
    del node.processes[0]
    node.watch.look_now()
    assert node.registry.told[-1] == ()


def test_is_silent_about_a_runtime_that_runs_in_a_container(node: Node) -> None:
    node.processes[0] = (build.container_id(), node.processes[0][1])
    node.watch.look_now()
    assert node.registry.told == [()]


def test_counts_what_it_could_not_read_and_keeps_what_it_knew(node: Node) -> None:
    node.watch.look_now()
    process = node.processes[0][1]
    apart = replace(process.confinement, namespaces=build.namespaces(net=7))
    node.processes[0] = (None, replace(process, confinement=apart))
    node.watch.look_now()
    assert node.watch.counts["unread"] == 1
    assert len(node.registry.told) == 1


def test_looks_at_every_fifth_sweep(node: Node) -> None:
    for _ in range(EVERY + 1):
        node.watch.look()
    assert node.watch.counts["looks"] == 2
