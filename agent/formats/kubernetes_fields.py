"""``kubernetes.*`` of an alert: the pod's names, and what the API server says of it where it is asked. Pure.

Names are those of Elastic's ``add_kubernetes_metadata``, so that an alert joins the logs and metrics of its pod. What
that has no name for: ``workload`` (what a person deployed), ``service_account`` and ``static``.
"""

from __future__ import annotations

from typing import Any

from agent.text import clipped, valid
from collectors.facts import Container
from collectors.pod_facts import PodDetails, PodOwner

MAX_TEXT = 256

Record = dict[str, Any]

_KINDS = frozenset({"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob"})


def kubernetes_fields(container: Container | None) -> Record | None:
    """The fields that have a value; ``None`` for what is in no pod."""
    if container is None or container.pod is None:
        return None
    pod = container.pod
    return _known(
        {
            "namespace": _text(pod.namespace),
            "pod": {"name": _text(pod.name), "uid": _text(pod.uid)},
            "container": {"name": _text(pod.container_name)},
            **(_details(container.pod_details) if container.pod_details is not None else {}),
        }
    )


def workload_kind(container: Container) -> str | None:
    """The kind of what a person deployed."""
    details = container.pod_details
    return _text(details.workload.kind) if details is not None and details.workload is not None else None


def _details(details: PodDetails) -> Record:
    record: Record = {
        "node": {"name": _text(details.node)},
        "labels": _labels(details),
        "service_account": {"name": _text(details.service_account)},
        "static": True if details.is_static else None,
    }
    if details.workload is not None:
        record["workload"] = {"kind": _text(details.workload.kind), "name": _text(details.workload.name)}
    for owner in (details.owner, details.workload):
        if isinstance(owner, PodOwner) and owner.kind in _KINDS:
            record[owner.kind.lower()] = {"name": _text(owner.name)}
    return record


def _labels(details: PodDetails) -> Record:
    """With ``_`` for dots, as ``container.labels``."""
    labels: dict[str, str] = {}
    for name, value in details.labels:
        labels.setdefault(valid(name).replace(".", "_") or "_", valid(value))
    return labels


def _known(record: Record) -> Record:
    """The record without what has no value, at every depth."""
    known = {key: _known(value) if isinstance(value, dict) else value for key, value in record.items()}
    return {key: value for key, value in known.items() if value not in (None, {})}


def _text(text: str | None) -> str | None:
    return clipped(valid(text), MAX_TEXT) if text else None
