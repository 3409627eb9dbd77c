"""Kubernetes' and the runtimes' names for a container, from annotations of its bundle or labels of its API. Pure.

Which keys count depends on the runtime: containerd and CRI-O write theirs themselves, whereas with docker and podman
anybody who starts a container can put any annotation into the bundle, and so claim to be any pod.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from collectors.facts import Pod

SANDBOX_NAME = "POD"
"""What Kubernetes calls the container that holds a pod's namespaces."""

_CRI = "io.kubernetes.cri."  # containerd: internal/cri/annotations/annotations.go
_CRIO = "io.kubernetes.cri-o."  # CRI-O: pkg/annotations; the plain io.kubernetes.* keys are kubelet's labels


@dataclass(frozen=True, slots=True)
class Identity:
    """How a container is called; ``None`` for what nothing says."""

    name: str | None = None
    image: str | None = None
    pod: Pod | None = None


def parse_annotations(annotations: Mapping[str, str], runtime: str) -> Identity:
    """The identity that a runtime wrote into the annotations of its bundle."""
    if runtime == "containerd":
        return _parse_cri(annotations)
    if runtime == "cri-o":
        pod = parse_labels(annotations)
        image = next((annotations[_CRIO + key] for key in ("ImageName", "Image") if annotations.get(_CRIO + key)), None)
        if pod is not None and annotations.get(_CRIO + "ContainerType") == "sandbox":
            pod = Pod(pod.namespace, pod.name, pod.uid, SANDBOX_NAME, is_sandbox=True)
        name = pod.container_name if pod is not None else annotations.get(_CRIO + "Name")
        return Identity(name or None, image, pod)
    return Identity()


def parse_labels(labels: Mapping[str, str]) -> Pod | None:
    """The pod of kubelet's own labels: CRI-O's annotations, and the labels of dockershim and cri-dockerd."""
    name, namespace = labels.get("io.kubernetes.pod.name"), labels.get("io.kubernetes.pod.namespace")
    if not name or not namespace:
        return None
    container_name = labels.get("io.kubernetes.container.name") or SANDBOX_NAME
    is_sandbox = container_name == SANDBOX_NAME or labels.get("io.kubernetes.docker.type") == "podsandbox"
    return Pod(namespace, name, labels.get("io.kubernetes.pod.uid", ""), container_name, is_sandbox)


def _parse_cri(annotations: Mapping[str, str]) -> Identity:
    is_sandbox = annotations.get(_CRI + "container-type") == "sandbox"
    container_name = SANDBOX_NAME if is_sandbox else annotations.get(_CRI + "container-name", "")
    image = annotations.get(_CRI + ("podsandbox.image-name" if is_sandbox else "image-name"))
    name, namespace = annotations.get(_CRI + "sandbox-name"), annotations.get(_CRI + "sandbox-namespace")
    pod = None
    if name and namespace:
        pod = Pod(namespace, name, annotations.get(_CRI + "sandbox-uid", ""), container_name, is_sandbox)
    # nerdctl keeps its labels as annotations (pkg/labels/labels.go); a pod's container never has them.
    called = (container_name or None) if pod is not None else annotations.get("nerdctl/name")
    return Identity(called, image or None, pod)
