from __future__ import annotations

import pytest

from collectors.containers.annotations import Identity, parse_annotations, parse_labels
from collectors.facts import Pod

CRI = "io.kubernetes.cri."
SANDBOX = {f"{CRI}sandbox-name": "web-0", f"{CRI}sandbox-namespace": "shop", f"{CRI}sandbox-uid": "u-1"}
KUBELET = {"io.kubernetes.pod.name": "web-0", "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": "u-1"}
APP = Pod("shop", "web-0", "u-1", "app", is_sandbox=False)
PAUSE = Pod("shop", "web-0", "u-1", "POD", is_sandbox=True)


@pytest.mark.parametrize(
    ("runtime", "annotations", "identity"),
    [
        pytest.param(
            "containerd",
            SANDBOX
            | {f"{CRI}container-type": "container", f"{CRI}container-name": "app", f"{CRI}image-name": "nginx:1"},
            Identity("app", "nginx:1", APP),
            id="containerd-container",
        ),
        pytest.param(
            "containerd",
            SANDBOX | {f"{CRI}container-type": "sandbox", f"{CRI}podsandbox.image-name": "pause:3"},
            Identity("POD", "pause:3", PAUSE),
            id="containerd-sandbox",
        ),
        pytest.param("containerd", {"nerdctl/name": "db"}, Identity("db"), id="nerdctl"),
        pytest.param(
            "cri-o",
            KUBELET
            | {
                "io.kubernetes.container.name": "app",
                "io.kubernetes.cri-o.ContainerType": "container",
                "io.kubernetes.cri-o.ImageName": "nginx:1",
            },
            Identity("app", "nginx:1", APP),
            id="cri-o-container",
        ),
        pytest.param(
            "cri-o",
            KUBELET | {"io.kubernetes.container.name": "POD", "io.kubernetes.cri-o.ContainerType": "sandbox"},
            Identity("POD", None, PAUSE),
            id="cri-o-sandbox",
        ),
        pytest.param("docker", SANDBOX, Identity(), id="anybody-can-annotate-with-docker"),
        pytest.param("podman", KUBELET, Identity(), id="anybody-can-annotate-with-podman"),
        pytest.param("containerd", {}, Identity(), id="nothing"),
    ],
)
def test_parses_annotations(runtime: str, annotations: dict[str, str], identity: Identity) -> None:
    assert parse_annotations(annotations, runtime) == identity


def test_parses_the_labels_of_cri_dockerd() -> None:
    assert parse_labels(KUBELET | {"io.kubernetes.container.name": "app"}) == APP
    assert parse_labels(KUBELET | {"io.kubernetes.docker.type": "podsandbox"}) == PAUSE
    assert parse_labels({"io.kubernetes.pod.name": "web-0"}) is None
