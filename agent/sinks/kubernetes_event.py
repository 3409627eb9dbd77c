"""Events of the Kubernetes API that tell of an alert: on its pod, and on the node. Pure.

Source: events.k8s.io/v1 as ``pkg/apis/core/validation/events.go`` of kubernetes/kubernetes checks it. An event is named
for its alert, so that the same one cannot be made twice. Its note holds what the rule says, the container's name and
the process' name, never an argument or a path: who may read events may not read secrets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.output_schema import KubernetesConfig
from agent.text import visible

Record = dict[str, Any]

CONTROLLER = "hullwatch"
MAX_NOTE_BYTES = 1024
MAX_FIELD = 128


def events(document: Record, config: KubernetesConfig) -> Iterator[Record]:
    """The events of one alert: on its pod, if it has one that is known by name, and on the node. Pure."""
    node_name = config.node_name or document["host"].get("name") or "unknown"
    node = {"kind": "Node", "apiVersion": "v1", "name": node_name, "uid": node_name}
    orchestrator = document.get("orchestrator", {})
    resource = orchestrator.get("resource", {})
    namespace = orchestrator.get("namespace")
    if config.on_pod and namespace and resource.get("name"):
        pod = {
            "kind": "Pod",
            "apiVersion": "v1",
            "namespace": namespace,
            "name": resource["name"],
            "uid": resource.get("id", ""),
        }
        yield _event(document, node_name, pod, node, namespace, "pod")
    if config.on_node:
        yield _event(document, node_name, node, None, "default", "node")


def note(document: Record) -> str:
    """What is told: rule, process' name and pid, and where the whole alert can be found. Pure."""
    parts = [f"{document['rule']['id']}: {document['rule']['description']}"]
    container = document.get("container", {}).get("name")
    if container:
        parts.append(f"Container {visible(container)}.")
    process = document.get("process", {})
    if "name" in process:
        parts.append(f"Process {visible(process['name'])} (pid {process['pid']}).")
    parts.append(f"Alert {document['event']['id']}, incident {document['hullwatch']['incident']['id']}.")
    return " ".join(parts).encode("utf-8")[:MAX_NOTE_BYTES].decode("utf-8", "ignore")


def _event(
    document: Record, node_name: str, regarding: Record, related: Record | None, namespace: str, kind: str
) -> Record:
    reason = "".join(word.capitalize() for word in document["rule"]["name"].split("_"))
    body: Record = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"hullwatch.{document['event']['id']}.{kind}", "namespace": namespace},
        "eventTime": f"{document['@timestamp'][:26]}Z",
        "type": "Warning",
        "reason": reason[:MAX_FIELD],
        "action": "Detected",
        "note": note(document),
        "regarding": regarding,
        "reportingController": CONTROLLER,
        "reportingInstance": node_name[:MAX_FIELD],
    }
    if related is not None:
        body["related"] = related
    return body
