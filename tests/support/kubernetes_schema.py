"""Holds manifests against Kubernetes' OpenAPI document, as the official client's models have it; strictly.

The models are generated from that document and forbid unknown keys, which a lenient server drops without a word. They
also take Python's spelling of a key (`host_pid`), which no server does: so what they read must come out as it went in.
"""

from typing import Any

import pydantic
from kubernetes.client import models

KINDS: dict[tuple[str, str], Any] = {
    ("v1", "Namespace"): models.V1Namespace,
    ("v1", "ServiceAccount"): models.V1ServiceAccount,
    ("v1", "ConfigMap"): models.V1ConfigMap,
    ("apps/v1", "DaemonSet"): models.V1DaemonSet,
    ("scheduling.k8s.io/v1", "PriorityClass"): models.V1PriorityClass,
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): models.V1ClusterRole,
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): models.V1ClusterRoleBinding,
}


def misfits(manifest: dict[str, Any]) -> list[str]:
    """What the document does not allow, a line each."""
    model = KINDS.get((manifest.get("apiVersion", ""), manifest.get("kind", "")))
    if model is None:
        return [f"{manifest.get('apiVersion')} {manifest.get('kind')} is not known"]
    try:
        read = model.model_validate(manifest)
    except pydantic.ValidationError as error:
        return [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    written = read.model_dump(by_alias=True, exclude_none=True, mode="json")
    return [] if written == manifest else ["a key has a name that Kubernetes does not know"]
