from dataclasses import replace
from typing import cast

import pytest

from collectors.births import Tracked
from collectors.ebpf.acts import ActRecord, decode_act
from collectors.ebpf.connections import Connections, remote_of
from collectors.ebpf.records import CAUSE_CONNECTION
from collectors.events import Event, TcpConnected, UnixConnected
from collectors.facts import Executable, FileId, Place
from collectors.governors import Governors
from collectors.host import Roots
from collectors.observer import Observer
from tests.collectors.ebpf.test_acts import NUMBERS, act_bytes
from tests.support import build

METADATA = (0, 0xFEA9FEA9_FFFF0000, 80)  # ::ffff:169.254.169.254 in memory order
DOCKERD = FileId(build.HOST_DEVICE, 4711)
CONTAINER = Tracked(build.key(4242), build.process(), build.container_id(), None)


class Known:
    """An observer that knows one server."""

    def __init__(self, server: Tracked | None) -> None:
        self._server = server

    def tracked(self, pid: int) -> Tracked | None:
        """Takes the place of ``Observer.tracked``."""
        return self._server if self._server is not None and self._server.key.pid == pid else None


def server(file: FileId = DOCKERD) -> Tracked:
    process = build.host_process(800)
    assert isinstance(process.executable, Executable)
    executable = replace(process.executable, path=b"/usr/bin/dockerd", place=Place(file, 27))
    return Tracked(process.key, replace(process, executable=executable), None, None)


def taken(record: ActRecord, known: Tracked | None = None, **host: object) -> list[Event]:
    events: list[Event] = []
    baseline = build.host_baseline(runtime_binaries=frozenset({DOCKERD}), **host)
    roots = Roots(proc="/none", sys="/none", host="/none")
    observer, governors = cast("Observer", Known(known)), Governors(roots, baseline)
    connections = Connections(observer, baseline, roots, events.append, governors=governors)
    connections.take(record, CONTAINER, build.NOW_NS)
    return events


def connection(path: tuple[bytes, ...] = (b"/run/docker.sock",)) -> ActRecord:
    return decode_act(act_bytes(NUMBERS["connect"], path=path, target=800, how=11, inode=99))


def tcp(first: int, second: int, port: int) -> ActRecord:
    return decode_act(act_bytes(CAUSE_CONNECTION, a0=first, a1=second, a2=port, inode=99, how=11))


def test_tells_a_connection_to_a_governing_process() -> None:
    known = server()
    assert taken(connection(), known) == [
        UnixConnected(
            build.NOW_NS, build.container_id(), CONTAINER.key, 99, b"/run/docker.sock", known.key, b"/usr/bin/dockerd"
        )
    ]


def test_names_an_abstract_socket_as_the_other_tiers_do() -> None:
    (told,) = taken(connection((b"", b"containerd-shim")), server())
    assert isinstance(told, UnixConnected)
    assert told.path.rstrip(b"\0") == b"@containerd-shim"


def test_is_silent_about_anybody_else() -> None:
    assert taken(connection(), server(FileId(1, 1))) == []
    assert taken(connection()) == []
    assert taken(connection(), replace(server(), container_id=build.container_id(2))) == []


def test_tells_a_connection_to_a_watched_address() -> None:
    (told,) = taken(tcp(*METADATA))
    assert isinstance(told, TcpConnected)
    assert (told.connection.remote, told.connection.remote_port, told.inode) == ("169.254.169.254", 80, 99)
    assert not told.is_to_this_node


def test_loopback_is_the_containers_own_unless_the_network_is_the_hosts() -> None:
    loopback = (0, 0x0100007F_FFFF0000, 10250)
    assert taken(tcp(*loopback)) == []
    network = decode_act(act_bytes(CAUSE_CONNECTION)).task.vector.namespaces[2]
    (told,) = taken(tcp(*loopback), namespaces=build.host_namespaces(net=network))
    assert isinstance(told, TcpConnected)
    assert told.is_to_this_node


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [((*METADATA, 0), ("169.254.169.254", 80)), ((0, 1 << 56, 2375, 0), ("::1", 2375))],
)
def test_unpacks_addresses(arguments: tuple[int, ...], expected: tuple[str, int]) -> None:
    assert remote_of(arguments) == expected
