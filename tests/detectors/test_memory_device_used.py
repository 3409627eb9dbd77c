from __future__ import annotations

import pytest

from collectors.events import Touch
from collectors.facts import Descriptor, DeviceRule, FileId
from detectors.base import Finding, Severity
from detectors.memory_device_used import DETECTOR
from tests.support import build, calls, held


def test_fires_when_the_memory_is_held() -> None:
    task = held.holding(held.character(1, 1, target=b"/dev/mem"))
    assert held.found(DETECTOR, member=build.member(task)) == [
        Finding(
            "holds open what leads into the kernel: mem",
            build.container_id(),
            task.key,
            evidence=(("devices", ("1:1",)), ("opened_as", (b"/dev/mem",))),
            severity=Severity.HIGH,
            inherited=True,
        )
    ]


@pytest.mark.parametrize(
    ("descriptor", "severity"),
    [
        pytest.param(held.proc_file(b"/proc/kcore"), Severity.HIGH, id="kcore"),
        pytest.param(held.character(202, 3), Severity.HIGH, id="registers-of-a-processor"),
        pytest.param(held.character(21, 5, target=b"/tmp/x"), Severity.HIGH, id="scsi-generic-by-another-name"),
        pytest.param(held.character(10, 232), Severity.MEDIUM, id="kvm"),
    ],
)
def test_fires_when_each_is_held(descriptor: Descriptor, severity: Severity) -> None:
    assert held.one(DETECTOR, descriptor).severity is severity


def test_silent_when_the_bundle_names_the_device() -> None:
    rule = DeviceRule(allow=True, kind="c", major=10, minor=232, access="rwm")
    container = build.container(declared=build.declared(device_rules=(rule,)))
    member = build.member(held.holding(held.character(10, 232)), container=container)
    assert held.found(DETECTOR, member=member) == []


def test_silent_when_it_is_another_device_or_file() -> None:
    assert held.found(DETECTOR, held.character(1, 3), held.block(1, 1), held.proc_file(b"/proc/7/mem")) == []


def test_blind_when_something_is_not_known() -> None:
    assert held.blind_cases(DETECTOR) == held.blind_answers()


@pytest.mark.parametrize(
    ("device", "error", "severity"),
    [
        (0x101, 0, Severity.HIGH),
        (0x101, 1, Severity.MEDIUM),
        (0xAE8, 0, Severity.MEDIUM),
    ],
)
def test_fires_when_a_node_is_made(device: int, error: int, severity: Severity) -> None:
    finding = calls.one(DETECTOR, calls.call("mknodat", error=error, device=device, mode=0o020600))
    assert finding.severity == severity


def test_silent_when_the_node_is_harmless() -> None:
    assert calls.told(DETECTOR, calls.call("mknodat", device=0x103, mode=0o020666)) == []


def test_blind_when_the_maker_is_not_known() -> None:
    assert calls.blind(DETECTOR, calls.call("mknodat", device=0x101, mode=0o020600)) == calls.NOT_KNOWN


def test_fires_when_memory_is_opened() -> None:
    event = calls.touched(Touch.DEVICE, file=FileId(0x101, 5), mode=0o020640)
    assert calls.one(DETECTOR, event).message == "opened a node of what leads into the kernel: mem"


def test_silent_when_another_device_is_opened() -> None:
    assert calls.told(DETECTOR, calls.touched(Touch.DEVICE, file=FileId(0xAE5, 5), mode=0o020666)) == []
