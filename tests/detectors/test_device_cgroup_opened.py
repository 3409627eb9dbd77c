from __future__ import annotations

import pytest

from collectors.events import KernelValue
from collectors.facts import DeviceRule, Unknown
from detectors.base import Blind, Finding
from detectors.device_cgroup_opened import DETECTOR
from tests.support import build
from tests.support.values import changed, met
from tests.support.view import FakeView, run

WHERE = b"/sys/fs/cgroup/devices/docker/1/devices.list"
DEFAULT = b"b *:* m\nc *:* m\nc 1:3 rwm\nc 5:2 rwm"
ALL = DeviceRule(allow=True, kind="a", major=None, minor=None, access="rwm")
DISK = DeviceRule(allow=True, kind="b", major=8, minor=0, access="rwm")


def node(*rules: DeviceRule) -> FakeView:
    container = build.container(declared=build.declared(device_rules=rules))
    return FakeView().put_container(container, build.first_process())


def opened(after: bytes, before: bytes = DEFAULT) -> KernelValue:
    return changed("devices.list", before, after, where=WHERE, container_id=build.container_id())


def test_fires_when_a_disk_was_allowed() -> None:
    assert run(DETECTOR, opened(DEFAULT + b"\nb 8:0 rwm"), node()) == [
        Finding(
            "its device cgroup now allows more devices: 1",
            build.container_id(),
            evidence=(("file", WHERE), ("opened", (b"b 8:0 rwm",))),
        )
    ]


def test_fires_when_everything_is_allowed_at_first_sight() -> None:
    event = met("devices.list", b"a *:* rwm", where=WHERE, container_id=build.container_id())
    (found,) = run(DETECTOR, event, node())
    assert isinstance(found, Finding)
    assert found.message == "its device cgroup now allows every device of the node"


@pytest.mark.parametrize(
    ("event", "rules"),
    [
        pytest.param(opened(DEFAULT), (), id="nothing-added"),
        pytest.param(opened(b"c 1:3 rwm"), (), id="narrower"),
        pytest.param(opened(DEFAULT + b"\nb 8:0 rw"), (DISK,), id="declared"),
        pytest.param(opened(b"a *:* rwm"), (ALL,), id="privileged"),
        pytest.param(
            met("devices.list", DEFAULT + b"\nb 8:0 rwm", container_id=build.container_id()), (), id="first-sight"
        ),
        pytest.param(changed("tainted", b"0", b"1"), (), id="another-value"),
    ],
)
def test_silent_when_it_is_declared_or_not_wider(event: KernelValue, rules: tuple[DeviceRule, ...]) -> None:
    assert run(DETECTOR, event, node(*rules)) == []


def test_blind_when_the_list_cannot_be_read() -> None:
    event = met("devices.list", Unknown("denied: x"), container_id=build.container_id())
    assert run(DETECTOR, event, node()) == [Blind("denied: x")]


def test_blind_when_the_bundle_is_not_known() -> None:
    view = FakeView().put_container(build.container(declared=Unknown("no_bundle")), build.first_process())
    assert run(DETECTOR, opened(b"a *:* rwm"), view) == [Blind("no_bundle")]
    assert run(DETECTOR, opened(b"a *:* rwm"), FakeView()) == [Blind("not_read: the container's bundle")]
