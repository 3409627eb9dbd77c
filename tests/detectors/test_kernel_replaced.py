from __future__ import annotations

import pytest

from collectors.events import KernelValue
from collectors.facts import Unknown
from detectors.base import Blind, Confidence, Finding, Severity
from detectors.kernel_replaced import DETECTOR
from tests.support import build, calls
from tests.support.values import changed, met
from tests.support.view import FakeView, run

WHERE = b"/sys/kernel/kexec_loaded"
LOADED = changed("kexec_loaded", b"0", b"1", where=WHERE)


def test_fires_when_a_kernel_was_loaded_and_a_container_could() -> None:
    held = build.capabilities(build.FULL_CAPABILITIES)
    first = build.first_process(confinement=build.confinement(capabilities=held))
    view = FakeView().put_container(build.container(), first)
    assert run(DETECTOR, LOADED, view) == [
        Finding(
            "another kernel was loaded with kexec, by whom is not known",
            build.container_id(),
            evidence=(("file", WHERE), ("containers_that_could", (build.container_id(),))),
            severity=Severity.CRITICAL,
            confidence=Confidence.LIKELY,
        )
    ]


def test_fires_as_high_when_no_container_could() -> None:
    (found,) = run(DETECTOR, LOADED, FakeView())
    assert isinstance(found, Finding)
    assert (found.severity, found.container_id) == (Severity.HIGH, None)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(met("kexec_loaded", b"1"), id="loaded-at-start"),
        pytest.param(changed("kexec_loaded", b"1", b"0"), id="unloaded"),
        pytest.param(changed("tainted", b"0", b"1"), id="another-value"),
    ],
)
def test_silent_when_none_was_loaded(event: KernelValue) -> None:
    assert run(DETECTOR, event, FakeView()) == []


def test_blind_when_the_value_cannot_be_read() -> None:
    assert run(DETECTOR, met("kexec_loaded", Unknown("denied: x")), FakeView()) == [Blind("denied: x")]


@pytest.mark.parametrize(
    ("name", "error", "severity", "message"),
    [
        ("kexec_load", 0, Severity.CRITICAL, "called to load another kernel"),
        ("kexec_file_load", 1, Severity.HIGH, "was refused to load another kernel"),
        ("reboot", 0, Severity.CRITICAL, "called to reboot the node"),
        ("reboot", 22, Severity.MEDIUM, "was refused to reboot the node"),
        ("reboot", 1, Severity.MEDIUM, "was refused to reboot the node"),
    ],
)
def test_fires_when_a_container_calls_for_it(name: str, error: int, severity: Severity, message: str) -> None:
    finding = calls.one(DETECTOR, calls.call(name, error=error))
    assert (finding.severity, finding.message) == (severity, message)


def test_silent_when_the_call_is_another_one() -> None:
    assert calls.told(DETECTOR, calls.call("init_module")) == []


def test_blind_when_the_caller_is_not_known() -> None:
    assert calls.blind(DETECTOR, calls.call("reboot")) == calls.NOT_KNOWN
