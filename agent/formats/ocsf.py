"""The alert in the Open Cybersecurity Schema Framework: Detection Finding, class 2004 of schema 1.8.0. Pure.

Source: ocsf/ocsf-schema at v1.8.0, ``events/findings/detection_finding.json`` with what it extends (``finding.json``,
``base_event.json``), and ``objects/*.json``. Required there, and tested by ``tests/agent/formats/test_ocsf.py``:

- the event: ``activity_id``, ``category_uid``, ``class_uid``, ``type_uid``, ``severity_id``, ``time``, ``metadata``,
  ``finding_info``;
- ``metadata``: ``product`` (one of ``name``, ``uid``) and ``version``; ``finding_info``: ``uid``;
- ``analytic``: ``type_id``; ``attack``: one of ``tactic``, ``technique``, ``sub_technique``; ``device``: ``type_id``
  and one of its names; ``os``: ``name``, ``type_id``; ``container``: one of ``uid``, ``name``; ``image``: ``uid``;
  ``process``: one of ``pid``, ``uid``, ``cpid``; ``file``: ``name``, ``type_id``; ``user``: one of ``name``, ``uid``;
  ``evidences``: one of the things that can be evidence (here ``process`` or ``resources``).

Times are milliseconds since the epoch. ``time`` is when the finding was made; ``start_time`` and ``end_time`` are when
it happened. What OCSF has no attribute for stands whole under ``unmapped``.
"""

from __future__ import annotations

from typing import Any

from agent.formats.instant import epoch_ns

Record = dict[str, Any]

SCHEMA_VERSION = "1.8.0"
CATEGORY_UID = 2  # Findings
CLASS_UID = 2004  # Detection Finding
ACTIVITY_CREATE = 1
STATUS_NEW = 1
ANALYTIC_RULE = 1
DEVICE_SERVER = 1
OS_LINUX = 200
FILE_REGULAR = 1

_SEVERITIES = {
    10: (1, "Informational"),
    30: (2, "Low"),
    50: (3, "Medium"),
    70: (4, "High"),
    90: (5, "Critical"),
}
_CONFIDENCES = {"certain": (3, "High"), "likely": (2, "Medium")}
_POD = (("uid", "id"), ("name", "name"))


def render(document: Record) -> Record:
    """The native document as a Detection Finding."""
    severity_id, severity = _SEVERITIES[document["event"]["severity"]]
    confidence_id, confidence = _CONFIDENCES[document["hullwatch"]["confidence"]]
    happened_ms = _milliseconds(document["@timestamp"])
    return _present(
        {
            "activity_id": ACTIVITY_CREATE,
            "activity_name": "Create",
            "category_uid": CATEGORY_UID,
            "category_name": "Findings",
            "class_uid": CLASS_UID,
            "class_name": "Detection Finding",
            "type_uid": CLASS_UID * 100 + ACTIVITY_CREATE,
            "type_name": "Detection Finding: Create",
            "severity_id": severity_id,
            "severity": severity,
            "status_id": STATUS_NEW,
            "status": "New",
            "confidence_id": confidence_id,
            "confidence": confidence,
            "is_alert": True,
            "time": _milliseconds(document["event"]["created"]),
            "start_time": happened_ms,
            "end_time": happened_ms,
            "message": document["message"],
            "metadata": _metadata(document),
            "finding_info": _finding_info(document, happened_ms),
            "evidences": _evidences(document),
            "resources": _resources(document),
            "device": _device(document["host"]),
            "unmapped": {"hullwatch": document["hullwatch"]},
        }
    )


def _metadata(document: Record) -> Record:
    return {
        "version": SCHEMA_VERSION,
        "profiles": ["container", "host"],
        "uid": document["event"]["id"],
        "correlation_uid": document["hullwatch"]["incident"]["id"],
        "event_code": document["rule"]["id"],
        "log_name": document["event"]["dataset"],
        "original_time": document["@timestamp"],
        "product": {
            "name": "hullwatch",
            "vendor_name": "hullwatch",
            "version": document["agent"]["version"],
            "feature": {"name": document["hullwatch"]["sensor"]},
        },
    }


def _finding_info(document: Record, happened_ms: int) -> Record:
    rule = document["rule"]
    return _present(
        {
            "uid": document["event"]["id"],
            "title": rule["description"],
            "desc": document["event"]["reason"],
            "created_time": _milliseconds(document["event"]["created"]),
            "first_seen_time": happened_ms,
            "last_seen_time": happened_ms,
            "types": [rule["category"]],
            "src_url": rule.get("reference"),
            "analytic": {
                "type_id": ANALYTIC_RULE,
                "type": "Rule",
                "uid": rule["id"],
                "name": rule["name"],
                "category": rule["category"],
                "desc": rule["description"],
                "version": document["agent"]["version"],
            },
            "attacks": _attacks(document.get("threat")),
        }
    )


def _attacks(threat: Record | None) -> list[Record] | None:
    """Tactics and techniques are two lists in ECS, so only where there is one tactic it is that of each technique."""
    if threat is None:
        return None
    tactics = [
        {"uid": uid, "name": name} for uid, name in zip(threat["tactic"]["id"], threat["tactic"]["name"], strict=True)
    ]
    techniques = zip(threat["technique"]["id"], threat["technique"]["name"], strict=True)
    if len(tactics) == 1:
        return [{"tactic": tactics[0], **_technique(uid, name)} for uid, name in techniques]
    return [{"tactic": tactic} for tactic in tactics] + [_technique(uid, name) for uid, name in techniques]


def _technique(uid: str, name: str) -> Record:
    return {"sub_technique" if "." in uid else "technique": {"uid": uid, "name": name}}


def _evidences(document: Record) -> list[Record] | None:
    """The process and its container, else the container alone; nothing for what the agent says of itself."""
    container = _container(document)
    if "process" in document:
        process = _process(document["process"])
        if container is not None:
            process["container"] = container
        return [_present({"process": process, "container": container})]
    resources = _resources(document)
    return [_present({"resources": resources, "container": container})] if resources else None


def _process(process: Record) -> Record:
    return _present(
        {
            "pid": process["pid"],
            "uid": process.get("entity_id"),
            "name": process.get("name"),
            "cmd_line": process.get("command_line"),
            "created_time": _milliseconds(process["start"]) if "start" in process else None,
            "namespace_pid": process.get("vpid"),
            "tid": process.get("thread", {}).get("id"),
            "file": _file(process.get("executable")),
            "user": {"uid": process["user"]["id"]} if "user" in process else None,
            "parent_process": _process(process["parent"]) if "parent" in process else None,
        }
    )


def _file(path: str | None) -> Record | None:
    if path is None:
        return None
    return {"name": path.rpartition("/")[2] or path, "path": path, "type_id": FILE_REGULAR, "type": "Regular File"}


def _container(document: Record) -> Record | None:
    container = document.get("container")
    if container is None:
        return None
    image = container.get("image", {}).get("name")
    resource = document.get("orchestrator", {}).get("resource", {})
    return _present(
        {
            "uid": container["id"],
            "name": container.get("name"),
            "runtime": container.get("runtime"),
            # An image must have a uid, and its name is all that says which one it is.
            "image": {"uid": image, "name": image} if image is not None else None,
            "labels": [f"{name}={value}" for name, value in container.get("labels", {}).items()] or None,
            "orchestrator": document.get("orchestrator", {}).get("type"),
            "pod_uuid": resource.get("id"),
        }
    )


def _resources(document: Record) -> list[Record] | None:
    """What was affected: the container, and its pod."""
    if "container" not in document:
        return None
    container = document["container"]
    found = [_present({"uid": container["id"], "name": container.get("name"), "type": "container"})]
    orchestrator = document.get("orchestrator")
    pod = _present({key: orchestrator["resource"].get(field) for key, field in _POD}) if orchestrator else {}
    if orchestrator is not None and pod:
        found.append(_present({**pod, "namespace": orchestrator.get("namespace"), "type": "pod"}))
    return found


def _device(host: Record) -> Record:
    system = host["os"]
    return _present(
        {
            "type_id": DEVICE_SERVER,
            "type": "Server",
            "hostname": host.get("hostname") or host.get("name") or "unknown",
            "name": host.get("name"),
            "uid": host.get("id"),
            "boot_uid": host.get("boot", {}).get("id"),
            "os": _present(
                {
                    "name": system.get("full") or system.get("name") or "Linux",
                    "type_id": OS_LINUX,
                    "type": "Linux",
                    "version": system.get("version"),
                    "kernel_release": system.get("kernel"),
                }
            ),
        }
    )


def _milliseconds(timestamp: str) -> int:
    return epoch_ns(timestamp) // 1_000_000


def _present(record: Record) -> Record:
    return {key: value for key, value in record.items() if value is not None}
