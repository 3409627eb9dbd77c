"""An alert as a syslog message: RFC 5424. Pure.

Texts that a container chose are made visible first: a receiver writes them into files that people read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agent.formats.falco import value_at
from agent.text import clipped, visible

Record = dict[str, Any]

FACILITIES = {
    "kern": 0, "user": 1, "daemon": 3, "auth": 4, "syslog": 5, "authpriv": 10,
    "local0": 16, "local1": 17, "local2": 18, "local3": 19, "local4": 20, "local5": 21, "local6": 22, "local7": 23,
}  # fmt: skip
MAX_PARAMETER = 256
BOM = b"\xef\xbb\xbf"
CEE_COOKIE = b"@cee: "

# RFC 5424, 6.2.1: 2 critical, 3 error, 4 warning, 5 notice, 6 informational.
_SEVERITIES = {"info": 6, "notice": 5, "warning": 4, "error": 3, "critical": 2}
_MAX_HOSTNAME = 255
_NOT_PRINTABLE = re.compile(r"[^!-~]")
_ESCAPED = re.compile(r'(["\\\]])')

# Name of the parameter (RFC 5424, 6.3.3: at most 32 characters), and where its value stands in the native document.
_PARAMETERS = (
    ("id", "event.id"),
    ("rule", "rule.id"),
    ("name", "rule.name"),
    ("family", "rule.category"),
    ("severity", "event.severity"),
    ("confidence", "hullwatch.confidence"),
    ("incident", "hullwatch.incident.id"),
    ("container", "container.id"),
    ("containerName", "container.name"),
    ("image", "container.image.name"),
    ("namespace", "orchestrator.namespace"),
    ("pod", "orchestrator.resource.name"),
    ("podUid", "orchestrator.resource.id"),
    ("process", "process.name"),
    ("pid", "process.pid"),
    ("executable", "process.executable"),
    ("uid", "process.user.id"),
)


@dataclass(frozen=True, slots=True)
class Header:
    """What is the same in all messages of a sink."""

    facility: str
    app_name: str
    enterprise_id: int


def structured(document: Record, header: Header, limit: int) -> bytes:
    """The alert as structured data and its sentence, cut to ``limit`` bytes.

    The sentence is UTF-8 and so begins with the byte order mark (6.4). The JSON messages are octets without one:
    RFC 8259 (8.1) forbids it there.
    """
    data = f"[hullwatch@{header.enterprise_id} {' '.join(_parameters(document))}]"
    message = _head(document, header) + data.encode("utf-8") + b" " + BOM + visible(document["message"]).encode("utf-8")
    return message[:limit].decode("utf-8", "ignore").encode("utf-8")  # never in the midst of a character


def with_json(document: Record, header: Header, line: bytes, *, is_cee: bool) -> bytes:
    """The alert as a message that is one JSON object; after the cookie ``@cee:`` if the receiver looks for it."""
    return _head(document, header) + b"- " + (CEE_COOKIE if is_cee else b"") + line


def framed(message: bytes) -> bytes:
    """The message with its length before it: octet counting (RFC 6587, 3.4.1; RFC 5425, 4.3)."""
    return b"%d %b" % (len(message), message)


def _head(document: Record, header: Header) -> bytes:
    priority = FACILITIES[header.facility] * 8 + _SEVERITIES[document["log"]["level"]]
    time = f"{document['@timestamp'][:26]}Z"  # microseconds: 6.2.3 takes no more
    hostname = _NOT_PRINTABLE.sub("", document["host"].get("name", ""))[:_MAX_HOSTNAME] or "-"
    return f"<{priority}>1 {time} {hostname} {header.app_name} - {document['rule']['id']} ".encode("ascii")


def _parameters(document: Record) -> Iterator[str]:
    for name, path in _PARAMETERS:
        value = value_at(document, path)
        if value is not None:
            text = _ESCAPED.sub(r"\\\1", visible(clipped(str(value), MAX_PARAMETER)))
            yield f'{name}="{text}"'
