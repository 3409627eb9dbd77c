from __future__ import annotations

import pytest

from collectors.events import UnixConnected
from collectors.facts import DeclaredMount, Reach
from detectors.base import Blind, Finding, Severity
from detectors.runtime_socket_used import DETECTOR
from tests.support import build
from tests.support.view import FakeView, run

EVENT = UnixConnected(
    build.NOW_NS, build.container_id(), None, 77, b"/run/docker.sock", build.key(700), b"/usr/bin/dockerd"
)


def node() -> FakeView:
    return FakeView().put_container(build.container(), build.first_process())


def test_fires_when_a_governing_process_is_at_the_other_end() -> None:
    assert run(DETECTOR, EVENT, node()) == [
        Finding(
            "is connected to dockerd of the host",
            build.container_id(),
            None,
            evidence=(("socket", b"/run/docker.sock"), ("server", b"/usr/bin/dockerd"), ("server_pid", 700)),
            severity=Severity.HIGH,
            identity=(build.container_id(), "/run/docker.sock"),
        )
    ]


@pytest.mark.parametrize("source", ["/run/docker.sock", "/var/run/docker.sock", "/run", "/var/run/", "/"])
def test_fires_as_medium_when_the_socket_was_given(source: str) -> None:
    mounts = (DeclaredMount("/x", source, "bind", ("rbind",)),)
    container = build.container(declared=build.declared(mounts=mounts), sources=())
    (found,) = run(DETECTOR, EVENT, FakeView().put_container(container, build.first_process()))
    assert isinstance(found, Finding)
    assert found.severity is Severity.MEDIUM


@pytest.mark.parametrize("reach", [Reach.IS, Reach.ABOVE])
def test_fires_as_low_when_its_exposure_was_told(reach: Reach) -> None:
    container = build.container(sources=(build.source("/x", "/data/link", ("/run/docker.sock", reach)),))
    (found,) = run(DETECTOR, EVENT, FakeView().put_container(container, build.first_process()))
    assert isinstance(found, Finding)
    assert found.severity is Severity.LOW


def test_another_socket_that_was_given_is_no_excuse() -> None:
    container = build.container(sources=(build.source("/x", "/run/crio.sock", ("/run/crio/crio.sock", Reach.IS)),))
    (found,) = run(DETECTOR, EVENT, FakeView().put_container(container, build.first_process()))
    assert isinstance(found, Finding)
    assert found.severity is Severity.HIGH


def test_silent_when_the_collector_tells_of_none() -> None:
    """Who is at the other end is judged where it can be read: ``tests/collectors/test_sockets.py``."""
    assert DETECTOR.wants == (UnixConnected,)


def test_blind_when_the_container_is_not_known() -> None:
    assert run(DETECTOR, EVENT, FakeView()) == [Blind("not_read: the container is not known")]
