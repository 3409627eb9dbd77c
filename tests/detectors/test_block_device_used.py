from __future__ import annotations

import pytest

from collectors.events import Touch
from collectors.facts import DeviceRule, FileId, Unknown
from detectors.base import Finding, Severity
from detectors.block_device_used import DETECTOR
from tests.support import build, calls, held
from tests.support.view import FakeView, run, seen, view_of

OSD = DeviceRule(allow=True, kind="b", major=8, minor=16, access="rwm")


def test_fires_when_a_disk_is_held_under_any_name() -> None:
    task = held.holding(held.block(8, 16, target=b"/tmp/innocent"))
    assert held.found(DETECTOR, member=build.member(task)) == [
        Finding(
            "holds a block device of the node open: 8:16",
            build.container_id(),
            task.key,
            evidence=(("devices", ("8:16",)), ("opened_as", (b"/tmp/innocent",)), ("of_host_file_systems", ())),
            severity=Severity.HIGH,
            inherited=True,
        )
    ]


def test_fires_as_critical_when_the_host_s_root_lives_on_it() -> None:
    finding = held.one(DETECTOR, held.block(253, 1))
    assert (finding.severity, dict(finding.evidence)["of_host_file_systems"]) == (Severity.CRITICAL, ("253:1",))


def test_fires_as_critical_when_a_mount_of_the_host_lives_on_it_though_it_was_given() -> None:
    container = build.container(declared=build.declared(device_rules=(OSD,)))
    task = held.holding(held.block(8, 16))
    view = view_of(build.member(task, container=container))
    view.tables[build.HOST_MNT] = (build.mount(40, b"/data", device=0x0810),)
    (finding,) = run(DETECTOR, seen(task), view)
    assert isinstance(finding, Finding)
    assert finding.severity is Severity.CRITICAL


def test_fires_as_low_when_it_was_given_by_number() -> None:
    container = build.container(declared=build.declared(device_rules=(OSD,)))
    member = build.member(held.holding(held.block(8, 16)), container=container)
    assert held.one(DETECTOR, member=member).severity is Severity.LOW


def test_silent_when_none_is_held() -> None:
    assert held.found(DETECTOR, held.character(1, 3), held.namespace("mnt", 5)) == []


def test_blind_when_something_is_not_known() -> None:
    assert held.blind_cases(DETECTOR) == held.blind_answers()


BLOCK = 0o060600


@pytest.mark.parametrize(
    ("device", "error", "severity"),
    [
        (build.HOST_DEVICE, 0, Severity.CRITICAL),
        (build.HOST_DEVICE, 1, Severity.HIGH),
        (0x810, 0, Severity.HIGH),
    ],
)
def test_fires_when_a_node_of_a_disk_is_made(device: int, error: int, severity: Severity) -> None:
    host = build.host_baseline(block_devices=frozenset({build.HOST_DEVICE, 0x810}))
    event = calls.call("mknod", error=error, device=device, mode=BLOCK)
    finding = calls.one(DETECTOR, event, view_of(build.member(calls.ACTOR), host=host))
    assert finding.severity == severity


def test_silent_when_the_node_is_no_disk_of_the_node() -> None:
    assert calls.told(DETECTOR, calls.call("mknod", device=0x7FF, mode=BLOCK)) == []
    assert calls.told(DETECTOR, calls.call("mknod", device=build.HOST_DEVICE, mode=0o020600)) == []


def test_blind_when_the_maker_is_not_known() -> None:
    host = build.host_baseline(block_devices=frozenset({0x810}))
    view = FakeView(host=host, members={calls.ACTOR.key: Unknown("no container")})
    assert run(DETECTOR, calls.call("mknod", device=0x810, mode=BLOCK), view) == calls.NOT_KNOWN


def test_fires_when_a_disk_is_opened() -> None:
    host = build.host_baseline(block_devices=frozenset({build.HOST_DEVICE}))
    event = calls.touched(Touch.DEVICE, file=FileId(build.HOST_DEVICE, 5), mode=BLOCK)
    finding = calls.one(DETECTOR, event, view_of(build.member(calls.ACTOR), host=host))
    assert finding.severity == Severity.CRITICAL
    assert finding.message.startswith("opened a node of a disk that file systems of the host live on")


def test_silent_when_another_file_is_touched() -> None:
    assert calls.told(DETECTOR, calls.touched(Touch.READ, mode=BLOCK)) == []
