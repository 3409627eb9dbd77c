from __future__ import annotations

from typing import Any

import pytest

from collectors.capabilities import mask
from collectors.events import ContainerSeen
from collectors.facts import DeclaredNamespace, DeviceRule, Unknown
from detectors.base import Blind, Finding
from detectors.privileged import DETECTOR, OPENS
from tests.support import build
from tests.support.view import FakeView, run

ALL_DEVICES = (DeviceRule(allow=True, kind="a", major=None, minor=None, access="rwm"),)
DENIED_AGAIN = (*ALL_DEVICES, DeviceRule(allow=False, kind="a", major=None, minor=None, access="rwm"))
SYS_RESOURCE = mask(["CAP_SYS_RESOURCE"])
FOUND = Finding(
    "was started privileged: every capability of the node, no seccomp filter, every device",
    build.container_id(),
    evidence=(("opens", OPENS),),
)


def find(view: FakeView | None = None, **overrides: Any) -> list[Finding | Blind]:
    facts = {
        "capabilities": build.capabilities(build.FULL_CAPABILITIES),
        "seccomp": False,
        "device_rules": ALL_DEVICES,
        "masked_paths": (),
        "readonly_paths": (),
        **overrides,
    }
    event = ContainerSeen(build.NOW_NS, build.container(declared=build.declared(**facts)))
    return run(DETECTOR, event, view or FakeView())


def test_fires_when_everything_was_given() -> None:
    assert find() == [FOUND]


def test_fires_when_the_engine_knows_no_capability_above_37() -> None:
    assert find(capabilities=build.capabilities((1 << 38) - 1)) == [FOUND]


def test_fires_when_the_node_itself_lacks_what_is_missing() -> None:
    view = FakeView(host=build.host_baseline(bounding=build.FULL_CAPABILITIES & ~SYS_RESOURCE))
    assert find(view, capabilities=build.capabilities(build.FULL_CAPABILITIES & ~SYS_RESOURCE)) == [FOUND]


def test_fires_when_the_nodes_own_bound_is_not_known() -> None:
    assert find(FakeView(host=build.host_baseline(bounding=Unknown("denied: proc/status")))) == [FOUND]


@pytest.mark.parametrize(
    "overrides",
    [
        {"capabilities": build.capabilities(build.FULL_CAPABILITIES & ~SYS_RESOURCE)},
        {"seccomp": True},
        {"device_rules": ()},
        {"device_rules": DENIED_AGAIN},
        {"namespaces": (*build.declared().namespaces, DeclaredNamespace("user", None))},
    ],
    ids=["one-capability-less", "seccomp", "no-devices", "devices-denied-again", "user-namespace"],
)
def test_silent_when_something_is_between(overrides: dict[str, Any]) -> None:
    assert find(**overrides) == []


def test_silent_when_the_engine_lives_in_a_user_namespace() -> None:
    inner = build.namespaces(user=build.own_user_namespace())
    first = build.first_process(confinement=build.confinement(namespaces=inner))
    assert find(FakeView().put_container(build.container(), first)) == []


def test_silent_when_it_is_plain_docker_run() -> None:
    assert run(DETECTOR, ContainerSeen(build.NOW_NS, build.container()), FakeView()) == []


def test_blind_when_the_bundle_is_not_known() -> None:
    event = ContainerSeen(build.NOW_NS, build.container(declared=Unknown("no_bundle")))
    assert run(DETECTOR, event, FakeView()) == [Blind("no_bundle")]
