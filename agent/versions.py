"""What runs here, in which version: hullwatch, Python, the libraries, the kernel, the distribution."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

from agent import __version__

_LIBRARIES = (
    "click",
    "docker",
    "kubernetes",
    "msgpack",
    "msgspec",
    "psutil",
    "pyroute2",
    "PyYAML",
    "rich",
    "structlog",
)


def versions() -> dict[str, Any]:
    """What runs here, in which version."""
    libraries: dict[str, str | None] = {}
    for name in _LIBRARIES:
        try:
            libraries[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            libraries[name] = None
    try:
        distribution = platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        distribution = None
    return {
        "hullwatch": __version__,
        "python": platform.python_version(),
        "kernel": os.uname().release,
        "architecture": os.uname().machine,
        "distribution": distribution,
        "libraries": libraries,
    }
