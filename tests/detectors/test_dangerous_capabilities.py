from __future__ import annotations

from typing import Any

import pytest

from collectors.capabilities import mask
from collectors.events import ContainerSeen
from collectors.facts import DeclaredNamespace, DeviceRule, Unknown
from detectors.base import Blind, Finding
from detectors.dangerous_capabilities import DETECTOR, OPENS
from tests.support import build
from tests.support.view import FakeView, run

DENY_ALL = DeviceRule(allow=False, kind="a", major=None, minor=None, access="rwm")
MKNOD_ANY = DeviceRule(allow=True, kind="b", major=None, minor=None, access="m")
USE_ANY = DeviceRule(allow=True, kind="a", major=None, minor=None, access="rwm")
USE_DISK = DeviceRule(allow=True, kind="b", major=8, minor=0, access="rw")
DENY_DISK = DeviceRule(allow=False, kind="b", major=8, minor=0, access="rwm")
USE_NULL = DeviceRule(allow=True, kind="c", major=1, minor=3, access="rwm")
HOST_NET = tuple(DeclaredNamespace(kind, None) for kind in ("mnt", "pid", "ipc", "uts"))


def find(*extra: str, view: FakeView | None = None, **declared: Any) -> list[Finding | Blind]:
    """What is found in a container with docker's default set and these."""
    bounding = build.DOCKER_CAPABILITIES | mask(extra)
    container = build.container(declared=build.declared(capabilities=build.capabilities(bounding), **declared))
    return run(DETECTOR, ContainerSeen(build.NOW_NS, container), view or FakeView())


def expected(*names: str) -> list[Finding | Blind]:
    return [
        Finding(
            "was started with capabilities that lead out: " + ", ".join(names),
            build.container_id(),
            evidence=(("capabilities", names), ("opens", tuple(OPENS[name] for name in names))),
        )
    ]


@pytest.mark.parametrize("name", sorted(set(OPENS) - {"CAP_NET_ADMIN", "CAP_MKNOD"}))
def test_fires_when_a_capability_leads_out(name: str) -> None:
    assert find(name) == expected(name)


def test_fires_when_there_are_several_in_the_kernels_order() -> None:
    assert find("CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH") == expected("CAP_DAC_READ_SEARCH", "CAP_SYS_ADMIN")


def test_fires_when_the_hosts_net_can_be_administered() -> None:
    assert find("CAP_NET_ADMIN", namespaces=HOST_NET) == expected("CAP_NET_ADMIN")


def test_fires_when_the_first_process_shows_the_hosts_net() -> None:
    first = build.first_process(confinement=build.confinement(namespaces=build.namespaces(net=build.HOST_NET)))
    view = FakeView().put_container(build.container(), first)
    assert find("CAP_NET_ADMIN", view=view) == expected("CAP_NET_ADMIN")


@pytest.mark.parametrize(
    "rules", [(DENY_ALL, USE_DISK), (USE_ANY,), (DENY_ALL, MKNOD_ANY, USE_ANY), (USE_ANY, DENY_DISK)]
)
def test_fires_when_a_device_node_can_be_made_and_used(rules: tuple[DeviceRule, ...]) -> None:
    assert find(device_rules=rules) == expected("CAP_MKNOD")


@pytest.mark.parametrize("rules", [(), (DENY_ALL, MKNOD_ANY, USE_NULL), (USE_ANY, DENY_ALL)])
def test_silent_when_the_set_is_dockers_default(rules: tuple[DeviceRule, ...]) -> None:
    assert find(device_rules=rules) == []


def test_silent_when_the_containers_own_net_can_be_administered() -> None:
    assert find("CAP_NET_ADMIN") == []


def test_silent_when_the_container_has_a_user_namespace() -> None:
    kinds = (*build.declared().namespaces, DeclaredNamespace("user", None))
    assert find("CAP_SYS_ADMIN", namespaces=kinds) == []


def test_silent_when_the_runtime_itself_lives_in_a_user_namespace() -> None:
    inner = build.namespaces(user=build.own_user_namespace())
    first = build.first_process(confinement=build.confinement(namespaces=inner))
    assert find("CAP_SYS_ADMIN", view=FakeView().put_container(build.container(), first)) == []


def test_blind_when_the_bundle_is_not_known() -> None:
    event = ContainerSeen(build.NOW_NS, build.container(declared=Unknown("too_large: config.json")))
    assert run(DETECTOR, event, FakeView()) == [Blind("too_large: config.json")]
