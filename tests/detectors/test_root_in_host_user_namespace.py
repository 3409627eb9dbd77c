from __future__ import annotations

from typing import Any

import pytest

from collectors.events import ContainerSeen
from collectors.facts import Pod, Unknown
from detectors.base import Blind, Finding
from detectors.root_in_host_user_namespace import DETECTOR, OPENS, OPENS_WITHOUT_NO_NEW_PRIVS
from tests.support import build
from tests.support.view import FakeView, run


def find(user: int = build.HOST_USER, pod: Pod | None = None, **declared: Any) -> list[Finding | Blind]:
    container = build.container(declared=build.declared(**declared), pod=pod)
    first = build.first_process(confinement=build.confinement(namespaces=build.namespaces(user=user)))
    view = FakeView().put_container(container, first)
    return run(DETECTOR, ContainerSeen(build.NOW_NS, container), view)


@pytest.mark.parametrize(
    ("no_new_privs", "opens"),
    [(False, OPENS_WITHOUT_NO_NEW_PRIVS), (True, OPENS)],
)
def test_fires_when_root_is_the_hosts(no_new_privs: bool, opens: tuple[str, ...]) -> None:
    assert find(no_new_privs=no_new_privs) == [
        Finding(
            "runs as root, and its root is the host's",
            build.container_id(),
            evidence=(("uid", 0), ("no_new_privs", no_new_privs), ("opens", opens)),
        )
    ]


def test_silent_when_the_container_runs_as_another_user() -> None:
    assert find(uid=1000) == []


def test_silent_when_its_root_is_nobody_outside() -> None:
    assert find(user=build.own_user_namespace()) == []


def test_silent_when_it_is_a_pods_sandbox() -> None:
    assert find(pod=Pod("default", "web", "uid", "", is_sandbox=True)) == []


def test_blind_when_the_first_process_was_not_seen() -> None:
    assert run(DETECTOR, ContainerSeen(build.NOW_NS, build.container()), FakeView()) == [Blind("not_in_test")]


def test_blind_when_the_bundle_is_not_known() -> None:
    event = ContainerSeen(build.NOW_NS, build.container(declared=Unknown("no_bundle")))
    assert run(DETECTOR, event, FakeView()) == [Blind("no_bundle")]
