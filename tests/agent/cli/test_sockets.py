from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from agent.cli.node import Look, Snapshot
from agent.cli.reach import Connected
from agent.config_schema import Config
from collectors.errors import CollectorError
from collectors.events import Event, MountTable, Seen, TcpConnected, UnixConnected
from collectors.facts import Connection, FileId, Mount
from collectors.governing import GoverningSocket, Listener
from tests.agent.cli.nodes import HOSTILE, escaped, invoke, look_at, sleeping
from tests.support import build

RUN = 0x18  # the device of the host's /run
DOCKERD = Listener(build.key(700), b"/usr/bin/dockerd")
DOCKER = GoverningSocket("unix", b"/run/docker.sock", (DOCKERD,), FileId(RUN, 5), 0o660, 0, 999)
SHIM = GoverningSocket("abstract", b"@shim/1", (DOCKERD,))
API = GoverningSocket("tcp", b"0.0.0.0:2375", (DOCKERD,))
HOST_TABLE = MountTable(build.NOW_NS, build.HOST_MNT, None, build.key(900), build.host_mount_table())


def node(
    *events: Event, sockets: tuple[GoverningSocket, ...] = (DOCKER, SHIM, API), connections: tuple[Connected, ...] = ()
) -> Look:
    """A node on which these sockets govern."""

    def look(config: Config, judge: bool) -> Snapshot:  # a ``Look``
        assert judge
        snapshot = look_at(HOST_TABLE, *events)(config, judge)
        return replace(snapshot, connections=connections, read_governing=lambda: sockets)

    return look


def mounting(*mounts: Mount) -> tuple[Event, ...]:
    """Container 1 with these mounts besides its own."""
    seen, table, entered = sleeping(1)
    assert isinstance(table, MountTable)
    return seen, replace(table, mounts=(*table.mounts, *mounts)), entered


def run(number: int, point: bytes, **facts: Any) -> Mount:
    return build.mount(number, point, **{"device": RUN, "fs_type": b"tmpfs", **facts})


def held(look: Look, *arguments: str) -> list[tuple[str, str, str | None]]:
    """Socket, how, and as what."""
    found = json.loads(invoke(look, "sockets", *arguments, "-o", "json").stdout)
    return [(each["socket"], by["how"], by["path"]) for each in found for by in each["containers"]]


@pytest.mark.parametrize(
    ("mounts", "paths"),
    [
        ([run(1100, b"/var/run/docker.sock", root=b"/docker.sock")], ["/var/run/docker.sock"]),
        ([run(1100, b"/host/run")], ["/host/run/docker.sock"]),
        ([run(1100, b"/a"), run(1101, b"/b")], ["/a/docker.sock", "/b/docker.sock"]),
        ([run(1100, b"/a", root=b"/docker")], []),
        ([run(1100, b"/a", device=RUN + 1)], []),
        ([run(1100, b"/a"), build.mount(1101, b"/a", fs_type=b"tmpfs", device=77)], []),
        ([run(1100, b"/a"), build.mount(1101, b"/a/docker.sock", root=b"/null", device=77)], []),
    ],
    ids=["the-socket", "its-directory", "twice", "elsewhere", "another-device", "covered", "masked"],
)
def test_a_mount_reaches_what_it_shows(mounts: list[Mount], paths: list[str]) -> None:
    assert held(node(*mounting(*mounts))) == [("/run/docker.sock", "mount", path) for path in paths]


def test_the_hosts_net_namespace_reaches_ports_and_abstract_sockets() -> None:
    on_host = build.first_process(confinement=build.confinement(namespaces=build.namespaces(net=build.HOST_NET)))
    events = (*sleeping(2), sleeping(1)[0], Seen(build.NOW_NS, on_host))
    assert held(node(*events)) == [
        ("@shim/1", "host_net_namespace", "@shim/1"),
        ("0.0.0.0:2375", "host_net_namespace", "0.0.0.0:2375"),
    ]


def test_a_process_that_is_out_sees_what_the_host_sees() -> None:
    look = node(*sleeping(1), Seen(build.NOW_NS, escaped()))
    assert held(look) == [("/run/docker.sock", "host_mnt_namespace", "/run/docker.sock")]
    assert "  4242\n" in invoke(look, "sockets").stdout


def test_who_is_connected_comes_first_in_bold_red() -> None:
    first = build.key(build.first_pid())
    unix = UnixConnected(build.NOW_NS, build.container_id(), first, 50, b"/var/run/docker.sock", DOCKERD.key, b"")
    tcp = TcpConnected(
        build.NOW_NS,
        build.container_id(),
        None,
        51,
        Connection("tcp", "a", 1, "b", 2375, is_incoming=False),
        True,  # noqa: FBT003
    )
    away = replace(tcp, is_to_this_node=False)
    look = node(*mounting(run(1100, b"/r")), connections=(unix, tcp, away))
    assert held(look) == [
        ("/run/docker.sock", "connected", None),
        ("/run/docker.sock", "mount", "/r/docker.sock"),
        ("0.0.0.0:2375", "connected", None),
    ]
    assert "\x1b[1;31mconnected" in invoke(look, "sockets", "--color", "always").stdout


def test_every_governing_socket_is_listed_and_who_listens() -> None:
    unheard = replace(DOCKER, listeners=())
    result = invoke(node(*sleeping(1), sockets=(unheard, SHIM)), "sockets", "-o", "wide")
    assert result.stdout == (
        "SOCKET            MODE        LISTENS       CONTAINER  HOW  AS  PID\n"
        "/run/docker.sock  0660 0:999  nobody        -          -    -   -\n"
        "@shim/1           -           dockerd(700)  -          -    -   -\n"
    )


def test_of_one_container_only_what_it_comes_to() -> None:
    look = node(*mounting(run(1100, b"/r")), *sleeping(2))
    assert held(look, "web-1") == [("/run/docker.sock", "mount", "/r/docker.sock")]
    result = invoke(look, "sockets", "web-2")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "hullwatch: none is in reach of it\n"
    assert invoke(look, "sockets", "--container", "web-1").stdout == invoke(look, "sockets", "web-1").stdout


def test_hostile_names_of_sockets_are_written_out() -> None:
    name = b"@" + HOSTILE.encode("utf-8", "surrogatepass")
    result = invoke(node(*sleeping(1), sockets=(replace(SHIM, name=name),)), "sockets", "--no-trunc")
    assert "\x1b" not in result.stdout
    assert "@\\x1b]0;owned\\x07" in result.stdout


def test_sockets_that_cannot_be_read_are_said() -> None:
    def refused() -> tuple[GoverningSocket, ...]:
        raise CollectorError("proc/net", "not to be had")

    def look(config: Config, judge: bool) -> Snapshot:  # a ``Look``
        return replace(look_at(*sleeping(1))(config, judge), read_governing=refused)

    assert "the host's sockets are not known: " in invoke(look, "sockets").stderr
