from __future__ import annotations

from typing import Any

import pytest

from collectors.events import ContainerSeen
from collectors.facts import Container, DeclaredNamespace, Pod, Unknown
from detectors.base import Blind, Finding, Severity
from detectors.host_namespaces import DETECTOR
from tests.support import build
from tests.support.view import FakeView, run

ALL = ("mnt", "net", "uts", "pid", "ipc", "cgroup")


def container(*missing: str, number: int = 1, paths: dict[str, str] | None = None, **overrides: Any) -> Container:
    """A container without these namespaces, and with a path in others."""
    kinds = tuple(DeclaredNamespace(kind, (paths or {}).get(kind)) for kind in ALL if kind not in missing)
    return build.container(number, **{"declared": build.declared(namespaces=kinds), **overrides})


def find(each: Container, view: FakeView | None = None) -> list[Finding | Blind]:
    return run(DETECTOR, ContainerSeen(build.NOW_NS, each), view or FakeView())


@pytest.mark.parametrize(
    ("missing", "severity"),
    [
        (("pid",), Severity.MEDIUM),
        (("mnt",), Severity.MEDIUM),
        (("ipc",), Severity.LOW),
        (("uts",), Severity.LOW),
        (("net",), Severity.INFO),
        (("uts", "net"), Severity.INFO),
        (("ipc", "uts", "net"), Severity.LOW),
        (("mnt", "pid", "ipc", "uts", "net"), Severity.MEDIUM),
    ],
)
def test_fires_when_a_namespace_is_the_hosts(missing: tuple[str, ...], severity: Severity) -> None:
    plural = "s" if len(missing) > 1 else ""
    assert find(container(*missing)) == [
        Finding(
            f"was started in the host's {', '.join(missing)} namespace{plural}",
            build.container_id(),
            evidence=(("namespaces", missing),),
            severity=severity,
        )
    ]


def test_fires_when_the_path_of_a_namespace_is_pid_1s() -> None:
    (finding,) = find(container(paths={"pid": "/proc/1/ns/pid"}))
    assert isinstance(finding, Finding)
    assert finding.evidence == (("namespaces", ("pid",)),)


def test_fires_when_the_sandbox_that_is_joined_has_the_hosts_net() -> None:
    view = FakeView().put_container(container("net", "uts", number=2), build.first_process(2))
    joined = f"/proc/{build.first_pid(2)}/ns/net"
    (finding,) = find(container(paths={"net": joined}), view)
    assert isinstance(finding, Finding)
    assert finding.severity is Severity.INFO


def test_fires_when_the_first_process_shows_that_a_bound_namespace_is_the_hosts() -> None:
    first = build.first_process(confinement=build.confinement(namespaces=build.namespaces(net=build.HOST_NET)))
    each = container(paths={"net": "/run/netns/cni-1"})
    (finding,) = find(each, FakeView().put_container(each, first))
    assert isinstance(finding, Finding)
    assert finding.evidence == (("namespaces", ("net",)),)


def test_silent_when_the_container_has_its_own() -> None:
    assert find(container()) == []


@pytest.mark.parametrize("path", ["/proc/4200/ns/net", "/run/netns/cni-1", "/proc/1234/ns/net"])
def test_silent_when_a_namespace_is_another_containers(path: str) -> None:
    view = FakeView().put_container(container(number=2), build.first_process(2))
    assert find(container(paths={"net": path}), view) == []


def test_silent_when_the_container_is_a_pods_sandbox() -> None:
    pod = Pod("default", "web", "uid", "", is_sandbox=True)
    assert find(container("net", "uts", "pid", pod=pod)) == []


def test_silent_when_only_cgroup_and_user_are_the_hosts() -> None:
    assert find(container("cgroup")) == []


def test_blind_when_the_bundle_is_not_known() -> None:
    assert find(container(declared=Unknown("no_bundle"))) == [Blind("no_bundle")]
