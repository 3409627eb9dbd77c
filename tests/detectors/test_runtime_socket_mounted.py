from __future__ import annotations

from dataclasses import replace

import pytest

from collectors.events import ContainerSeen
from collectors.facts import FileKind, MountSource, Reach, Reached, Unknown
from detectors.base import Blind, Confidence, Finding
from detectors.runtime_socket_mounted import DETECTOR, OPENS, OPENS_BY_SERVER
from tests.support import build
from tests.support.view import FakeView, run

DOCKER = "/run/docker.sock"
GONE = Unknown("gone: host file")


def find(*sources: MountSource) -> list[Finding | Blind]:
    event = ContainerSeen(build.NOW_NS, build.container(sources=sources))
    return run(DETECTOR, event, FakeView())


@pytest.mark.parametrize("is_read_only", [False, True])
def test_fires_when_a_socket_is_mounted_read_only_or_not(*, is_read_only: bool) -> None:
    source = build.source("/s", DOCKER, (DOCKER, Reach.IS), kind=FileKind.SOCKET, is_read_only=is_read_only)
    assert find(source) == [
        Finding(
            "was started with a socket that governs the host: /run/docker.sock",
            build.container_id(),
            evidence=(
                ("sockets", (DOCKER,)),
                ("mounts", ("/run/docker.sock at /s",)),
                ("opens", (OPENS[DOCKER],)),
            ),
        )
    ]


def test_fires_when_a_directory_above_is_mounted_and_names_each_socket_once() -> None:
    reached = ((DOCKER, Reach.ABOVE), ("/run/dbus/system_bus_socket", Reach.ABOVE), ("/run", Reach.IS))
    (finding,) = find(build.source("/a", "/run", *reached), build.source("/b", DOCKER, (DOCKER, Reach.IS)))
    assert isinstance(finding, Finding)
    assert finding.evidence[0] == ("sockets", (DOCKER, "/run/dbus/system_bus_socket"))
    assert finding.evidence[1] == ("mounts", ("/run at /a", "/run/docker.sock at /b"))


@pytest.mark.parametrize(("server", "opens"), [("dockerd", OPENS[DOCKER]), ("kubelet", OPENS_BY_SERVER["kubelet"])])
def test_fires_when_who_listens_governs_whatever_the_socket_is_called(server: str, opens: str) -> None:
    reached = (Reached("/srv/x.sock", Reach.IS, server), Reached("/srv/db.sock", Reach.IS))
    (finding,) = find(replace(build.source("/s", "/srv/x.sock", kind=FileKind.SOCKET), reached=reached))
    assert isinstance(finding, Finding)
    assert dict(finding.evidence) == {
        "sockets": ("/srv/x.sock",),
        "mounts": ("/srv/x.sock at /s",),
        "opens": (opens,),
        "servers": (server,),
    }


def test_silent_when_the_mount_lies_below_a_directory_with_such_a_socket() -> None:
    source = replace(build.source("/s", "/srv/x"), reached=(Reached("/srv/x.sock", Reach.BELOW, "dockerd"),))
    assert find(source) == []


def test_fires_when_only_the_path_is_known_but_is_not_certain() -> None:
    (finding,) = find(build.source("/s", DOCKER, (DOCKER, Reach.IS), file=GONE, kind=GONE))
    assert isinstance(finding, Finding)
    assert finding.confidence is Confidence.LIKELY


def test_silent_when_a_path_above_could_not_be_found() -> None:
    assert find(build.source("/s", "/run", (DOCKER, Reach.ABOVE), file=GONE, kind=GONE)) == []


def test_silent_when_the_socket_governs_nothing() -> None:
    assert find(build.source("/s", "/run/mysqld/mysqld.sock", ("/run", Reach.BELOW), kind=FileKind.SOCKET)) == []


def test_silent_when_it_is_plain_docker_run() -> None:
    assert run(DETECTOR, ContainerSeen(build.NOW_NS, build.container()), FakeView()) == []


def test_blind_when_the_sources_are_not_known() -> None:
    event = ContainerSeen(build.NOW_NS, build.container(sources=Unknown("no_bundle")))
    assert run(DETECTOR, event, FakeView()) == [Blind("no_bundle")]
