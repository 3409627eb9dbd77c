from __future__ import annotations

import pytest

from collectors.endpoints import NODE_PORTS
from collectors.events import TcpConnected
from collectors.facts import Connection
from detectors.base import Blind, Confidence, Finding, Severity
from detectors.node_api_contacted import DETECTOR, SERVICES
from tests.support import build
from tests.support.view import FakeView, run


def connected(port: int, *, is_here: bool = True) -> TcpConnected:
    connection = Connection("tcp", "172.17.0.2", 40000, "10.0.0.5", port, is_incoming=False)
    return TcpConnected(build.NOW_NS, build.container_id(), build.key(4242), 77, connection, is_here)


def node(**namespaces: int) -> FakeView:
    first = build.first_process(confinement=build.confinement(namespaces=build.namespaces(**namespaces)))
    return FakeView().put_container(build.container(), first)


def test_the_collector_looks_for_the_same_ports() -> None:
    assert SERVICES.keys() == NODE_PORTS


def test_fires_when_docker_is_contacted() -> None:
    assert run(DETECTOR, connected(2375), node()) == [
        Finding(
            "is connected to a port of Docker on this node",
            build.container_id(),
            build.key(4242),
            evidence=(("remote", "10.0.0.5 2375"), ("to_this_node", True)),
            severity=Severity.HIGH,
            confidence=Confidence.CERTAIN,
            identity=(build.container_id(), "10.0.0.5 2375"),
        )
    ]


@pytest.mark.parametrize(
    ("event", "severity"),
    [
        (connected(10250), Severity.MEDIUM),
        (connected(2379), Severity.HIGH),
        (connected(2379, is_here=False), Severity.MEDIUM),
        (connected(2376, is_here=False), Severity.HIGH),
    ],
)
def test_fires_when_each_is_contacted(event: TcpConnected, severity: Severity) -> None:
    (found,) = run(DETECTOR, event, node())
    assert isinstance(found, Finding)
    assert found.severity is severity


def test_fires_as_low_when_the_container_shares_the_host_s_network() -> None:
    (found,) = run(DETECTOR, connected(2379), node(net=build.HOST_NET))
    assert isinstance(found, Finding)
    assert found.severity is Severity.LOW


def test_silent_when_it_is_another_port() -> None:
    assert run(DETECTOR, connected(443), node()) == []


def test_blind_when_the_first_process_is_not_known() -> None:
    assert run(DETECTOR, connected(2375), FakeView()) == [Blind("first process: not_in_test", build.key(4242))]
