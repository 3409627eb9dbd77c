from __future__ import annotations

from typing import Any

import pytest

from collectors.events import ContainerSeen
from collectors.facts import DeclaredNamespace, Unknown
from detectors.base import Blind, Confidence, Finding, Severity
from detectors.hostile_bundle import DETECTOR, HOOK, LINKED_DEV, OPENS, PRELOAD, SYSCTL, WORKING_DIRECTORY
from tests.support import build
from tests.support.view import FakeView, run

GPU_HOOK = "/usr/bin/nvidia-ctk"
PRELOADED = ("PATH=/bin", "LD_PRELOAD=./evil.so")


def find(*, has_linked_dev: bool | Unknown = False, **declared: Any) -> list[Finding | Blind]:
    container = build.container(declared=build.declared(**declared), has_linked_dev=has_linked_dev)
    return run(DETECTOR, ContainerSeen(build.NOW_NS, container), FakeView())


def expected(kind: str, text: str, **overrides: Any) -> list[Finding | Blind]:
    return [
        Finding(
            f"was started from a bundle that is an exploit: {kind}",
            build.container_id(),
            evidence=(("parts", (f"{kind}: {text}",)), ("opens", (OPENS[kind],))),
            **overrides,
        )
    ]


@pytest.mark.parametrize(
    "directory",
    [
        "/proc/self/fd/7",
        "/proc/self/fd/8/../../..",
        "//proc/./self/fd/7/",
        "/proc/1/cwd",
        "/proc/thread-self/fd/3",
        "/tmp/../proc/42/task/43/root",
    ],
)
def test_fires_when_the_working_directory_is_a_descriptor(directory: str) -> None:
    assert find(working_directory=directory) == expected(WORKING_DIRECTORY, directory)


@pytest.mark.parametrize(
    ("name", "value"),
    [("kernel.shm_rmid_forced", "1+kernel.core_pattern=|/evil"), ("net.ipv4.ip_forward=1+kernel.core_pattern", "x")],
)
def test_fires_when_a_sysctl_holds_a_second_one(name: str, value: str) -> None:
    assert find(sysctls=((name, value),)) == expected(SYSCTL, f"{name}={value}")


def test_fires_when_dev_of_the_image_is_a_link() -> None:
    assert find(has_linked_dev=True) == expected(LINKED_DEV, build.declared().root_path)


@pytest.mark.parametrize("hook", ["/tmp/hook", "/home/me/hook", "/usr/../tmp/hook", "/proc/self/fd/3", "hook"])
def test_fires_when_a_hook_is_outside_the_systems_directories(hook: str) -> None:
    assert find(hooks=(hook, hook)) == expected(HOOK, hook)


def test_fires_doubtfully_when_a_hook_gets_a_preloaded_library() -> None:
    found = find(hooks=(GPU_HOOK,), container_hooks=(GPU_HOOK,), environment=PRELOADED)
    assert found == expected(PRELOAD, PRELOADED[1], severity=Severity.MEDIUM, confidence=Confidence.LIKELY)


def test_fires_certainly_when_there_is_more_than_a_doubt() -> None:
    (finding,) = find(
        hooks=(GPU_HOOK,), container_hooks=(GPU_HOOK,), environment=PRELOADED, working_directory="/proc/self/fd/7"
    )
    assert isinstance(finding, Finding)
    assert (finding.severity, finding.confidence) == (None, Confidence.CERTAIN)


@pytest.mark.parametrize(
    "declared",
    [
        {"hooks": ("/proc/31682/exe",), "environment": PRELOADED},
        {"hooks": (GPU_HOOK, "/opt/cni/bin/hook", "/home/kubernetes/bin/hook"), "environment": PRELOADED},
        {"environment": PRELOADED},
        {"working_directory": "/proc"},
        {"working_directory": "/srv/proc/self/fd/7"},
        {"sysctls": (("net.ipv4.ip_local_port_range", "1024 65535"),)},
    ],
    ids=["docker", "hooks-of-the-host", "preload-alone", "proc", "not-proc", "sysctl"],
)
def test_silent_when_it_is_honest(declared: dict[str, Any]) -> None:
    assert find(**declared) == []


def test_silent_when_the_engine_of_a_user_has_its_hooks_at_home() -> None:
    kinds = (*build.declared().namespaces, DeclaredNamespace("user", None))
    assert find(hooks=("/home/me/bin/nerdctl",), namespaces=kinds) == []


def test_silent_when_it_is_plain_docker_run() -> None:
    assert find() == []


def test_blind_when_dev_of_the_image_is_not_known() -> None:
    assert find(has_linked_dev=Unknown("gone: host file")) == [Blind("gone: host file")]


def test_blind_when_the_bundle_is_not_known() -> None:
    event = ContainerSeen(build.NOW_NS, build.container(declared=Unknown("no_bundle")))
    assert run(DETECTOR, event, FakeView()) == [Blind("no_bundle")]
