"""``TracerPid`` of ``/proc/self/status``: whether somebody traces the agent.

Source: proc_pid_status(5). 0 is nobody; a tracer in another pid namespace that we cannot see is 0 too.
"""

from __future__ import annotations

import re

from collectors.bounded import read_bounded
from collectors.errors import CollectorError, Malformed

SOURCE = "proc/status"
MAX_BYTES = 65_536
_LINE = re.compile(rb"^TracerPid:\t(\d{1,10})$", re.MULTILINE)


def parse_tracer(data: bytes) -> int:
    """The tracer's pid, 0 for none; raises ``Malformed``."""
    found = _LINE.search(data)
    if found is None:
        raise Malformed(SOURCE, "no TracerPid")
    return int(found[1])


def read_tracer(proc: str) -> int:
    """Who traces us, 0 for nobody, also where it cannot be read: it is our own file."""
    try:
        return parse_tracer(read_bounded(f"{proc}/self/status", MAX_BYTES, source=SOURCE))
    except CollectorError:
        return 0
