"""A container is connected to the cloud's metadata service.

It hands the node's own identity to whoever asks from the node: with that, an attacker who never left the container
reads registries, buckets and secrets, or joins a machine to the cluster.

*Fires on:* a TCP connection from a container to one of the addresses at which AWS (its container credentials too),
Azure, Google and others, or Alibaba Cloud serve metadata. The engine tells it once for each (container, address).
"""

from __future__ import annotations

from collectors.events import TcpConnected
from detectors.base import Blind, Detector, Family, Finding, Found, NodeView, Severity, Technique, Tier

# The documentation of each cloud; 169.254.169.254 is Azure's, Google's, OpenStack's and DigitalOcean's too.
SERVICES = {
    "169.254.169.254": "the cloud's metadata service",
    "169.254.170.2": "AWS's container credentials",
    "169.254.170.23": "AWS's container credentials",
    "168.63.129.16": "Azure's host service",
    "100.100.100.200": "Alibaba Cloud's metadata service",
    "fd00:ec2::254": "AWS's metadata service",
    "fd00:ec2::23": "AWS's container credentials",
}
_DNS = 53


def check(event: TcpConnected, view: NodeView) -> Found:
    """Look the address up."""
    connection = event.connection
    service = SERVICES.get(connection.remote)
    if service is None or connection.remote_port == _DNS:
        return
    if view.container(event.container_id) is None:
        yield Blind("not_read: the container is not known", event.process)
        return
    address = f"{connection.remote} {connection.remote_port}"
    yield Finding(
        f"is connected to {service}",
        event.container_id,
        event.process,
        evidence=(("remote", address),),
        identity=(event.container_id, connection.remote),
    )


DETECTOR = Detector(
    id="HW-212",
    name="metadata_service_contacted",
    family=Family.TECHNIQUE,
    severity=Severity.MEDIUM,
    techniques=(Technique("T1552.005", "Cloud Instance Metadata API", "TA0006", "Credential Access"),),
    wants=(TcpConnected,),
    check=check,
    weakest=Tier.POLL,
    summary="A container is connected to a cloud's metadata service over TCP.",
    benign=(
        "Controllers of the cloud (CSI, CNI, autoscalers) and every SDK that finds its own credentials ask it: once.",
        "Workloads with an identity of their own (IRSA, Workload Identity) ask a local agent at the same address.",
        "DNS over TCP at the same addresses: silent.",
    ),
    misses=(
        "Below the ebpf tier: a connection that is closed before a look; a request takes milliseconds.",
        "A proxy or a redirect of the node's own (kube2iam, kiam): the address is another one.",
    ),
    advice=(
        "Ask whether the workload needs the node's identity; give it one of its own, and deny the address to pods.",
        "On AWS require IMDSv2 with a hop limit of 1.",
        "Not expected: rotate what the node's role can reach, and read the cloud's audit log.",
    ),
    references=(
        "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html",
        "https://cloud.google.com/compute/docs/metadata/overview",
        "https://attack.mitre.org/techniques/T1552/005/",
    ),
)
