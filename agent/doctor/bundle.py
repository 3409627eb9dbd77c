"""The support archive: what somebody else needs to see what is wrong here, with nothing secret in it.

In it are the doctor's answers, versions, the configuration with its secrets masked, and what the kernel says of itself
and of this process. Not in it: names, arguments or environments of anybody's processes, alerts, contents of the state
directory. Every member is made here, none is a copy of a file that may hold more than it should.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.config_schema import Config
from agent.doctor.base import Answer, Surroundings
from agent.shown_config import shown
from agent.text import to_text
from agent.versions import versions
from collectors.bounded import read_bounded
from collectors.errors import CollectorError

MAX_MEMBER_BYTES = 1 << 20

_READ_ME = """\
hullwatch support archive, made by `hullwatch doctor --bundle`.

doctor.json    what the agent needs, what is missing, what that costs
versions.json  hullwatch, Python, libraries, kernel, distribution
config.json    the configuration with all defaults; headers, paths of URLs and patterns of the redaction are masked
state.json     names, sizes and modes of the files in the state directory
proc/, sys/    what the kernel says of itself and of the process that made this

Nothing of anybody else's processes is in it: no names, arguments, environments, alerts or file contents.
"""

_FILES = (
    "proc/version",
    "proc/self/status",
    "proc/self/cgroup",
    "proc/self/uid_map",
    "proc/meminfo",
    "proc/loadavg",
    "proc/sys/kernel/perf_event_paranoid",
    "proc/sys/kernel/unprivileged_bpf_disabled",
    "proc/sys/kernel/yama/ptrace_scope",
    "proc/sys/net/core/rmem_max",
    "sys/kernel/security/lsm",
    "sys/kernel/security/lockdown",
)


def members(surroundings: Surroundings, answers: tuple[Answer, ...]) -> dict[str, bytes]:
    """What the archive holds, by name."""
    found = {
        "README.txt": _READ_ME.encode(),
        "doctor.json": _json([document(each) for each in answers]),
        "versions.json": _json(versions()),
        "config.json": _json(shown(surroundings.config)),
        "state.json": _json(_state(surroundings.config)),
    }
    roots = {"proc": surroundings.roots.proc, "sys": surroundings.roots.sys}
    for name in _FILES:
        top, _, rest = name.partition("/")
        try:
            found[name] = read_bounded(f"{roots[top]}/{rest}", MAX_MEMBER_BYTES, source=name)
        except CollectorError as error:
            found[name] = f"{error}\n".encode()
    return found


def write_archive(path: Path, contents: Mapping[str, bytes]) -> int:
    """Write the archive to a new file that only its owner may read; its size. Raises ``OSError``, also if it exists."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as squeezed, tarfile.open(fileobj=squeezed, mode="w") as tar:
        for name, data in sorted(contents.items()):
            member = tarfile.TarInfo(f"hullwatch-support/{name}")
            member.size, member.mode = len(data), 0o600
            tar.addfile(member, io.BytesIO(data))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(packed.getvalue())
    return len(packed.getvalue())


def document(answer: Answer) -> dict[str, Any]:
    """An answer as plain values."""
    return {
        "area": answer.area,
        "check": answer.name,
        "verdict": answer.verdict.value,
        "found": answer.found,
        "costs": answer.costs or None,
        "mend": answer.mend or None,
    }


def _state(config: Config) -> dict[str, Any]:
    directory = config.state.directory
    if directory is None:
        return {"directory": None, "files": []}
    try:
        with os.scandir(directory) as entries:
            found = [(each.name, each.stat(follow_symlinks=False)) for each in entries]
    except OSError as error:
        return {"directory": directory, "problem": error.strerror, "files": []}
    files = [{"name": name, "bytes": status.st_size, "mode": f"{status.st_mode:o}"} for name, status in sorted(found)]
    return {"directory": directory, "files": files}


def _json(value: object) -> bytes:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return to_text(text.encode("utf-8", "replace")).encode() + b"\n"
