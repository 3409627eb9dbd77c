from __future__ import annotations

import pytest

from collectors.endpoints import METADATA
from collectors.events import TcpConnected
from collectors.facts import Connection
from detectors.base import Blind, Finding
from detectors.metadata_service_contacted import DETECTOR, SERVICES
from tests.support import build
from tests.support.view import FakeView, run


def connected(address: str, port: int = 80) -> TcpConnected:
    connection = Connection("tcp", "172.17.0.2", 40000, address, port, is_incoming=False)
    return TcpConnected(build.NOW_NS, build.container_id(), build.key(4242), 77, connection, False)  # noqa: FBT003


def node() -> FakeView:
    return FakeView().put_container(build.container(), build.first_process())


def test_the_collector_looks_for_the_same_addresses() -> None:
    assert SERVICES.keys() == METADATA


def test_fires_when_the_service_is_contacted() -> None:
    assert run(DETECTOR, connected("169.254.169.254"), node()) == [
        Finding(
            "is connected to the cloud's metadata service",
            build.container_id(),
            build.key(4242),
            evidence=(("remote", "169.254.169.254 80"),),
            identity=(build.container_id(), "169.254.169.254"),
        )
    ]


@pytest.mark.parametrize("event", [connected("10.0.0.5"), connected("168.63.129.16", 53)])
def test_silent_when_it_is_another_address_or_dns(event: TcpConnected) -> None:
    assert run(DETECTOR, event, node()) == []


def test_blind_when_the_container_is_not_known() -> None:
    blind = Blind("not_read: the container is not known", build.key(4242))
    assert run(DETECTOR, connected("169.254.169.254"), FakeView()) == [blind]
