from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from collectors.containers.sources import GoverningFile
from collectors.errors import CollectorError
from collectors.facts import FileId, Place, Process
from collectors.governing import GoverningSocket, Listener, find_files, read_governing, takes_orders
from collectors.governors import Governor, Governors, Scope
from collectors.host import Roots
from collectors.proc.unix import parse_listening
from tests.support import build
from tests.support.proctree import Link, build_tree

UNIX = b"Num       RefCount Protocol Flags    Type St Inode Path\n"
INET = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
RUNTIME = Place(FileId(build.HOST_DEVICE, 600_001), build.HOST_ROOT_MOUNT)
DOCKERD = build.host_process(700, executable=build.executable(b"/usr/bin/dockerd", place=RUNTIME))
OTHER = build.host_process(701, executable=build.executable(b"/usr/bin/pg"))


def listening(inode: int, path: bytes) -> bytes:
    return b"0000000000000000: 00000002 00000000 00010000 0001 01 %5d %s\n" % (inode, path)


def tcp(inode: int, port: int) -> bytes:
    row = b"   1: 00000000:%04X 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 %d 1 0 20 4 30 10 -1\n"
    return row % (port, inode)


class Node:
    """A host with dockerd (700) and somebody else (701), and what /proc shows of their sockets."""

    def __init__(self, root: Path) -> None:
        self.roots = Roots(str(root / "proc"), str(root / "sys"), str(root / "host"))
        self.host = root / "host"
        (self.host / "run/docker").mkdir(parents=True)
        self._servers: list[socket.socket] = []

    def bind(self, path: str) -> os.stat_result:
        """A socket of the host's file system."""
        server = socket.socket(socket.AF_UNIX)
        self._servers.append(server)
        (self.host / path).parent.mkdir(parents=True, exist_ok=True)
        server.bind(str(self.host / path))
        return (self.host / path).stat()

    def close(self) -> None:
        for each in self._servers:
            each.close()

    def show(self, unix: bytes = b"", tcp: bytes = b"", **held: tuple[int, ...]) -> None:
        net = {"unix": UNIX + unix, "tcp": INET + tcp}
        for pid in ("700", "701"):
            links = {str(inode): Link(f"socket:[{inode}]") for inode in held.get(f"by_{pid}", ())}
            build_tree(Path(self.roots.proc) / pid, {"net": dict(net), "fd": dict(links)})

    def read(self, *processes: Process) -> tuple[GoverningSocket, ...]:
        host = build.host_baseline()
        return read_governing(self.roots, host, Governors(self.roots, host), processes or (DOCKERD, OTHER))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.close()


def test_a_known_place_governs_whoever_listens_or_nobody(node: Node) -> None:
    status = node.bind("run/docker.sock")
    node.show()
    file = FileId(status.st_dev, status.st_ino)
    mode = status.st_mode & 0o7777
    expected = GoverningSocket("unix", b"/run/docker.sock", (), file, mode, status.st_uid, status.st_gid)
    assert node.read() == (expected,)
    node.show(listening(50, b"/run/docker.sock"), by_701=(50,))
    assert node.read() == (replace(expected, listeners=(Listener(build.key(701), b"/usr/bin/pg"),)),)


def test_a_runtime_governs_wherever_it_listens(node: Node) -> None:
    node.bind("srv/mine.sock")
    node.show(listening(50, b"/srv/mine.sock") + listening(51, b"@shim/1"), tcp(52, 4711), by_700=(50, 51, 52))
    found = node.read()
    assert [(each.kind, each.name) for each in found] == [
        ("unix", b"/srv/mine.sock"),
        ("abstract", b"@shim/1"),
        ("tcp", b"0.0.0.0:4711"),
    ]
    assert {each.listeners for each in found} == {(Listener(build.key(700), b"/usr/bin/dockerd"),)}


def test_a_name_that_leads_through_a_link_is_the_same_socket(node: Node) -> None:
    node.bind("run/docker.sock")
    (node.host / "var").mkdir()
    (node.host / "var/run").symlink_to("/run")
    node.show(listening(50, b"/var/run/docker.sock"), by_700=(50,))
    (found,) = node.read()
    assert (found.name, [each.key for each in found.listeners]) == (b"/run/docker.sock", [build.key(700)])


def test_ports_of_nodes_count_whoever_serves_them(node: Node) -> None:
    node.show(b"", tcp(52, 2375) + tcp(53, 8080), by_701=(52, 53))
    assert [each.name for each in node.read()] == [b"0.0.0.0:2375"]


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(listening(50, b"/srv/pg.sock"), id="a-service"),
        pytest.param(listening(50, b"@pg"), id="a-service-abstract"),
        pytest.param(listening(60, b"/run/docker.sock"), id="a-row-that-nobody-holds"),
        pytest.param(listening(50, b"/run/nowhere.sock"), id="a-file-that-is-not-there"),
    ],
)
def test_who_governs_nothing_is_left_out(node: Node, rows: bytes) -> None:
    node.bind("srv/pg.sock")
    node.show(rows, by_701=(50,))
    assert node.read() == ()


def test_says_so_where_the_hosts_net_namespace_cannot_be_seen(node: Node) -> None:
    with pytest.raises(CollectorError, match="no process of the host's net namespace"):
        node.read(build.process())


def governor(name: str = "dockerd", scope: Scope = Scope.NODE) -> Governor:
    return Governor(name, b"/srv/engine", scope)


@pytest.mark.parametrize(
    ("who", "name", "owner", "takes"),
    [
        pytest.param(governor(), b"/srv/x.sock", 1000, True, id="a-runtime-of-a-user"),
        pytest.param(governor("kubelet"), b"/var/lib/kubelet/plugins/x.sock", 0, True, id="a-kubelet"),
        pytest.param(
            governor("kubelet"),
            b"/var/lib/kubelet/pod-resources/kubelet.sock",
            0,
            False,
            id="a-kubelet-that-only-tells",
        ),
        pytest.param(governor("systemd", Scope.OTHERS), b"/run/systemd/journal/dev-log", 0, False, id="for-others"),
        pytest.param(governor("dbus-daemon", Scope.BUS), b"/run/bus", 0, True, id="the-system's-bus"),
        pytest.param(governor("dbus-daemon", Scope.BUS), b"/run/user/1000/bus", 1000, False, id="a-session's-bus"),
    ],
)
def test_takes_orders(who: Governor, name: bytes, owner: int, *, takes: bool) -> None:
    assert takes_orders(who, name, owner) is takes


def test_finds_the_files_that_who_governs_listens_on(node: Node) -> None:
    mine, known, log = (node.bind(each) for each in ("srv/mine.sock", "run/docker.sock", "run/log"))
    rows = listening(50, b"/srv/mine.sock") + listening(51, b"/run/docker.sock") + listening(52, b"/run/log")
    node.show(rows, by_700=(50, 51), by_701=(52,))
    found = find_files(node.roots, parse_listening(UNIX + rows), {DOCKERD.key: governor()})
    assert [(each.place, each.server) for each in found] == [
        ("/run/docker.sock", "dockerd"),
        ("/srv/mine.sock", "dockerd"),
    ]
    assert [each.chain[-1].inode for each in found] == [known.st_ino, mine.st_ino]
    assert found[1] == GoverningFile("/srv/mine.sock", found[1].chain, "dockerd")
    assert found[1].chain[-2].inode == (node.host / "srv").stat().st_ino
    assert log.st_ino not in {each.chain[-1].inode for each in found}


@pytest.mark.parametrize("name", [b"@abstract", b"relative.sock", b"/srv/gone.sock"])
def test_finds_no_file_where_there_is_none(node: Node, name: bytes) -> None:
    rows = listening(50, name)
    node.show(rows, by_700=(50,))
    assert find_files(node.roots, parse_listening(UNIX + rows), {DOCKERD.key: governor()}) == ()
