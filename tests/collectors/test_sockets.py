from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from collectors.errors import Gone
from collectors.events import Event, RawSocketHeld, TcpConnected, UnixConnected
from collectors.facts import Connection, DeclaredMount, FileId, Place, Process
from collectors.governors import Governors
from collectors.host import Roots
from collectors.sockdiag import UnixPeer
from collectors.sockets import EVERY, TCP_READS_AT_A_LOOK, SocketWatch
from tests.support import build
from tests.support.proctree import Link, build_tree

UNIX = b"Num       RefCount Protocol Flags    Type St Inode Path\n"
INET = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
PACKET = b"sk       RefCnt Type Proto  Iface R Rmem   User   Inode\n"
ROUTES = (
    b"Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.5\n        /32 host LOCAL\n"
    b"     |-- 127.0.0.1\n        /32 host LOCAL\n"
)
CONTAINER, FIRST, DOCKERD = build.container_id(), build.first_pid(), 700


def unix_row(inode: int, path: bytes, *, is_listening: bool = False) -> bytes:
    flags, state = (b"00010000", b"01") if is_listening else (b"00000000", b"03")
    return b"0000000000000000: 00000003 00000000 %s 0001 %s %5d %s\n" % (flags, state, inode, path)


def tcp_row(inode: int, remote: bytes, port: int, state: bytes = b"01") -> bytes:
    return (
        b"   1: 020011AC:9C40 %s:%04X %s 00000000:00000000 00:00000000 00000000     0        0 %d 1 0 20 4 30 10 -1\n"
        % (remote, port, state, inode)
    )


NODE_ADDRESS, ELSEWHERE, METADATA, LOOPBACK = b"0500000A", b"0600000A", b"FEA9FEA9", b"0100007F"


@dataclass
class FakeObserver:
    """What the watch asks of the observer."""

    processes: list[tuple[str | None, Process]]
    mounts: dict[str, tuple[DeclaredMount, ...]]

    def told_processes(self) -> tuple[tuple[str | None, Process], ...]:
        return tuple(self.processes)

    def declared_mounts(self, container_id: str) -> tuple[DeclaredMount, ...]:
        return self.mounts.get(container_id, ())


class Node:
    """A container, dockerd, and what /proc shows of their sockets; ``events`` is what the watch told."""

    def __init__(self, root: Path) -> None:
        self.proc = root / "proc"
        self.events: list[Event] = []
        self.peers: tuple[UnixPeer, ...] = ()
        runtime = Place(FileId(build.HOST_DEVICE, 600_001), build.HOST_ROOT_MOUNT)
        dockerd = build.host_process(DOCKERD, executable=build.executable(b"/usr/bin/dockerd", place=runtime))
        self.observer = FakeObserver(
            [(None, dockerd), (None, build.host_process(701)), (CONTAINER, build.first_process())], {}
        )
        build_tree(self.proc / "1", {"net": {"fib_trie": ROUTES}})
        self.show()
        self.hold(DOCKERD, 50)
        self.watch = SocketWatch(
            Roots(str(self.proc), str(root / "sys"), str(root / "host")),
            build.host_baseline(),
            self.observer,  # type: ignore[arg-type]
            self.events.append,
            governors=Governors(Roots(str(self.proc), str(root / "sys"), str(root / "host")), build.host_baseline()),
            clock_ns=lambda: build.NOW_NS,
            read_peers=lambda: self.peers,
        )

    def show(self, *, unix: bytes = b"", tcp: bytes = b"", raw: bytes = b"", packet: bytes = b"") -> None:
        """What the container's net namespace shows."""
        net = {"unix": UNIX + unix, "tcp": INET + tcp, "raw": INET + raw, "packet": PACKET + packet}
        build_tree(self.proc / str(FIRST) / "net", dict(net))

    def hold(self, pid: int, *inodes: int) -> None:
        """What sockets a process holds."""
        build_tree(self.proc / str(pid) / "fd", {str(inode): Link(f"socket:[{inode}]") for inode in inodes})

    def on_host_network(self) -> None:
        first = build.first_process()
        shared = replace(first.confinement, namespaces=build.namespaces(net=build.HOST_NET))
        self.observer.processes[-1] = (CONTAINER, replace(first, confinement=shared))

    def look(self) -> list[Event]:
        self.watch.look_now()
        told, self.events[:] = list(self.events), []
        return told


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_tells_a_connection_whose_far_end_a_governing_process_holds(node: Node) -> None:
    node.show(unix=unix_row(50, b"/run/docker.sock"))
    assert node.look() == [
        UnixConnected(build.NOW_NS, CONTAINER, None, 50, b"/run/docker.sock", build.key(DOCKERD), b"/usr/bin/dockerd")
    ]
    assert node.look() == []


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(unix_row(51, b"/run/docker.sock"), id="far-end-held-by-nobody-who-governs"),
        pytest.param(
            unix_row(50, b"/tmp/pg.sock") + unix_row(40, b"/tmp/pg.sock", is_listening=True), id="served-inside"
        ),
        pytest.param(unix_row(50, b""), id="nameless"),
    ],
)
def test_tells_no_connection_that_stays_inside(node: Node, rows: bytes) -> None:
    node.show(unix=rows)
    assert node.look() == []


def test_tells_which_container_of_a_pod_was_given_the_socket(node: Node) -> None:
    second = build.first_process(2, confinement=build.confinement(2, namespaces=build.namespaces(1)))
    node.observer.processes.append((build.container_id(2), second))
    node.observer.mounts[build.container_id(2)] = (DeclaredMount("/d.sock", "/var/run/docker.sock", "bind", ()),)
    node.show(unix=unix_row(50, b"/run/docker.sock"))
    (event,) = node.look()
    assert isinstance(event, UnixConnected)
    assert event.container_id == build.container_id(2)


def test_tells_who_is_connected_on_the_host_s_network(node: Node) -> None:
    node.on_host_network()
    node.hold(FIRST, 60)
    node.peers = (UnixPeer(50, 60, b"\0shim"), UnixPeer(60, 50, b""), UnixPeer(50_000, 60_000, b"/other"))
    assert node.look() == [
        UnixConnected(build.NOW_NS, CONTAINER, build.key(FIRST), 50, b"@shim", build.key(DOCKERD), b"/usr/bin/dockerd")
    ]
    assert node.look() == []


def test_a_kernel_without_sock_diag_is_counted(node: Node) -> None:
    def refuse() -> tuple[UnixPeer, ...]:
        raise Gone("sock_diag", "no such family")

    node.on_host_network()
    node.watch._read_peers = refuse
    assert node.look() == []
    assert node.watch.counts["peers_unread"] == 1


def test_tells_connections_to_services_of_the_node(node: Node) -> None:
    node.show(tcp=tcp_row(71, NODE_ADDRESS, 10250) + tcp_row(72, ELSEWHERE, 443) + tcp_row(73, LOOPBACK, 2379))
    node.hold(FIRST, 71)
    connection = Connection("tcp", "172.17.0.2", 40000, "10.0.0.5", 10250, is_incoming=False)
    assert node.look() == [TcpConnected(build.NOW_NS, CONTAINER, build.key(FIRST), 71, connection, True)]  # noqa: FBT003
    assert node.look() == []


def test_tells_a_connection_to_metadata_also_when_its_holder_is_not_found(node: Node) -> None:
    node.show(tcp=tcp_row(71, METADATA, 80, b"02"))
    (event,) = node.look()
    assert isinstance(event, TcpConnected)
    assert (event.process, event.container_id, event.is_to_this_node) == (None, CONTAINER, False)


def test_tells_on_the_host_s_network_only_what_a_container_holds(node: Node) -> None:
    node.on_host_network()
    node.show(tcp=tcp_row(71, LOOPBACK, 2379) + tcp_row(72, LOOPBACK, 2379))
    node.hold(FIRST, 72)
    (event,) = node.look()
    assert isinstance(event, TcpConnected)
    assert (event.inode, event.is_to_this_node) == (72, True)


def test_reads_no_tcp_where_none_is_in_use(node: Node) -> None:
    node.show(tcp=tcp_row(71, METADATA, 80))
    build_tree(
        node.proc / str(FIRST) / "net",
        {"sockstat": b"sockets: used 1\nTCP: inuse 0 orphan 0\n", "sockstat6": b"TCP6: inuse 0\n"},
    )
    assert node.look() == []


def test_reads_tcp_of_a_few_namespaces_in_turn(node: Node) -> None:
    node.observer.processes = []
    for number in range(1, 2 * TCP_READS_AT_A_LOOK):
        node.observer.processes.append((build.container_id(number), build.first_process(number)))
        net = {"unix": UNIX, "tcp": INET + tcp_row(7000 + number, METADATA, 80), "sockstat6": b"TCP6: inuse 0\n"}
        build_tree(node.proc / str(build.first_pid(number)) / "net", dict(net))
    assert len(node.look()) == TCP_READS_AT_A_LOOK
    assert len(node.look()) == TCP_READS_AT_A_LOOK - 1
    assert node.look() == []


def test_tells_raw_and_packet_sockets(node: Node) -> None:
    node.show(raw=tcp_row(81, b"00000000", 0, b"07"), packet=b"0 3 3 0003 2 1 0 0 82\n")
    node.hold(FIRST, 81, 82)
    told = node.look()
    assert [(each.inode, each.kind) for each in told if isinstance(each, RawSocketHeld)] == [
        (81, "raw"),
        (82, "packet"),
    ]


def test_looks_at_every_fifth_call(node: Node) -> None:
    for _ in range(2 * EVERY):
        node.watch.look()
    assert node.watch.counts["looks"] == 2


def test_a_namespace_that_nobody_shows_any_more_is_counted(node: Node) -> None:
    node.observer.processes = [(CONTAINER, build.first_process(3))]
    assert node.look() == []
    assert node.watch.counts["unread_namespaces"] == 1
