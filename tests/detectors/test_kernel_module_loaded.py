from __future__ import annotations

import pytest

from collectors.events import KernelValue
from collectors.facts import Unknown
from detectors.base import Blind, Confidence, Finding, Severity
from detectors.kernel_module_loaded import DETECTOR
from tests.support import build, calls
from tests.support.values import changed, met
from tests.support.view import FakeView, run


def node(mask: int = build.DOCKER_CAPABILITIES) -> FakeView:
    first = build.first_process(confinement=build.confinement(capabilities=build.capabilities(mask)))
    return FakeView().put_container(build.container(), first)


def test_fires_when_a_foreign_module_was_loaded_and_a_container_could() -> None:
    assert run(DETECTOR, changed("foreign_modules", b"", b"evil"), node(build.FULL_CAPABILITIES)) == [
        Finding(
            "the kernel has loaded a module that is not installed for it",
            build.container_id(),
            evidence=(("foreign_modules", (b"evil",)), ("containers_that_could", (build.container_id(),))),
            severity=Severity.CRITICAL,
            confidence=Confidence.LIKELY,
        )
    ]


def test_fires_as_high_when_no_container_could() -> None:
    (found,) = run(DETECTOR, changed("foreign_modules", b"a", b"a\nb"), node())
    assert isinstance(found, Finding)
    assert (found.severity, found.container_id, found.evidence[0][1]) == (Severity.HIGH, None, (b"b",))


def test_fires_when_the_taint_gains_a_flag_of_modules() -> None:
    (found,) = run(DETECTOR, changed("tainted", b"512", b"12800"), node())
    assert isinstance(found, Finding)
    assert found.message == "the kernel is tainted by a module: out of tree, unsigned"


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(changed("foreign_modules", b"a\nb", b"a"), id="unloaded"),
        pytest.param(met("foreign_modules", b"nvidia"), id="loaded-at-start"),
        pytest.param(changed("tainted", b"0", b"512"), id="a-warning-of-the-kernel"),
        pytest.param(changed("tainted", b"12288", b"12288"), id="same-taint"),
        pytest.param(met("tainted", b"12288"), id="tainted-at-start"),
        pytest.param(changed("kexec_loaded", b"0", b"1"), id="another-value"),
    ],
)
def test_silent_when_no_foreign_module_came(event: KernelValue) -> None:
    assert run(DETECTOR, event, node()) == []


def test_blind_when_the_list_cannot_be_read() -> None:
    assert run(DETECTOR, met("foreign_modules", Unknown("denied: x")), node()) == [Blind("denied: x")]


@pytest.mark.parametrize(
    ("name", "error", "severity"),
    [
        ("init_module", 0, Severity.CRITICAL),
        ("finit_module", 8, Severity.CRITICAL),
        ("finit_module", 1, Severity.HIGH),
        ("delete_module", 38, Severity.HIGH),
    ],
)
def test_fires_when_a_container_calls_for_it(name: str, error: int, severity: Severity) -> None:
    finding = calls.one(DETECTOR, calls.call(name, error=error))
    assert (finding.severity, finding.container_id) == (severity, build.container_id())
    assert finding.evidence == (("call", name), ("error", error))


def test_silent_when_the_call_is_another_one_or_the_hosts() -> None:
    assert calls.told(DETECTOR, calls.call("bpf")) == []
    assert run(DETECTOR, calls.call("init_module"), FakeView().put_host(calls.ACTOR)) == []


def test_blind_when_the_caller_is_not_known() -> None:
    assert calls.blind(DETECTOR, calls.call("init_module")) == calls.NOT_KNOWN
