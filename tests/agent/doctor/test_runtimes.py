"""Which runtimes a node's processes name, and which overlay shows them: on trees as the distributions make them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.doctor.base import Answer, Surroundings, Verdict
from agent.doctor.examination import examine
from agent.doctor.runtimes import directory_of, mend_of
from tests.agent.doctor.surroundings import by_name, well
from tests.support import build

SHIM = b"containerd-shim"  # what the kernel keeps of containerd-shim-runc-v2
K3S = (
    b"/var/lib/rancher/k3s/data/4f20/bin/containerd-shim-runc-v2",
    b"-namespace",
    b"k8s.io",
    b"-id",
    b"a1",
    b"-address",
    b"/run/k3s/containerd/containerd.sock",
)
RKE2 = (b"/var/lib/rancher/rke2/data/v1.31/bin/containerd-shim-runc-v2", *K3S[1:])
MICROK8S = (
    b"/snap/microk8s/7/bin/containerd-shim-runc-v2",
    b"-address",
    b"/var/snap/microk8s/common/run/containerd.sock",
)
KUBEADM = (b"/usr/bin/containerd-shim-runc-v2", b"-address", b"/var/run/containerd/containerd.sock")
CRI_O = (b"/usr/bin/conmon", b"-b", b"/run/containers/storage/overlay-containers/a1/userdata", b"-c", b"a1")
K0S = (b"/var/lib/k0s/bin/containerd-shim-runc-v2", b"-address", b"/run/k0s/containerd.sock")


def run(tmp_path: Path, pid: int, comm: bytes, arguments: tuple[bytes, ...], mnt: int = build.HOST_MNT) -> None:
    process = tmp_path / f"proc/{pid}"
    (process / "ns").mkdir(parents=True)
    (process / "ns/mnt").symlink_to(f"mnt:[{mnt}]")
    (process / "comm").write_bytes(comm + b"\n")
    (process / "cmdline").write_bytes(b"\0".join(arguments) + b"\0")


def answer(node: Surroundings, name: str = "runtimes") -> Answer:
    return by_name(examine(node))[name]


@pytest.mark.parametrize(
    ("arguments", "comm", "directory", "overlay"),
    [
        pytest.param(K3S, SHIM, "/run/k3s/containerd", "overlays/k3s", id="k3s"),
        pytest.param(RKE2, SHIM, "/run/k3s/containerd", "overlays/rke2", id="rke2"),
        pytest.param(MICROK8S, SHIM, "/var/snap/microk8s/common/run", "overlays/microk8s", id="microk8s"),
        pytest.param(CRI_O, b"conmon", "/run/containers/storage", "mount hostPath /run", id="cri-o"),
        pytest.param(K0S, SHIM, "/run/k0s", "containers.state_directories", id="k0s"),
    ],
)
def test_a_runtime_that_is_used_and_not_seen_is_named_with_what_mends_it(
    tmp_path: Path, arguments: tuple[bytes, ...], comm: bytes, directory: str, overlay: str
) -> None:
    node = well(tmp_path)
    run(tmp_path, 800, comm, arguments)
    found = answer(node)
    assert found.verdict is Verdict.WARNING
    assert found.found == f"used on the host, not seen here: {directory}"
    assert overlay in found.mend


def test_what_is_used_and_seen_is_well(tmp_path: Path) -> None:
    node = well(tmp_path)
    run(tmp_path, 800, SHIM, KUBEADM)
    assert answer(node).verdict is Verdict.OK
    run(tmp_path, 801, SHIM, K3S)
    assert answer(node).verdict is Verdict.WARNING
    (tmp_path / "host/run/k3s/containerd/runc").mkdir(parents=True)
    assert answer(node).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("comm", "mnt"),
    [pytest.param(SHIM, 4026532999, id="in-a-container"), pytest.param(b"bash", build.HOST_MNT, id="another-program")],
)
def test_nobody_else_is_believed(tmp_path: Path, comm: bytes, mnt: int) -> None:
    node = well(tmp_path)
    run(tmp_path, 800, comm, K3S, mnt)
    assert answer(node).verdict is Verdict.OK


def test_an_engine_without_its_socket_is_told(tmp_path: Path) -> None:
    node = well(tmp_path)
    assert answer(node, "Docker API").verdict is Verdict.OFF
    run(tmp_path, 800, b"dockerd", (b"/usr/bin/dockerd",))
    found = answer(node, "Docker API")
    assert found.verdict is Verdict.WARNING
    assert "dockerd runs on the host" in found.found


@pytest.mark.parametrize("arguments", [(), (b"x",), (b"x", b"-address"), (b"x", b"-b", b"/run/x"), (b"x", b"-b", b"x")])
def test_parses_nothing_of_what_names_no_directory(arguments: tuple[bytes, ...]) -> None:
    assert directory_of(arguments) is None


def test_an_overlay_that_is_named_exists() -> None:
    overlays = Path(__file__).parents[3] / "deploy/kustomize/overlays"
    for directory, program in (("/run/k3s", ""), ("/run/k3s", RKE2[0].decode()), ("/var/snap/microk8s/common/run", "")):
        name = mend_of(directory, program).split("overlays/")[1].rstrip(").")
        assert (overlays / name / "kustomization.yaml").is_file()
