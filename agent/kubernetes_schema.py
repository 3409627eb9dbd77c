"""The configuration of what is known of pods beyond their containers' bundles."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from agent.config_section import AbsolutePath, Section

ServerUrl = Annotated[
    str,
    Meta(
        pattern=r"^https://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$",
        max_length=2048,
        title="https://HOST:PORT: the token is sent there",
    ),
]
NodeName = Annotated[
    str, Meta(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$", title="the name of a node in the cluster")
]


class KubernetesApiConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Labels, owners and service accounts of pods, from the API server; names come from the bundles in any case."""

    enabled: Annotated[
        bool,
        Meta(
            description="Whether the API server is asked at all: one list and one watch of this node's pods. RBAC: "
            "`list` and `watch` on `pods`."
        ),
    ] = False
    node_name: Annotated[
        NodeName | None,
        Meta(description="The node's name in the cluster; by default what `NODE_NAME` (downward API) holds."),
    ] = None
    server: Annotated[
        ServerUrl | None, Meta(description="The API server; by default that of the cluster in which the agent runs.")
    ] = None
    token_file: Annotated[
        AbsolutePath, Meta(description="File with the service account's token; read again for every request.")
    ] = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 (a path)
    ca_file: Annotated[AbsolutePath, Meta(description="Certificates (PEM) that the API server's must follow from.")] = (
        "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
    )
    start_spread_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="The first list comes at a random moment within this time, so that the agents of a large "
            "cluster do not ask all at once.",
        ),
    ] = 30.0
    kubelet_directory: Annotated[
        AbsolutePath | None,
        Meta(
            description="The kubelet's directory on the node, whose names of pods are read whether the API server is "
            "asked or not; by default what the kubelet's arguments say, and the usual ones."
        ),
    ] = None
