from __future__ import annotations

import pytest

from collectors.events import RawSocketHeld
from collectors.facts import ProcessKey
from detectors.base import Blind, Finding, Severity
from detectors.raw_socket_opened import DETECTOR
from tests.support import build
from tests.support.view import FakeView, run


def held(kind: str = "packet", protocol: int = 0, process: ProcessKey | None = None) -> RawSocketHeld:
    return RawSocketHeld(build.NOW_NS, build.container_id(), process, 77, kind, protocol)


def node(**namespaces: int) -> FakeView:
    first = build.first_process(confinement=build.confinement(namespaces=build.namespaces(**namespaces)))
    return FakeView().put_container(build.container(), first)


def test_fires_when_a_packet_socket_is_open() -> None:
    sniffer = build.process(executable=build.executable(b"/usr/bin/tcpdump"))
    view = node().put(build.member(sniffer))
    assert run(DETECTOR, held(process=sniffer.key), view) == [
        Finding(
            "has a packet socket open",
            build.container_id(),
            sniffer.key,
            evidence=(("kind", "packet"), ("protocol", 0), ("executable", b"/usr/bin/tcpdump")),
            severity=Severity.LOW,
            identity=(build.container_id(), "packet", "/usr/bin/tcpdump"),
        )
    ]


def test_fires_as_medium_when_it_is_the_host_s_network() -> None:
    (found,) = run(DETECTOR, held("raw", 255), node(net=build.HOST_NET))
    assert isinstance(found, Finding)
    assert found.severity is Severity.MEDIUM


@pytest.mark.parametrize("protocol", [1, 58])
def test_silent_when_it_is_ping(protocol: int) -> None:
    assert run(DETECTOR, held("raw", protocol), node()) == []


def test_blind_when_the_first_process_is_not_known() -> None:
    assert run(DETECTOR, held(), FakeView()) == [Blind("first process: not_in_test")]
