"""What is known of Kubernetes pods beyond the names in their containers' bundles, as values. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PodOwner:
    """Who made a pod, by kind and name: ``ReplicaSet`` ``web-5d7c``, ``Deployment`` ``web``."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class PodCommand:
    """A command that the kubelet runs in a container of a pod: ``purpose`` is the field of the pod that declares it."""

    container: str
    purpose: str  # livenessProbe, readinessProbe, startupProbe, postStart, preStop
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PodDetails:
    """What the API server says of one pod, cut to bounds.

    ``uid`` is the one that the node knows: for a static pod the kubelet's own, not that of its mirror in the API.
    ``owner`` is the controller that made it, ``workload`` what a person deployed: ``collectors.kubernetes.workload``.
    """

    namespace: str
    name: str
    uid: str
    node: str
    labels: tuple[tuple[str, str], ...] = ()
    service_account: str | None = None
    owner: PodOwner | None = None
    workload: PodOwner | None = None
    is_static: bool = False
    ephemeral_containers: tuple[str, ...] = ()
    commands: tuple[PodCommand, ...] = ()


@dataclass(frozen=True, slots=True)
class PodSeen:
    """One pod of the API server: its details, and the names of its containers by their ids, as far as they started."""

    details: PodDetails
    containers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class KubeletPods:
    """What the kubelet keeps on the node's disk of its pods.

    ``uids`` are the pods that it has a directory for, ``None`` where its directory is not to be seen. ``names`` are
    (namespace, name) by uid, and ``containers`` names by container id, both from the names of log files: whoever may
    write into the logs' directory can forge those.
    """

    uids: frozenset[str] | None
    names: Mapping[str, tuple[str, str]]
    containers: Mapping[str, str]
