from __future__ import annotations

import pytest

from collectors.events import Touch
from collectors.facts import Unknown
from collectors.values import WATCHED
from detectors.base import Blind, Confidence, Finding, Severity
from detectors.kernel_helper_replaced import HELPERS
from detectors.kernel_interface_written import DETECTOR, WALLS
from tests.support import build, calls
from tests.support.values import changed, met
from tests.support.view import FakeView, run


def test_every_watched_value_is_judged_by_somebody() -> None:
    assert {each.name for each in WATCHED} == {*WALLS, *HELPERS, "tainted", "kexec_loaded"}


def test_fires_when_a_wall_is_lowered() -> None:
    first = build.first_process(confinement=build.confinement(capabilities=build.capabilities(build.FULL_CAPABILITIES)))
    view = FakeView().put_container(build.container(), first)
    assert run(DETECTOR, changed("kernel.kptr_restrict", b"2", b"0", where=b"/f"), view) == [
        Finding(
            "the setting kernel.kptr_restrict was lowered, by whom is not known",
            None,
            evidence=(
                ("value", "kernel.kptr_restrict"),
                ("file", b"/f"),
                ("before", b"2"),
                ("after", b"0"),
                ("containers_that_could", (build.container_id(),)),
            ),
            severity=Severity.MEDIUM,
            confidence=Confidence.LIKELY,
        )
    ]


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("kernel.yama.ptrace_scope", b"1", b"0"),
        ("kernel.perf_event_paranoid", b"3", b"-1"),
        ("kernel.unprivileged_userns_clone", b"0", b"1"),
        ("user.max_user_namespaces", b"0", b"15000"),
        ("net.ipv4.conf.all.route_localnet", b"0", b"1"),
        ("fs.suid_dumpable", b"0", b"2"),
        ("kernel.sysrq", b"16", b"1"),
        ("kernel.sysrq", b"16", b"24"),
        ("selinux.enforce", b"1", b"0"),
        ("apparmor.mode", b"enforce", b"complain"),
        ("lockdown", b"none [integrity] confidentiality", b"[none] integrity confidentiality"),
    ],
)
def test_fires_when_each_is_weaker(name: str, before: bytes, after: bytes) -> None:
    (found,) = run(DETECTOR, changed(name, before, after), FakeView())
    assert isinstance(found, Finding)
    assert found.severity is Severity.MEDIUM


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("kernel.kptr_restrict", b"0", b"2"),
        ("user.max_user_namespaces", b"100", b"15000"),
        ("user.max_user_namespaces", b"100", b"0"),
        ("kernel.sysrq", b"1", b"16"),
        ("kernel.sysrq", b"24", b"16"),
        ("apparmor.mode", b"complain", b"enforce"),
        ("lockdown", b"[none] integrity confidentiality", b"none [integrity] confidentiality"),
        ("kernel.kptr_restrict", b"odd", b"0"),
        ("core_pattern", b"core", b"|/tmp/x"),
    ],
)
def test_silent_when_it_is_not_weaker(name: str, before: bytes, after: bytes) -> None:
    assert run(DETECTOR, changed(name, before, after), FakeView()) == []


def test_silent_when_it_is_met_first_or_back_to_the_start() -> None:
    assert run(DETECTOR, met("kernel.kptr_restrict", b"0"), FakeView()) == []
    assert run(DETECTOR, changed("kernel.kptr_restrict", b"2", b"0", at_start=b"0"), FakeView()) == []


def test_blind_when_the_value_cannot_be_read() -> None:
    assert run(DETECTOR, met("lockdown", Unknown("denied: x")), FakeView()) == [Blind("denied: x")]


PROC, SYSFS, TRACEFS = 0x9FA0, 0x62656572, 0x74726163


@pytest.mark.parametrize(
    ("path", "file_system", "severity"),
    [
        (b"/proc/sysrq-trigger", PROC, Severity.HIGH),
        (b"/proc/sys/kernel/kptr_restrict", PROC, Severity.HIGH),
        (b"/proc/sys/vm/max_map_count", PROC, Severity.LOW),
        (b"/sys/kernel/tracing/kprobe_events", TRACEFS, Severity.HIGH),
        (b"/sys/devices/pci0000:00/0000:00:01.0/config", SYSFS, Severity.HIGH),
        (b"/sys/kernel/mm/ksm/run", SYSFS, Severity.MEDIUM),
    ],
)
def test_fires_when_a_container_opens_it_for_writing(path: bytes, file_system: int, severity: Severity) -> None:
    event = calls.touched(Touch.KERNEL, path=path, file_system=file_system)
    assert calls.one(DETECTOR, event).severity == severity


@pytest.mark.parametrize(
    "path", [b"/proc/sys/net/ipv4/ip_forward", b"/proc/sys/kernel/hostname", b"/proc/sys/kernel/shmmax"]
)
def test_silent_when_the_value_is_its_own_namespaces(path: bytes) -> None:
    assert calls.told(DETECTOR, calls.touched(Touch.KERNEL, path=path, file_system=PROC)) == []


@pytest.mark.parametrize("path", [b"/proc/sys/kernel/core_pattern", b"/proc/pressure/cpu"])
def test_silent_when_another_detector_judges_it_or_nothing_is_changed(path: bytes) -> None:
    event = calls.touched(Touch.KERNEL, path=path, file_system=PROC)
    assert calls.told(DETECTOR, event) == []


def test_blind_when_the_writer_is_not_known() -> None:
    event = calls.touched(Touch.KERNEL, path=b"/proc/sysrq-trigger", file_system=PROC)
    assert calls.blind(DETECTOR, event) == calls.NOT_KNOWN
