from __future__ import annotations

from typing import Any

import pytest

from collectors.capabilities import mask
from collectors.events import ContainerSeen
from collectors.facts import DeclaredNamespace, FileKind, MountSource, Pod, Reach, Unknown
from detectors.base import Blind, Confidence, Finding, Severity
from detectors.host_path_mounted import DETECTOR, OPENS
from tests.support import build
from tests.support.view import FakeView, run

POD_UID = "2040f34c-1567-4a38-8d6e-578444975420"
OTHER_POD = "11111111-1567-4a38-8d6e-578444975420"
GONE = Unknown("gone: host file")
KUBELET = ("/var/lib/kubelet", Reach.BELOW)


def find(*sources: MountSource, **overrides: Any) -> list[Finding | Blind]:
    event = ContainerSeen(build.NOW_NS, build.container(**{"sources": sources, **overrides}))
    return run(DETECTOR, event, FakeView())


def severity_of(*sources: MountSource, **overrides: Any) -> Severity | None:
    (finding,) = find(*sources, **overrides)
    assert isinstance(finding, Finding)
    return finding.severity


def test_fires_when_the_hosts_root_is_mounted() -> None:
    source = build.source("/host", "/", ("/", Reach.IS), ("/etc", Reach.ABOVE), ("/run", Reach.ABOVE))
    assert find(source) == [
        Finding(
            "was started with directories of the host: /",
            build.container_id(),
            evidence=(
                ("paths", ("/",)),
                ("destinations", ("/host",)),
                ("access", ("rw",)),
                ("places", ("is /",)),
                ("opens", (OPENS["/"][0],)),
            ),
            severity=Severity.MEDIUM,
        )
    ]


def test_fires_when_read_only_mildly_and_says_what_can_be_read() -> None:
    source = build.source("/e", "/etc", ("/etc", Reach.IS), ("/etc/shadow", Reach.ABOVE), is_read_only=True)
    (finding,) = find(source)
    assert isinstance(finding, Finding)
    assert finding.severity is Severity.LOW
    assert finding.message == "was started with directories of the host: /etc (read-only)"
    assert dict(finding.evidence)["opens"] == ("reads the host's password hashes",)


@pytest.mark.parametrize("extra", [(), ("CAP_SYS_PTRACE",)])
def test_fires_when_proc_is_read_only_and_worse_with_ptrace(extra: tuple[str, ...]) -> None:
    source = build.source("/host/proc", "/proc", ("/proc", Reach.IS), is_read_only=True)
    bounding = build.DOCKER_CAPABILITIES | mask(extra)
    declared = build.declared(capabilities=build.capabilities(bounding))
    assert severity_of(source, declared=declared) is (Severity.MEDIUM if extra else Severity.LOW)


@pytest.mark.parametrize(
    ("path", "reached"),
    [
        ("/var/lib", ("/var/lib/kubelet", Reach.ABOVE)),
        ("/var/lib/kubelet/pods", KUBELET),
        (f"/var/lib/kubelet/pods/{OTHER_POD}/volumes", KUBELET),
        ("/etc/cron.d/job", ("/etc/cron.d", Reach.BELOW)),
        ("/var/lib/docker/volumes", ("/var/lib/docker", Reach.BELOW)),
        (f"/var/lib/docker/containers/{build.container_id(2)}/hosts", ("/var/lib/docker", Reach.BELOW)),
        ("/etc/passwd", ("/etc/passwd", Reach.IS)),
    ],
    ids=["above", "all-pods", "another-pod", "in-it", "all-volumes", "another-container", "passwd"],
)
def test_fires_when_a_place_of_the_host_comes_with_it(path: str, reached: tuple[str, Reach]) -> None:
    assert severity_of(build.source("/x", path, reached), pod_uid=POD_UID) is Severity.MEDIUM


def test_fires_when_only_the_path_is_known_but_is_not_certain() -> None:
    (finding,) = find(build.source("/x", "/etc", ("/etc", Reach.IS), file=GONE, kind=GONE))
    assert isinstance(finding, Finding)
    assert finding.confidence is Confidence.LIKELY


def test_fires_when_there_are_many_with_the_worst_first_and_a_bound() -> None:
    mild = [build.source(f"/m{n}", "/boot", ("/boot", Reach.IS), is_read_only=True) for n in range(20)]
    (finding,) = find(*mild, build.source("/w", "/etc", ("/etc", Reach.IS)))
    assert isinstance(finding, Finding)
    assert finding.severity is Severity.MEDIUM
    paths = dict(finding.evidence)["paths"]
    assert isinstance(paths, tuple)
    assert (len(paths), paths[0]) == (16, "/etc")
    assert finding.message.endswith(", ...")


def test_fires_mildly_in_a_user_namespace_of_its_own() -> None:
    kinds = (*build.declared().namespaces, DeclaredNamespace("user", None))
    declared = build.declared(namespaces=kinds)
    assert severity_of(build.source("/x", "/etc", ("/etc", Reach.IS)), declared=declared) is Severity.LOW
    assert find(build.source("/sys", "/sys", ("/sys", Reach.IS), is_read_only=True), declared=declared) == []


@pytest.mark.parametrize(
    ("path", "reached", "read_only"),
    [
        (f"/var/lib/docker/containers/{build.container_id()}/resolv.conf", ("/var/lib/docker", Reach.BELOW), False),
        (f"/var/lib/docker/containers/{build.container_id()}/mounts/shm", ("/var/lib/docker", Reach.BELOW), False),
        ("/var/lib/docker/volumes/data/_data", ("/var/lib/docker", Reach.BELOW), False),
        ("/var/lib/docker/buildkit/executor/resolv.conf", ("/var/lib/docker", Reach.BELOW), True),
        (f"/var/lib/kubelet/pods/{POD_UID}/volumes/kubernetes.io~projected/kube-api-access-x", KUBELET, True),
        (f"/var/lib/kubelet/pods/{POD_UID}/etc-hosts", KUBELET, False),
        (f"/var/lib/kubelet/pods/{POD_UID}/containers/web/1a2b3c4d", KUBELET, False),
        ("/usr/bin/docker-init", ("/usr/bin", Reach.BELOW), True),
        ("/usr/lib/x86_64-linux-gnu/libcuda.so.1", ("/usr/lib", Reach.BELOW), True),
        ("/usr/share/zoneinfo/UTC", ("/etc", Reach.BELOW), True),
        ("/etc/passwd", ("/etc/passwd", Reach.IS), True),
        ("/srv/data", ("/home", Reach.BELOW), False),
    ],
)
def test_silent_when_the_engine_manages_it_or_it_leads_nowhere(
    path: str, reached: tuple[str, Reach], *, read_only: bool
) -> None:
    assert find(build.source("/x", path, reached, is_read_only=read_only), pod_uid=POD_UID) == []


def test_silent_when_the_file_is_that_of_the_pods_sandbox() -> None:
    path = f"/run/containerd/io.containerd.grpc.v1.cri/sandboxes/{build.container_id(2)}/shm"
    pod = Pod("default", "web", POD_UID, "web", is_sandbox=False)
    assert find(build.source("/dev/shm", path, ("/run/containerd", Reach.BELOW)), pod=pod) == []


def test_silent_when_a_socket_is_mounted_which_another_rule_tells() -> None:
    path = "/run/containerd/containerd.sock"
    assert find(build.source("/s", path, ("/run/containerd", Reach.BELOW), kind=FileKind.SOCKET)) == []


def test_silent_when_it_is_plain_docker_run() -> None:
    assert run(DETECTOR, ContainerSeen(build.NOW_NS, build.container()), FakeView()) == []


@pytest.mark.parametrize(
    "overrides",
    [
        {"declared": Unknown("no_bundle"), "sources": Unknown("no_bundle")},
        {"sources": Unknown("too_large: more than 1024 bind mounts")},
        {"sources": (build.source("/x", "/data/x", file=Unknown("gone: host file"), kind=Unknown("gone: host file")),)},
    ],
    ids=["bundle", "sources", "one-source"],
)
def test_blind_when_a_source_is_not_known(overrides: dict[str, Any]) -> None:
    (blind,) = find(**overrides)
    assert isinstance(blind, Blind)
    assert blind.why.split(":")[0] in {"no_bundle", "too_large", "gone"}
