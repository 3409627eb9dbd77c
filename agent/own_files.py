"""The files that the agent itself is made of and lives by, for the watch that tells who else gets at them.

Programs and libraries are those that this process runs: on a node without an image of its own they lie where an
installer put them, and who changes them is the agent from its next start on.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import agent
import collectors
import detectors
from collectors.bounded import read_bounded
from collectors.errors import CollectorError
from collectors.watched_objects import Pattern, of_agent

MAX_MAPS_BYTES = 1 << 20
_LIBRARY = re.compile(rb"^[^/\n]*(/[^\n]*/libbpf\.so[^/\n]*)$", re.MULTILINE)


def own_patterns(config_path: str | None, state_directory: str | None, socket: str | None) -> tuple[Pattern, ...]:
    """What to watch: the configuration, the control socket, state, packages with the eBPF programs, Python, libbpf."""
    files = (config_path, socket, sys.executable, _mapped_library())
    packages = (str(Path(each.__file__).parent) for each in (agent, collectors, detectors) if each.__file__)
    directories = (state_directory, *packages)
    return of_agent(
        (each for each in files if each is not None and each.startswith("/")),
        (each for each in directories if each is not None),
    )


def _mapped_library() -> str | None:
    """The libbpf that is mapped here, as the kernel names it (proc_pid_maps(5)); ``None`` while none is."""
    try:
        found = _LIBRARY.search(read_bounded("/proc/self/maps", MAX_MAPS_BYTES, source="proc/maps"))
    except CollectorError:
        return None
    return found[1].decode("utf-8", "surrogateescape") if found is not None else None
