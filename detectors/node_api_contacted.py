"""A container is connected to a port at which nodes are governed.

The Docker API over TCP starts containers for whoever asks; the kubelet's runs commands in every pod of its node; etcd
has the whole cluster in it, secrets included.

*Fires on:* a TCP connection from a container to port 2375 or 2376 (Docker), 10250 or 10255 (kubelet), 2379 or 2380
(etcd). High for Docker, and for etcd on this node; medium for the kubelet, and for etcd elsewhere, where it may be
somebody's own. Low where the container shares the host's network: the control plane does. Connections within the
container's own network are silent. The engine tells it once for each (container, address).
"""

from __future__ import annotations

from collectors.events import TcpConnected
from collectors.facts import Unknown
from detectors.base import (
    Blind,
    Confidence,
    Detector,
    Family,
    Finding,
    Found,
    NodeView,
    Severity,
    Technique,
    Tier,
)

SERVICES = {2375: "Docker", 2376: "Docker", 10250: "the kubelet", 10255: "the kubelet", 2379: "etcd", 2380: "etcd"}


def check(event: TcpConnected, view: NodeView) -> Found:
    """Judge by port, and by whether the address is this node's."""
    connection = event.connection
    service = SERVICES.get(connection.remote_port)
    if service is None:
        return
    first = view.first_process(event.container_id)
    if isinstance(first, Unknown):
        yield Blind(f"first process: {first.why}", event.process)
        return
    address = f"{connection.remote} {connection.remote_port}"
    is_hosts = first.confinement.namespaces.net == view.host.namespaces.net
    yield Finding(
        f"is connected to a port of {service}" + (" on this node" if event.is_to_this_node else ""),
        event.container_id,
        event.process,
        evidence=(("remote", address), ("to_this_node", event.is_to_this_node)),
        severity=Severity.LOW if is_hosts else _severity(service, is_here=event.is_to_this_node),
        confidence=Confidence.CERTAIN if event.is_to_this_node else Confidence.LIKELY,
        identity=(event.container_id, address),
    )


def _severity(service: str, *, is_here: bool) -> Severity:
    return Severity.HIGH if service == "Docker" or (service == "etcd" and is_here) else Severity.MEDIUM


DETECTOR = Detector(
    id="HW-211",
    name="node_api_contacted",
    family=Family.TECHNIQUE,
    severity=Severity.HIGH,
    techniques=(Technique("T1210", "Exploitation of Remote Services", "TA0008", "Lateral Movement"),),
    wants=(TcpConnected,),
    check=check,
    weakest=Tier.POLL,
    summary="A container is connected to the Docker API, the kubelet or etcd over TCP.",
    benign=(
        "metrics-server and Prometheus ask every kubelet: medium, once for each address; make an exception for them.",
        "The control plane in static pods (API server, etcd) talks to all of these over the host's network: low.",
        "An application with an etcd of its own (Patroni, APISIX): medium, since the address is not this node's.",
        "Build jobs with a Docker in Docker service (tcp://docker:2376): high; make an exception for the runner.",
    ),
    misses=(
        "Below the ebpf tier: a connection that is refused, or closed before a look (every five sweeps or more).",
        "The same service on another port, or through a proxy.",
        "Whether the other end is what the port says, when the address is not this node's.",
    ),
    advice=(
        "Try the port without credentials from a pod: if it answers, close it first (kubelet: anonymous auth off).",
        "Deny pods the way to nodes by network policy, and look at what the workload did there.",
    ),
    references=(
        "https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/",
        "https://docs.docker.com/engine/daemon/remote-access/",
        "https://attack.mitre.org/techniques/T1210/",
    ),
)
