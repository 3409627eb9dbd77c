"""Reads what ``host.*`` of an alert says of the node, once, at start: files of the node's root, never a container's."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from agent.report import HostFacts
from agent.text import to_text

MAX_BYTES = 65_536


def read_host_facts(host_root: Path, environment: Mapping[str, str]) -> HostFacts:
    """The node's facts; ``""`` for what cannot be read. ``NODE_NAME`` (downward API) names the node in Kubernetes."""
    release = parse_os_release(_read(host_root / "usr/lib/os-release") or _read(host_root / "etc/os-release"))
    kernel = os.uname()
    hostname = to_text(_read(host_root / "etc/hostname")).strip() or platform.node()
    return HostFacts(
        name=environment.get("NODE_NAME") or hostname,
        hostname=hostname,
        id=to_text(_read(host_root / "etc/machine-id")).strip(),
        architecture=kernel.machine,
        os_name=release.get("NAME", ""),
        os_version=release.get("VERSION_ID", ""),
        os_platform=release.get("ID", ""),
        os_full=release.get("PRETTY_NAME", ""),
        kernel=kernel.release,
    )


def parse_os_release(raw: bytes) -> dict[str, str]:
    """The assignments of os-release(5), quotes undone; lines that are none are left out."""
    values: dict[str, str] = {}
    for line in to_text(raw).split("\n"):
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            quote = value[:1]
            values[name] = value[1:-1] if quote in {'"', "'"} and value.endswith(quote) and len(value) > 1 else value
    return values


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES)
    except OSError:
        return b""
