from __future__ import annotations

from typing import Any

import pytest

from collectors.events import ContainerSeen
from collectors.facts import DeviceRule, Pod, Unknown
from detectors.base import Blind, Finding, Severity
from detectors.filters_off import DETECTOR, OPENS
from tests.support import build
from tests.support.view import FakeView, run

POD = Pod("default", "web", "uid", "web", is_sandbox=False)


def find(
    lsms: frozenset[str] | Unknown = frozenset({"apparmor"}), pod: Pod | None = None, **declared: Any
) -> list[Finding | Blind]:
    container = build.container(declared=build.declared(**declared), pod=pod)
    return run(DETECTOR, ContainerSeen(build.NOW_NS, container), FakeView(host=build.host_baseline(lsms=lsms)))


def expected(*off: str, severity: Severity | None = None) -> list[Finding | Blind]:
    return [
        Finding(
            f"was started without {' and '.join(off)}",
            build.container_id(),
            evidence=(("off", off), ("opens", tuple(OPENS[each] for each in off))),
            severity=severity,
        )
    ]


def test_fires_when_seccomp_is_off() -> None:
    assert find(seccomp=False) == expected("seccomp")


@pytest.mark.parametrize("profile", ["unconfined", None])
def test_fires_when_apparmor_confines_nothing(profile: str | None) -> None:
    assert find(apparmor_profile=profile) == expected("apparmor")


@pytest.mark.parametrize("label", [None, "system_u:system_r:spc_t:s0", "unconfined_u:unconfined_r:unconfined_t:s0"])
def test_fires_when_selinux_confines_nothing(label: str | None) -> None:
    assert find(frozenset({"selinux"}), selinux_label=label) == expected("selinux")


def test_fires_when_all_are_off() -> None:
    assert find(seccomp=False, apparmor_profile="unconfined") == expected("seccomp", "apparmor")


def test_fires_mildly_when_a_pod_has_what_the_kubelet_gives_by_default() -> None:
    assert find(pod=POD, seccomp=False) == expected("seccomp", severity=Severity.INFO)
    assert find(pod=POD, seccomp=False, apparmor_profile=None) == expected("seccomp", "apparmor")


@pytest.mark.parametrize("lsms", [frozenset({"capability", "yama"}), frozenset({"selinux"})])
def test_silent_when_the_node_lacks_the_module(lsms: frozenset[str]) -> None:
    assert find(lsms, apparmor_profile=None, selinux_label="system_u:system_r:container_t:s0:c1,c2") == []


def test_silent_when_it_is_plain_docker_run() -> None:
    assert find() == []


def test_silent_when_it_is_a_sandbox_or_privileged() -> None:
    assert find(pod=Pod("default", "web", "uid", "", is_sandbox=True), seccomp=False) == []
    everything = DeviceRule(allow=True, kind="a", major=None, minor=None, access="rwm")
    full = build.capabilities(build.FULL_CAPABILITIES)
    assert find(seccomp=False, apparmor_profile=None, capabilities=full, device_rules=(everything,)) == []


def test_blind_when_the_modules_of_the_node_are_not_known() -> None:
    unknown = Unknown("gone: sys/kernel/security/lsm")
    assert find(unknown, apparmor_profile=None) == [Blind(unknown.why)]
    assert find(unknown, seccomp=False) == [Blind(unknown.why), *expected("seccomp")]


def test_blind_when_the_bundle_is_not_known() -> None:
    event = ContainerSeen(build.NOW_NS, build.container(declared=Unknown("no_bundle")))
    assert run(DETECTOR, event, FakeView()) == [Blind("no_bundle")]
