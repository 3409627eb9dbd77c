from __future__ import annotations

from dataclasses import replace

import pytest

from collectors.events import KernelValue
from collectors.facts import DeviceRule, Unknown
from detectors.base import Blind, Confidence, Finding, Severity
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


PROGRAMS = b"/sys/fs/cgroup/system.slice/docker-1.scope"
ABLE = build.capabilities(build.CAP_SYS_ADMIN)


def node_v2(*rules: DeviceRule, is_able: bool = True) -> FakeView:
    first = build.first_process(confinement=build.confinement(capabilities=ABLE)) if is_able else build.first_process()
    return FakeView().put_container(build.container(declared=build.declared(device_rules=rules)), first)


def guarded(before: bytes, after: bytes) -> KernelValue:
    return changed("device_programs", before, after, where=PROGRAMS, container_id=build.container_id())


def test_fires_when_the_program_was_taken_off() -> None:
    assert run(DETECTOR, guarded(b"17", b""), node_v2(DISK)) == [
        Finding(
            "the program that guards its devices was taken off, by whom is not known",
            build.container_id(),
            evidence=(
                ("cgroup", PROGRAMS),
                ("gone", (b"17",)),
                ("left", ()),
                ("containers_that_could", (build.container_id(),)),
            ),
            severity=Severity.HIGH,
            confidence=Confidence.LIKELY,
        )
    ]


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [(b"17", b"18", DISK), (b"17 19", b"18 19", DISK), (b"17", b"", ALL)],
    ids=["replaced", "one-of-two-replaced", "allowed-everything"],
)
def test_fires_low_when_nothing_is_open_for_it(before: bytes, after: bytes, rule: DeviceRule) -> None:
    (found,) = run(DETECTOR, guarded(before, after), node_v2(rule))
    assert isinstance(found, Finding)
    assert found.severity is Severity.LOW


@pytest.mark.parametrize(("before", "after"), [(b"", b"17"), (b"17", b"17 18"), (b"", b"")])
def test_silent_when_no_program_is_gone(before: bytes, after: bytes) -> None:
    assert run(DETECTOR, guarded(before, after), node_v2(DISK)) == []


def test_silent_when_no_container_could_do_it() -> None:
    assert run(DETECTOR, guarded(b"17", b"18"), node_v2(DISK, is_able=False)) == []


def test_silent_when_the_programs_are_met() -> None:
    event = met("device_programs", b"", where=PROGRAMS, container_id=build.container_id())
    assert run(DETECTOR, event, node_v2(DISK)) == []


def test_blind_when_the_programs_are_not_told() -> None:
    event = changed("device_programs", b"17", b"", where=PROGRAMS, container_id=build.container_id())
    assert run(DETECTOR, replace(event, after=Unknown("denied")), node_v2(DISK)) == [Blind("denied")]
