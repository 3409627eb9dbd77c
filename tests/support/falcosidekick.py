"""What falcosidekick takes: its acceptance rules, from falcosecurity/falcosidekick ``handlers.go`` and ``types/``."""

from __future__ import annotations

import re
from typing import Any

PRIORITIES = frozenset(
    {"emergency", "alert", "critical", "error", "warning", "notice", "informational", "info", "debug"}
)
# Go's time.Time in JSON is RFC 3339, and an offset is a must.
_RFC_3339 = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})")
_TEXTS = ("uuid", "output", "priority", "rule", "time", "source", "hostname")


def refusal(payload: Any) -> str | None:  # noqa: PLR0911 (one return a rule)
    """Why falcosidekick would answer 400 (or panic), ``None`` where it takes the object."""
    if not isinstance(payload, dict):
        return "no object"
    if any(not isinstance(payload[name], str) for name in _TEXTS if name in payload):
        return "a text is none"
    if payload.get("priority", "").lower() not in PRIORITIES:
        return "priority"
    if not payload.get("rule"):
        return "rule"
    if not _RFC_3339.fullmatch(payload.get("time", "")) or payload["time"].startswith("0001-01-01"):
        return "time"
    fields = payload.get("output_fields")
    if not isinstance(fields, dict) or not fields:
        return "output_fields"
    for name in ("k8s.ns.name", "k8s.pod.name"):
        if fields.get(name) is not None and not isinstance(fields[name], str):
            return name
    tags = payload.get("tags", [])
    return None if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags) else "tags"
