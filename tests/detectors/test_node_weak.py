from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from collectors.events import NodeSeen
from collectors.facts import Unknown
from collectors.node_facts import CgroupLayout, DockerDaemon, Kubelet, NodeFacts, NodeFile, Software
from detectors.base import Blind, Confidence, Finding, Severity
from detectors.node_weak import DETECTOR
from tests.support import build
from tests.support.view import FakeView, run

DOCKER = DockerDaemon(
    hosts=("unix:///var/run/docker.sock",),
    verifies_tls=False,
    userns_remap="default",
    icc=False,
    live_restore=True,
    no_new_privileges=True,
    seccomp_profile="",
)
KUBELET = Kubelet(
    anonymous_auth=False,
    authorization_mode="Webhook",
    has_client_ca=True,
    read_only_port=0,
    seccomp_default=True,
    protect_kernel_defaults=True,
)
STRONG = NodeFacts(
    software=(Software("kernel", "6.18.44", "proc/version"), Software("runc", "1.5.0", "build info")),
    docker=DOCKER,
    kubelet=KUBELET,
    files=(NodeFile("/run/docker.sock", 0o660, 0, 990), NodeFile("/etc/kubernetes/kubelet.conf", 0o600, 0, 0)),
    sysctls=(
        ("kernel.kexec_load_disabled", 1),
        ("kernel.unprivileged_bpf_disabled", 2),
        ("kernel.yama.ptrace_scope", 1),
        ("user.max_user_namespaces", 0),
    ),
    lsms=frozenset({"apparmor"}),
    lockdown="integrity",
    cgroups=CgroupLayout.V2,
)


def find(node: NodeFacts) -> list[Finding | Blind]:
    return run(DETECTOR, NodeSeen(build.NOW_NS, node), FakeView())


def alone(**overrides: Any) -> Finding:
    """The one finding about a node that is strong but for this."""
    (finding,) = find(replace(STRONG, **overrides))
    assert isinstance(finding, Finding)
    assert finding.container_id is None
    return finding


def checks(**overrides: Any) -> tuple[object, Severity | None]:
    """The names of the mild checks that fail, and how bad the worst is."""
    finding = alone(**overrides)
    assert finding.identity == ("hardening",)
    return dict(finding.evidence)["checks"], finding.severity


@pytest.mark.parametrize(
    ("overrides", "name", "severity"),
    [
        ({"docker": replace(DOCKER, hosts=("tcp://0.0.0.0:2375",))}, "docker_tcp_without_tls", Severity.HIGH),
        ({"docker": replace(DOCKER, seccomp_profile="unconfined")}, "docker_seccomp_off", Severity.MEDIUM),
        ({"kubelet": replace(KUBELET, authorization_mode="AlwaysAllow")}, "kubelet_always_allow", Severity.MEDIUM),
        ({"kubelet": replace(KUBELET, anonymous_auth=True)}, "kubelet_anonymous_auth", Severity.MEDIUM),
        ({"kubelet": replace(KUBELET, read_only_port=10255)}, "kubelet_read_only_port", Severity.MEDIUM),
        ({"files": (NodeFile("/run/docker.sock", 0o666, 0, 0),)}, "file_mode:/run/docker.sock", Severity.MEDIUM),
        (
            {"files": (NodeFile("/etc/kubernetes/admin.conf", 0o644, 0, 0),)},
            "file_mode:/etc/kubernetes/admin.conf",
            Severity.MEDIUM,
        ),
        (
            {"files": (NodeFile("/etc/docker/daemon.json", 0o644, 1000, 0),)},
            "file_mode:/etc/docker/daemon.json",
            Severity.MEDIUM,
        ),
    ],
)
def test_fires_alone_when_a_check_is_grave(overrides: dict[str, Any], name: str, severity: Severity) -> None:
    finding = alone(**overrides)
    assert finding.identity == (name,)
    assert finding.severity is severity
    assert finding.evidence[0] == ("check", name)
    assert finding.evidence[1][0] == "reference"


def test_fires_worst_when_the_kubelet_obeys_everybody() -> None:
    found = find(replace(STRONG, kubelet=replace(KUBELET, authorization_mode="AlwaysAllow", anonymous_auth=True)))
    assert [each.severity for each in found if isinstance(each, Finding)] == [Severity.HIGH, Severity.MEDIUM]


@pytest.mark.parametrize(
    ("overrides", "names", "severity"),
    [
        ({"docker": replace(DOCKER, userns_remap="")}, ("docker_userns_remap_off",), Severity.INFO),
        ({"docker": replace(DOCKER, icc=True)}, ("docker_icc_on",), Severity.INFO),
        ({"docker": replace(DOCKER, live_restore=False)}, ("docker_live_restore_off",), Severity.INFO),
        ({"docker": replace(DOCKER, no_new_privileges=False)}, ("docker_no_new_privileges_off",), Severity.INFO),
        ({"kubelet": replace(KUBELET, has_client_ca=False)}, ("kubelet_no_client_ca",), Severity.LOW),
        ({"kubelet": replace(KUBELET, seccomp_default=False)}, ("kubelet_seccomp_default_off",), Severity.LOW),
        (
            {"kubelet": replace(KUBELET, protect_kernel_defaults=False)},
            ("kubelet_protect_kernel_defaults_off",),
            Severity.INFO,
        ),
        ({"lsms": frozenset({"yama"})}, ("no_lsm",), Severity.LOW),
        ({"cgroups": CgroupLayout.HYBRID}, ("cgroup_v1",), Severity.LOW),
        ({"lockdown": "none"}, ("lockdown",), Severity.INFO),
        (
            {"sysctls": (("kernel.unprivileged_bpf_disabled", 0), ("user.max_user_namespaces", 9))},
            ("unprivileged_bpf", "unprivileged_userns"),
            Severity.LOW,
        ),
        (
            {"sysctls": (("kernel.yama.ptrace_scope", 0), ("kernel.kexec_load_disabled", 0))},
            ("ptrace_scope", "kexec"),
            Severity.INFO,
        ),
        (
            {"sysctls": (("vm.unprivileged_userfaultfd", 1), ("kernel.kptr_restrict", 0))},
            ("userfaultfd", "kernel_addresses"),
            Severity.INFO,
        ),
    ],
)
def test_fires_once_for_all_mild_checks(overrides: dict[str, Any], names: tuple[str, ...], severity: Severity) -> None:
    assert checks(**overrides) == (names, severity)


def test_fires_when_a_runtime_has_published_breakouts() -> None:
    finding = alone(software=(Software("runc", "1.1.11", "build info"),))
    assert finding.severity is Severity.HIGH
    assert finding.confidence is Confidence.LIKELY
    assert finding.identity == ("breakouts", "runc")
    breakouts = dict(finding.evidence)["breakouts"]
    assert isinstance(breakouts, tuple)
    assert breakouts[0] == "CVE-2024-21626"


def test_fires_mildly_when_a_distribution_may_have_repaired_it() -> None:
    finding = alone(software=(Software("runc", "1.1.5+ds1-1+deb12u1", "dpkg"),))
    assert finding.severity is Severity.LOW
    assert finding.message.endswith("(unless the distribution repaired it under this number)")
    breakouts = dict(finding.evidence)["breakouts"]
    assert isinstance(breakouts, tuple)
    assert "CVE-2024-21626" not in breakouts


def test_fires_less_for_the_kernel() -> None:
    assert alone(software=(Software("kernel", "5.15.10", "proc/version"),)).severity is Severity.MEDIUM


def test_silent_when_the_node_is_strong() -> None:
    assert find(STRONG) == []


def test_silent_when_a_socket_on_tcp_asks_for_certificates() -> None:
    assert find(replace(STRONG, docker=replace(DOCKER, hosts=("tcp://0.0.0.0:2376",), verifies_tls=True))) == []


def test_silent_when_nothing_of_it_runs_here() -> None:
    assert find(replace(STRONG, docker=None, kubelet=None, files=(), software=())) == []


@pytest.mark.parametrize("name", ["kernel.unprivileged_userns_clone", "kernel.apparmor_restrict_unprivileged_userns"])
def test_silent_when_the_distribution_closes_user_namespaces(name: str) -> None:
    value = int(name.startswith("kernel.apparmor"))
    assert find(replace(STRONG, sysctls=(("user.max_user_namespaces", 9), (name, value)))) == []


@pytest.mark.parametrize(
    "overrides",
    [
        {"docker": Unknown("malformed: daemon.json")},
        {"kubelet": Unknown("malformed: daemon.json")},
        {"lsms": Unknown("malformed: daemon.json")},
        {"cgroups": Unknown("malformed: daemon.json")},
        {"software": (Software("runc", Unknown("malformed: daemon.json"), "build info"),)},
    ],
)
def test_blind_when_a_part_is_not_known(overrides: dict[str, Any]) -> None:
    assert find(replace(STRONG, **overrides)) == [Blind("malformed: daemon.json")]
